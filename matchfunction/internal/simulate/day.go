package simulate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// DayOptions describe a simulated day. None has a default.
type DayOptions struct {
	Rules  *ruleset.RuleSet
	Engine *search.Engine
	Check  Checker
	// Rate is the mean number of players who come in a minute of a whole day,
	// above 0; see dayCurve.
	Rate float64
	// Cycle is the time between two searches.
	Cycle time.Duration
	// Length is how long players come and searches run; the day starts at
	// midnight.
	Length time.Duration
	// GiveUp is how long a player waits before he or she leaves.
	GiveUp time.Duration
	Seed   uint64
}

// Day is what each strategy made of the same players.
type Day struct {
	// Attribute is the number that spreads are about.
	Attribute string
	Tickets   int
	Results   []Result
}

// Result is what one strategy made of a day.
type Result struct {
	Name    string
	Matches int
	Matched int
	// Waits are those of the matched tickets, Spreads those of the matches, in
	// rising order.
	Waits   []time.Duration
	Spreads []float64
	// Elapsed is how long the strategy thought.
	Elapsed time.Duration
	// Refused is how many of its matches the Checker refused: their tickets
	// went on waiting. Violations are why, for the first few.
	Refused    int
	Violations []string
}

// strategy finds matches among those who wait, in the order of their arrival,
// and never changes them. No ticket may be in two matches.
type strategy func(ctx context.Context, waiting []rule.Ticket, now time.Time) []found

type found struct {
	tickets []int32
	match   *rule.Match
}

// midnight is when a day starts.
var midnight = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// RunDay simulates a day, one strategy after the other. The error says why the
// rule set is not simple enough for the strategies that the search is compared
// with, or that ctx ended.
func RunDay(ctx context.Context, o DayOptions) (*Day, error) {
	b, err := newBaseline(o.Rules)
	if err != nil {
		return nil, err
	}
	tickets := o.arrivals()
	day := &Day{Attribute: b.attribute(), Tickets: len(tickets)}
	for _, s := range []struct {
		name string
		find strategy
	}{
		{"torikumi", o.search},
		{"arrival order", b.arrivalOrder},
		{"nearest first", b.nearestFirst},
	} {
		r, err := o.play(ctx, tickets, s.find, b)
		if err != nil {
			return nil, err
		}
		r.Name = s.name
		day.Results = append(day.Results, *r)
	}
	return day, nil
}

// search is the strategy of the match function.
func (o *DayOptions) search(ctx context.Context, waiting []rule.Ticket, now time.Time) []found {
	var out []found
	for p := range o.Engine.Search(ctx, waiting, now, nil) {
		out = append(out, found{p.Tickets, p.Match(waiting)})
	}
	return out
}

// dayCurve is how many players come at a time of the day, as a factor on the
// mean: it swings between a quarter at 08:00 and seven quarters at 20:00.
func dayCurve(sinceMidnight time.Duration) float64 {
	return 1 + 0.75*math.Cos(2*math.Pi*(sinceMidnight.Hours()-20)/24)
}

// arrivals are the tickets of the day in the order of their arrival: a Poisson
// process whose rate follows the curve, made by thinning one of the highest
// rate.
func (o *DayOptions) arrivals() []rule.Ticket {
	rng := rand.New(rand.NewPCG(o.Seed, 1))
	g := NewGenerator(o.Rules, Parties{[]int{1}, []float64{1}}, o.Seed)
	const highest = 1.75
	var out []rule.Ticket
	at := 0.0 // seconds
	for {
		at += rng.ExpFloat64() * 60 / (o.Rate * highest)
		if at >= o.Length.Seconds() {
			return out
		}
		since := time.Duration(at * float64(time.Second))
		if rng.Float64()*highest < dayCurve(since) {
			out = append(out, g.Ticket(midnight.Add(since)))
		}
	}
}

// mostViolations is how many of a strategy are kept.
const mostViolations = 10

func (o *DayOptions) play(ctx context.Context, tickets []rule.Ticket, find strategy, b *baseline) (*Result, error) {
	r := &Result{}
	var waiting []rule.Ticket
	next := 0
	for since := o.Cycle; since <= o.Length; since += o.Cycle {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := midnight.Add(since)
		waiting = slices.DeleteFunc(waiting, func(t rule.Ticket) bool { return now.Sub(t.Created) > o.GiveUp })
		for next < len(tickets) && !tickets[next].Created.After(now) {
			waiting = append(waiting, tickets[next])
			next++
		}
		if len(waiting) == 0 {
			continue
		}
		started := time.Now()
		matches := find(ctx, waiting, now)
		r.Elapsed += time.Since(started)
		if len(matches) > 0 {
			waiting = r.countMatches(o.accept(r, matches, now), waiting, now, b)
		}
	}
	slices.Sort(r.Waits)
	slices.Sort(r.Spreads)
	return r, nil
}

// accept returns the matches that the Checker lets pass. They are judged
// together, and one by one if anything is wrong.
func (o *DayOptions) accept(r *Result, matches []found, now time.Time) []found {
	all := make([]*rule.Match, len(matches))
	for i := range matches {
		all[i] = matches[i].match
	}
	wrong := o.Check(all, now)
	if len(wrong) == 0 {
		return matches
	}
	if room := mostViolations - len(r.Violations); room > 0 {
		r.Violations = append(r.Violations, wrong[:min(room, len(wrong))]...)
	}
	var good []found
	all = all[:0]
	for _, m := range matches {
		if len(o.Check(append(all, m.match), now)) > 0 {
			r.Refused++
			continue
		}
		all = append(all, m.match)
		good = append(good, m)
	}
	return good
}

// countMatches counts matches and returns those who still wait.
func (r *Result) countMatches(matches []found, waiting []rule.Ticket, now time.Time, b *baseline) []rule.Ticket {
	gone := make([]bool, len(waiting))
	for _, m := range matches {
		r.Matches++
		r.Spreads = append(r.Spreads, b.spread(waiting, m.tickets))
		for _, t := range m.tickets {
			gone[t] = true
			r.Matched++
			r.Waits = append(r.Waits, now.Sub(waiting[t].Created))
		}
	}
	rest := waiting[:0]
	for i := range gone {
		if !gone[i] {
			rest = append(rest, waiting[i])
		}
	}
	return rest
}

// Err tells what a strategy did wrong, or nil.
func (r *Result) Err() error {
	if r.Refused == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d matches break the rules, such as: %s", r.Name, r.Refused, r.Violations[0])
}
