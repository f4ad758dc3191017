// Package simulate tries a rule set without any server: one pass of the search
// over recorded or generated tickets, or a whole day of players who come and
// go. It is off the player's path; designers of rule sets are its users.
//
// What is found is never believed: every match goes to a Checker that shares
// no code with the search.
//
// All results but the time that the search took depend on the input alone.
package simulate

import (
	"context"
	"slices"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
)

// Checker judges matches that are proposed together, and returns what is wrong
// with them, one text for each thing.
type Checker func(matches []*rule.Match, now time.Time) []string

// Outcome is what one pass found.
type Outcome struct {
	Matches []Match
	// Unmatched are the positions of the tickets that are in no match, in
	// order.
	Unmatched []int
	// LeftOut are, of the unmatched tickets, the positions of those that fit no
	// match whoever else waits.
	LeftOut []int
	// Waits are those of the matched tickets, Spreads those of the matches, in
	// rising order.
	Waits   []time.Duration
	Spreads []float64
	// Elapsed is how long the search took.
	Elapsed time.Duration
	// TimeOver: the search has used up its time, and may not have seen all.
	TimeOver bool
	// Violations are what the Checker says.
	Violations []string
}

// Match is a match of an outcome.
type Match struct {
	*rule.Match
	// Score is the search's, Spread as in a day.
	Score, Spread float64
}

// Pass searches once, at one instant, for so long at most; 0 is no bound. A
// ticket from the future has just come.
func Pass(ctx context.Context, engine *search.Engine, check Checker, tickets []rule.Ticket, now time.Time, most time.Duration) *Outcome {
	out := &Outcome{}
	tickets = slices.Clone(tickets)
	for i := range tickets {
		if tickets[i].Created.After(now) {
			tickets[i].Created = now
		}
	}
	var proposals []search.Proposal
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, most)
		defer cancel()
	}
	started := time.Now()
	for p := range engine.Search(ctx, tickets, now, func(t int, _ search.Reason) { out.LeftOut = append(out.LeftOut, t) }) {
		proposals = append(proposals, p)
	}
	out.Elapsed, out.TimeOver = time.Since(started), ctx.Err() != nil

	matched := make([]bool, len(tickets))
	spelled := make([]*rule.Match, len(proposals))
	for i := range proposals {
		p := &proposals[i]
		spelled[i] = p.Match(tickets)
		spread := p.Spread
		if attribute := engine.SortedBy(); attribute != "" {
			spread = measure(engine.Set(), attribute)(spelled[i])
		}
		out.Matches = append(out.Matches, Match{spelled[i], p.Score, spread})
		out.Spreads = append(out.Spreads, spread)
		for _, t := range p.Tickets {
			matched[t] = true
			out.Waits = append(out.Waits, now.Sub(tickets[t].Created))
		}
	}
	for t := range tickets {
		if !matched[t] {
			out.Unmatched = append(out.Unmatched, t)
		}
	}
	slices.Sort(out.Waits)
	slices.Sort(out.Spreads)
	out.Violations = check(spelled, now)
	return out
}

// Percentile is the p-th percentile of sorted values by nearest rank: the
// least of them that at least p of 100 do not exceed. It is zero of none.
func Percentile[T time.Duration | float64](sorted []T, p int) T {
	if len(sorted) == 0 {
		return 0
	}
	rank := (p*len(sorted) + 99) / 100
	return sorted[max(rank, 1)-1]
}
