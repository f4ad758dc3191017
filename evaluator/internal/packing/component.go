package packing

import "math"

// table holds lists of numbers, one after the other: list i is
// values[starts[i]:starts[i+1]].
type table struct{ starts, values []int32 }

func (t table) of(i int32) []int32 { return t.values[t.starts[i]:t.starts[i+1]] }

// invert makes, for each item, the list of the sets that have it, in falling
// weight. It is as large as the problem itself, while a graph of the
// collisions could be quadratic.
func invert(starts, items []int32, numItems int) table {
	t := table{starts: make([]int32, numItems+1), values: make([]int32, len(items))}
	t.fill(starts, items)
	return t
}

// fill is invert into a table of the right size.
func (t table) fill(starts, items []int32) {
	clear(t.starts)
	for _, x := range items {
		t.starts[x]++
	}
	sum := int32(0)
	for x := range t.starts {
		sum += t.starts[x]
		t.starts[x] = sum
	}
	for v := len(starts) - 2; v >= 0; v-- {
		for _, x := range items[starts[v]:starts[v+1]] {
			t.starts[x]--
			t.values[t.starts[x]] = int32(v)
		}
	}
}

// Groups puts items that sets connect into groups: the answer has, for each
// item, the lowest one of its group. Starts and items are as in Problem.
func Groups(starts, items []int32, numItems int) []int32 {
	root := make([]int32, numItems)
	for x := range root {
		root[x] = int32(x)
	}
	find := func(x int32) int32 {
		for root[x] != x {
			root[x] = root[root[x]]
			x = root[x]
		}
		return x
	}
	for v := range len(starts) - 1 {
		set := items[starts[v]:starts[v+1]]
		for _, x := range set[min(1, len(set)):] {
			if a, b := find(set[0]), find(x); a != b {
				root[max(a, b)] = min(a, b)
			}
		}
	}
	for x := range root {
		root[x] = root[root[x]] // which has been dealt with, as it is lower
	}
	return root
}

// split puts sets, given in falling weight, into components: sets of different
// components share no item. Components keep the order of the sets, and are in that of
// their first sets.
func split(p *Problem, sets []int32) [][]int32 {
	root := Groups(subset(p, sets))
	var components [][]int32
	number := make([]int32, p.NumItems) // of the component, plus 1, at its root
	for _, v := range sets {
		items := p.of(v)
		if len(items) == 0 { // shares nothing
			components = append(components, []int32{v})
			continue
		}
		r := root[items[0]]
		if number[r] == 0 {
			components = append(components, nil)
			number[r] = int32(len(components))
		}
		components[number[r]-1] = append(components[number[r]-1], v)
	}
	return components
}

// subset lists the items of some sets of a problem only.
func subset(p *Problem, sets []int32) (starts, items []int32, numItems int) {
	if len(sets) == len(p.Weights) {
		return p.Starts, p.Items, p.NumItems
	}
	starts = append(make([]int32, 0, len(sets)+1), 0)
	items = make([]int32, 0, p.entries(sets))
	for _, v := range sets {
		items = append(items, p.of(v)...)
		starts = append(starts, int32(len(items)))
	}
	return starts, items, p.NumItems
}

// component is one component as a problem of its own, in which sets and items have new
// numbers; the order of the sets is kept. Its largest weight is between 1/2 and
// 1, so that no sum overflows.
type component struct {
	weights  []float64
	sets     table // the items of each set
	inc      table // the sets of each item
	numItems int
}

// solver solves components, one after the other, in the same memory.
type solver struct {
	problem   *Problem
	local     []int32 // the number of each item in the component, plus 1
	component component
	sweep     sweep
	search    search
}

func (w *solver) load(sets []int32) {
	p, q := w.problem, &w.component
	q.weights, q.sets.starts, q.sets.values, q.numItems = q.weights[:0], append(q.sets.starts[:0], 0), q.sets.values[:0], 0
	_, exponent := math.Frexp(p.Weights[sets[0]])
	for _, v := range sets {
		q.weights = append(q.weights, math.Ldexp(p.Weights[v], -exponent))
		for _, x := range p.of(v) {
			if w.local[x] == 0 {
				q.numItems++
				w.local[x] = int32(q.numItems)
			}
			q.sets.values = append(q.sets.values, w.local[x]-1)
		}
		q.sets.starts = append(q.sets.starts, int32(len(q.sets.values)))
	}
	for _, v := range sets {
		for _, x := range p.of(v) {
			w.local[x] = 0
		}
	}
	q.inc.starts = resize(q.inc.starts, q.numItems+1)
	q.inc.values = resize(q.inc.values, len(q.sets.values))
	q.inc.fill(q.sets.starts, q.sets.values)
}

// solve returns which of sets, those of one component, to take, and whether that is
// known to be the best. What it returns is good until the next call.
func (w *solver) solve(sets []int32, b *budget) (taken []bool, exact bool) {
	w.load(sets)
	q := &w.component
	greedy := q.greedy()
	if b.over() {
		return greedy, false
	}
	s := &w.search
	s.reset(q)
	swept, exact := w.sweep.run(q, greedy, b)
	if swept != nil && q.sum(swept) > q.sum(greedy) {
		s.adopt(swept)
	} else {
		s.adopt(greedy)
	}
	if !exact {
		s.improve(w.sweep.orderer.order, b)
	}
	s.finish(b)
	if q.sum(s.taken) > q.sum(greedy)*better {
		return s.taken, exact
	}
	return greedy, exact
}

// greedy takes, in falling weight, whatever collides with nothing taken.
func (q *component) greedy() []bool {
	taken, used := make([]bool, len(q.weights)), make([]bool, q.numItems)
	for v := range taken {
		free := true
		for _, x := range q.sets.of(int32(v)) {
			free = free && !used[x]
		}
		if !free {
			continue
		}
		taken[v] = true
		for _, x := range q.sets.of(int32(v)) {
			used[x] = true
		}
	}
	return taken
}

func (q *component) sum(taken []bool) float64 {
	sum := 0.0
	for v, t := range taken {
		if t {
			sum += q.weights[v]
		}
	}
	return sum
}

// resize makes s n long, in its own memory where that is enough. What it holds
// afterwards is undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
