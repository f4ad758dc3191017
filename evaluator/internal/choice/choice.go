// Package choice decides which of the proposals of a cycle may stand. On the
// player's path it is what keeps a player from being sent to two matches: it
// stands inside the evaluator, after all match functions have proposed. It is
// pure: the same proposals give the same choice, in whatever order they came.
//
// The criterion is that of Open Match's own evaluator: by falling score, each
// that shares no ticket and no backfill with one already accepted. The result
// is maximal: whatever is turned down collides with something accepted, or is
// broken in a way that Reason names.
package choice

import (
	"cmp"
	"slices"
	"time"
)

// Proposal is what the choice needs of a match.
type Proposal struct {
	// ID is the match id.
	ID string
	// Score: higher is better; -Inf where there is none. Not NaN.
	Score float64
	// Oldest is when the oldest of its tickets was created; the zero time is
	// unknown, and counts as younger than any other.
	Oldest time.Time
	// Tickets are their ids.
	Tickets []string
	// NewBackfill is true if it makes a backfill, which has no id yet.
	NewBackfill bool
	// Backfill is the id of the one that it fills, or empty.
	Backfill string
}

// Reason says why a proposal was turned down.
type Reason string

// The reasons.
const (
	// Collision: it shares a ticket or a backfill with a better one.
	Collision Reason = "collision"
	// Ambiguous: its id stands for different matches. Answering the id could
	// start either of them, perhaps with tickets that another match has, so
	// none of them stands.
	Ambiguous Reason = "ambiguous_id"
	// Repeated: the same match was sent more than once; one of them counts.
	Repeated Reason = "repeated"
	// Empty: it has neither ticket nor backfill.
	Empty Reason = "empty"
	// Malformed: no match id, a ticket without id, or a ticket twice.
	Malformed Reason = "malformed"
)

// Result is a choice.
type Result struct {
	// Accepted are the ids of those that stand, best first. Each is that of a
	// proposal, and none is there twice.
	Accepted []string
	// Rejected counts the others.
	Rejected map[Reason]int
}

// Choose picks the proposals that may stand. It reorders the slice and the
// tickets of its elements.
func Choose(proposals []Proposal) Result {
	r := Result{Rejected: make(map[Reason]int)}
	single := r.single(proposals)
	slices.SortFunc(single, Proposal.compare)

	tickets, backfills := make(map[string]struct{}), make(map[string]struct{})
	for _, p := range single {
		if p.collides(tickets, backfills) {
			r.Rejected[Collision]++
			continue
		}
		for _, t := range p.Tickets {
			tickets[t] = struct{}{}
		}
		if p.Backfill != "" {
			backfills[p.Backfill] = struct{}{}
		}
		r.Accepted = append(r.Accepted, p.ID)
	}
	return r
}

// single returns, for each id that stands for one sound match, that match.
func (r *Result) single(proposals []Proposal) []Proposal {
	for _, p := range proposals {
		slices.Sort(p.Tickets)
	}
	slices.SortFunc(proposals, func(a, b Proposal) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), a.compare(b))
	})
	var single []Proposal
	for len(proposals) > 0 {
		n := 1
		for n < len(proposals) && proposals[n].ID == proposals[0].ID {
			n++
		}
		same := proposals[:n]
		proposals = proposals[n:]
		if r.sound(same) {
			single = append(single, same[0])
		}
	}
	return single
}

// sound tells whether proposals with the same id, best first, are one match
// that may stand, and counts those that will not.
func (r *Result) sound(same []Proposal) bool {
	flawed := 0
	for _, p := range same {
		if reason := p.flaw(); reason != "" {
			r.Rejected[reason]++
			flawed++
		}
	}
	if flawed == len(same) {
		return false
	}
	ambiguous := flawed > 0
	for _, p := range same[1:] {
		ambiguous = ambiguous || !p.equals(same[0])
	}
	if ambiguous {
		r.Rejected[Ambiguous] += len(same) - flawed
		return false
	}
	if len(same) > 1 {
		r.Rejected[Repeated] += len(same) - 1
	}
	return true
}

// flaw says why p can't stand on its own, or "". Tickets have to be sorted.
func (p Proposal) flaw() Reason {
	if len(p.Tickets) == 0 && p.Backfill == "" && !p.NewBackfill {
		return Empty
	}
	if p.ID == "" || (len(p.Tickets) > 0 && p.Tickets[0] == "") {
		return Malformed
	}
	for i, t := range p.Tickets[min(1, len(p.Tickets)):] {
		if t == p.Tickets[i] {
			return Malformed
		}
	}
	return ""
}

// equals tells whether p and q take the same things.
func (p Proposal) equals(q Proposal) bool {
	return p.Backfill == q.Backfill && p.NewBackfill == q.NewBackfill && slices.Equal(p.Tickets, q.Tickets)
}

func (p Proposal) collides(tickets, backfills map[string]struct{}) bool {
	if _, taken := backfills[p.Backfill]; taken && p.Backfill != "" {
		return true
	}
	for _, t := range p.Tickets {
		if _, taken := tickets[t]; taken {
			return true
		}
	}
	return false
}

// compare orders by falling score, then by the older oldest ticket, then by
// id.
func (p Proposal) compare(q Proposal) int {
	if c := cmp.Or(cmp.Compare(q.Score, p.Score), cmp.Compare(p.unknownAge(), q.unknownAge()), p.Oldest.Compare(q.Oldest)); c != 0 {
		return c
	}
	return cmp.Compare(p.ID, q.ID)
}

func (p Proposal) unknownAge() int {
	if p.Oldest.IsZero() {
		return 1
	}
	return 0
}
