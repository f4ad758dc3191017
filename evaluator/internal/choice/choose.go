package choice

import (
	"math"

	"torikumi/evaluator/internal/packing"
)

// items are what proposals take, tickets and backfills, as numbers: those of
// proposal i are values[starts[i]:starts[i+1]].
type items struct {
	starts, values []int32
	count          int
}

func (t items) of(i int) []int32 { return t.values[t.starts[i]:t.starts[i+1]] }

// number gives numbers to what proposals take, in the order in which it first
// comes.
func number(ps []Proposal) items {
	entries := 0
	for _, p := range ps {
		entries += len(p.Tickets) + 1
	}
	t := items{starts: make([]int32, 1, len(ps)+1), values: make([]int32, 0, entries)}
	tickets, backfills := make(map[string]int32, entries/2), make(map[string]int32)
	add := func(known map[string]int32, id string) {
		n, ok := known[id]
		if !ok {
			n = int32(t.count)
			known[id] = n
			t.count++
		}
		t.values = append(t.values, n)
	}
	for _, p := range ps {
		for _, id := range p.Tickets {
			add(tickets, id)
		}
		if p.Backfill != "" {
			add(backfills, p.Backfill)
		}
		t.starts = append(t.starts, int32(len(t.values)))
	}
	return t
}

// choose returns which of the proposals, given in the stock order, stand.
func (r *Result) choose(ps []Proposal, t items, o Options) []bool {
	taken, used := make([]bool, len(ps)), make([]bool, t.count)
	infinite := 0
	for infinite < len(ps) && math.IsInf(ps[infinite].Score, 1) {
		infinite++
	}
	weighable := infinite
	for weighable < len(ps) && ps[weighable].weighable() {
		weighable++
	}
	t.greedy(taken, used, 0, infinite)
	r.pack(ps, t, taken, used, infinite, weighable, o)
	t.greedy(taken, used, weighable, len(ps))
	preferStock(ps, t, taken)
	return taken
}

// greedy takes those from one proposal to another whose items are all unused.
func (t items) greedy(taken, used []bool, from, to int) {
	for i := from; i < to; i++ {
		if t.unused(used, i) {
			taken[i] = true
			t.use(used, i)
		}
	}
}

func (t items) unused(used []bool, i int) bool {
	for _, x := range t.of(i) {
		if used[x] {
			return false
		}
	}
	return true
}

func (t items) use(used []bool, i int) {
	for _, x := range t.of(i) {
		used[x] = true
	}
}

// pack takes, of those from one proposal to another whose items are all
// unused, a choice of a high sum.
func (r *Result) pack(ps []Proposal, t items, taken, used []bool, from, to int, o Options) {
	problem := packing.Problem{Starts: []int32{0}, NumItems: t.count}
	var which []int
	for i := from; i < to; i++ {
		if t.unused(used, i) {
			which = append(which, i)
			problem.Weights = append(problem.Weights, ps[i].Score)
			problem.Items = append(problem.Items, t.of(i)...)
			problem.Starts = append(problem.Starts, int32(len(problem.Items)))
		}
	}
	solution := packing.Solve(&problem, packing.Options(o))
	r.Exact, r.Steps, r.Cut = solution.Exact, solution.Steps, solution.Cut
	for k, i := range which {
		if solution.Taken[k] {
			taken[i] = true
			t.use(used, i)
		}
	}
}
