package packing_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"torikumi/evaluator/internal/packing"
)

// set is one set of a problem in the making.
type set struct {
	weight float64
	items  []int32
}

// problem sorts sets by falling weight.
func problem(sets []set, numItems int) *packing.Problem {
	slices.SortStableFunc(sets, func(a, b set) int { return cmp.Compare(b.weight, a.weight) })
	p := &packing.Problem{Starts: []int32{0}, NumItems: numItems}
	for _, s := range sets {
		p.Weights = append(p.Weights, s.weight)
		p.Items = append(p.Items, s.items...)
		p.Starts = append(p.Starts, int32(len(p.Items)))
	}
	return p
}

// line draws n sets of size items out of m. Those of a set are within reach of
// a place, as players of about the same strength are. Weights are log-normal
// with sigma 0.3.
func line(rng *rand.Rand, n, m, size, reach int) *packing.Problem {
	sets := make([]set, n)
	for i := range sets {
		place := rng.IntN(m)
		for _, k := range rng.Perm(2*reach + 1)[:size] {
			sets[i].items = append(sets[i].items, int32((place+k-reach+m)%m))
		}
		sets[i].weight = math.Exp(0.3 * rng.NormFloat64())
	}
	return problem(sets, m)
}

// around is line with a bell curve: the items of a set are at a standard
// deviation of reach from its place.
func around(rng *rand.Rand, n, m, size, reach int) *packing.Problem {
	sets := make([]set, n)
	for i := range sets {
		place := rng.IntN(m)
		for len(sets[i].items) < size {
			k := place + int(math.Round(float64(reach)*rng.NormFloat64()))
			if item := int32((k%m + m) % m); !slices.Contains(sets[i].items, item) {
				sets[i].items = append(sets[i].items, item)
			}
		}
		sets[i].weight = math.Exp(0.3 * rng.NormFloat64())
	}
	return problem(sets, m)
}

// plane is line in two dimensions: m is side*side.
func plane(rng *rand.Rand, n, side, size, reach int) *packing.Problem {
	sets := make([]set, n)
	across := 2*reach + 1
	for i := range sets {
		sets[i].weight = math.Exp(0.3 * rng.NormFloat64())
		x, y := rng.IntN(side), rng.IntN(side)
		for _, k := range rng.Perm(across * across)[:size] {
			sets[i].items = append(sets[i].items, int32((y+k/across)%side*side+(x+k%across)%side))
		}
	}
	return problem(sets, side*side)
}

// anywhere draws sets of up to size items, out of all m.
func anywhere(rng *rand.Rand, n, m, size int, weight func() float64) *packing.Problem {
	sets := make([]set, n)
	for i := range sets {
		sets[i].weight = weight()
		for _, x := range rng.Perm(m)[:1+rng.IntN(size)] {
			sets[i].items = append(sets[i].items, int32(x))
		}
	}
	return problem(sets, m)
}

// star is n sets that all have one item, and overlap besides.
func star(rng *rand.Rand, n int) *packing.Problem {
	sets := make([]set, n)
	for i := range sets {
		sets[i] = set{weight: 1 + rng.Float64(), items: []int32{0}}
		for k := range 9 {
			sets[i].items = append(sets[i].items, int32(1+(3*i+k)%(3*n)))
		}
	}
	return problem(sets, 3*n+1)
}

// cliques is a chain: in each of its links all sets have an item in common, and
// one set of each link has an item of the next.
func cliques(rng *rand.Rand, links, size int) *packing.Problem {
	var sets []set
	own := int32(links)
	for l := range int32(links) {
		for k := range size {
			s := set{weight: 1 + rng.Float64(), items: []int32{l, own}}
			own++
			if k == 0 && int(l) < links-1 {
				s.items = append(s.items, l+1)
			}
			sets = append(sets, s)
		}
	}
	return problem(sets, int(own))
}

func items(p *packing.Problem, v int) []int32 { return p.Items[p.Starts[v]:p.Starts[v+1]] }

func sum(p *packing.Problem, taken []bool) float64 {
	total := 0.0
	for v, t := range taken {
		if t {
			total += p.Weights[v]
		}
	}
	return total
}

// greedy is written for the check alone.
func greedy(p *packing.Problem) []bool {
	taken, used := make([]bool, len(p.Weights)), make(map[int32]bool)
	for v := range taken {
		taken[v] = !slices.ContainsFunc(items(p, v), func(x int32) bool { return used[x] })
		if taken[v] {
			for _, x := range items(p, v) {
				used[x] = true
			}
		}
	}
	return taken
}

// optimum tries everything.
func optimum(p *packing.Problem) float64 {
	used := make([]bool, p.NumItems)
	var from func(v int) float64
	from = func(v int) float64 {
		if v == len(p.Weights) {
			return 0
		}
		without := from(v + 1)
		if slices.ContainsFunc(items(p, v), func(x int32) bool { return used[x] }) {
			return without
		}
		for _, x := range items(p, v) {
			used[x] = true
		}
		with := p.Weights[v] + from(v+1)
		for _, x := range items(p, v) {
			used[x] = false
		}
		return max(without, with)
	}
	return from(0)
}
