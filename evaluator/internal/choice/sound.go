package choice

import (
	"cmp"
	"slices"
)

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

// sound reports whether proposals with the same id, best first, are one match
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
