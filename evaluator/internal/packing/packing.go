// Package packing solves weighted set packing: of sets of items, each with a
// weight, it picks sets that share no item, for a high sum of weights. In the
// evaluator the sets are proposed matches, the items tickets and backfills.
//
// It takes the problem apart: sets that another one beats in every respect go,
// and the rest falls into components that share nothing. A component is swept (see
// sweep), which is exact as long as few items are open at a time: small components,
// and large ones in which players meet others of about their own strength. A
// component that is too wide for that is improved by local search (see search).
//
// Everything is a function of the problem alone: work is counted in steps, and
// the clock can only cut it short.
package packing

import (
	"cmp"
	"slices"
)

// Problem is a set packing problem. Its slices are read only.
type Problem struct {
	// Weights are positive and finite, one per set, in falling order. Between
	// sets of one weight the earlier one is preferred.
	Weights []float64
	// Starts has one more element than Weights: the items of set i are
	// Items[Starts[i]:Starts[i+1]], each only once, from 0 to NumItems-1.
	Starts, Items []int32
	NumItems      int
}

// Options bound the work.
type Options struct {
	// Effort is the number of steps per item of a set, beyond the greedy
	// choice. A step is one look at an item, or at 64 items at once in a sweep,
	// some nanoseconds. More may give higher sums where a component is too wide to
	// be solved exactly. Small problems have some milliseconds in any case; 0 is
	// the greedy choice. Up to 64 steps per item go beyond it, to settle ties.
	Effort int
	// Stop, if not nil, is asked every few thousand steps whether to end; what
	// has not been improved by then stays with the greedy choice.
	Stop func() bool
}

// Solution is a choice of sets.
type Solution struct {
	// Taken tells for each set whether it is taken. No two taken sets share an
	// item, and each set that is not taken shares one with a taken one.
	Taken []bool
	// Exact is true if no choice has a sum that is higher by more than one component
	// in a thousand million.
	Exact bool
	// Steps is the work that it took.
	Steps int64
	// Cut is true if Stop ended it.
	Cut bool
}

const (
	// floorSteps may be spent on any problem, so that small ones are solved
	// exactly: a few milliseconds.
	floorSteps = 1 << 20
	// reduceShare: one step of so many may be spent on dominated sets.
	reduceShare = 4
	// better is the least factor by which a sum has to be better than that of
	// the greedy choice to replace it. It is far above what rounding can do.
	better = 1 + 1e-9
)

// Solve picks sets. The sum of the weights, in each component, is never lower than
// that of the greedy choice (falling weight, and whatever collides with
// nothing taken), and where it is not higher, the greedy choice it is.
func Solve(p *Problem, o Options) Solution {
	s := Solution{Taken: make([]bool, len(p.Weights)), Exact: true}
	b := &budget{stop: o.Stop}
	total := int64(0)
	if o.Effort > 0 {
		total = max(floorSteps, int64(o.Effort)*int64(len(p.Items)))
	}
	b.grant(total / reduceShare)
	components := split(p, reduce(p, invert(p.Starts, p.Items, p.NumItems), b))
	slices.SortStableFunc(components, func(x, y []int32) int { return cmp.Compare(len(x), len(y)) })

	entries := int64(0) // those of all components to come
	for _, sets := range components {
		entries += p.entries(sets)
	}
	w := &solver{problem: p, local: make([]int32, p.NumItems)}
	left := total - b.spent
	for _, sets := range components {
		if len(sets) == 1 {
			s.Taken[sets[0]] = true
			entries -= p.entries(sets)
			continue
		}
		// Each component may spend its share of what those before it have left.
		n := p.entries(sets)
		share := int64(float64(left) * (float64(n) / float64(entries)))
		entries -= n
		b.grant(share)
		before := b.spent
		taken, exact := w.solve(sets, b)
		left -= b.spent - before
		s.Exact = s.Exact && exact
		for i, v := range sets {
			s.Taken[v] = taken[i]
		}
	}
	s.Steps, s.Cut = b.spent, b.cut
	return s
}

func (p *Problem) entries(sets []int32) int64 {
	n := int64(0)
	for _, v := range sets {
		n += int64(p.Starts[v+1] - p.Starts[v])
	}
	return n
}

func (p *Problem) of(v int32) []int32 { return p.Items[p.Starts[v]:p.Starts[v+1]] }
