// Package choice decides which of the proposals of a cycle may stand. On the
// player's path it is what keeps a player from being sent to two matches: it
// stands inside the evaluator, after all match functions have proposed. It is
// pure: the same proposals give the same choice, in whatever order they came.
//
// The stock order is that of Open Match's own evaluator: by falling score, then
// by the older oldest ticket, then by id. The stock choice goes through it, and
// takes what shares no ticket and no backfill with one already taken. Here:
//
//   - Scores of +Inf come first, in the stock order: no sum can weigh them.
//   - Of what collides with none of them, those with a positive, finite score
//     are chosen for the highest sum (see package packing).
//   - All others (zero, negative, none) come last, in the stock order. They
//     never push out one with a positive score, as in the stock choice.
//   - The stock choice itself stands among proposals that are connected by
//     collisions wherever the above would have a lower sum of finite scores. It
//     can happen only through negative scores: two good matches may leave room
//     for a bad one that collides with the best.
//
// So the sum of the finite scores is never lower than that of the stock choice,
// and the proposals of +Inf are the same. The result is maximal: whatever is
// turned down collides with something accepted, or is broken in a way that
// Reason names. Waiting counts through the score, and between choices of the
// same sum: the stock choice stands unless another one has a higher sum.
package choice

import (
	"math"
	"slices"

	"torikumi/evaluator/internal/packing"
)

// Options bound the work. The items of package packing are tickets and backfills.
type Options packing.Options

// Result is a choice.
type Result struct {
	// Accepted are the ids of those that stand, best first. Each is that of a
	// proposal, and none is there twice.
	Accepted []string
	// Rejected counts the others.
	Rejected map[Reason]int
	// Kept and Lost are the sums of the positive, finite scores of what stands
	// and of what was turned down for a collision, MaxFloat64 at most.
	Kept, Lost float64
	// Steps is the work that the search took.
	Steps int64
	// Exact is true if no choice has a higher sum of positive scores.
	Exact bool
	// Cut is true if Stop ended the search. The choice is as sound as any, but
	// may be no better than the stock choice.
	Cut bool
}

// Choose picks the proposals that may stand. It reorders the slice and the
// tickets of its elements.
func Choose(proposals []Proposal, o Options) Result {
	r := Result{Rejected: make(map[Reason]int)}
	ps := r.single(proposals)
	slices.SortFunc(ps, Proposal.compare)

	taken := r.choose(ps, number(ps), o)
	for i, p := range ps {
		weight := 0.0
		if p.weighable() {
			weight = p.Score
		}
		if taken[i] {
			r.Accepted = append(r.Accepted, p.ID)
			r.Kept = min(r.Kept+weight, math.MaxFloat64)
		} else {
			r.Rejected[Collision]++
			r.Lost = min(r.Lost+weight, math.MaxFloat64)
		}
	}
	return r
}
