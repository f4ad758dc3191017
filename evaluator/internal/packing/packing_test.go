package packing_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"torikumi/evaluator/internal/packing"
)

func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// check fails unless a choice is one, lacks nothing that is free, and has at
// least the sum of the greedy one.
func check(t *testing.T, p *packing.Problem, taken []bool) {
	t.Helper()
	used := make([]bool, p.NumItems)
	for v, is := range taken {
		for _, x := range items(p, v) {
			if is && used[x] {
				t.Fatalf("item %d is used twice", x)
			}
			used[x] = used[x] || is
		}
	}
	for v, is := range taken {
		if !is && !slices.ContainsFunc(items(p, v), func(x int32) bool { return used[x] }) {
			t.Fatalf("set %d collides with nothing", v)
		}
	}
	if got, least := sum(p, taken), sum(p, greedy(p)); got < least*(1-1e-12) {
		t.Fatalf("sum %v is below the %v of the greedy choice", got, least)
	}
}

// Small problems are solved exactly, and local search alone is not far.
func TestOptimum(t *testing.T) {
	bySearch, best := 0.0, 0.0
	for seed := range uint64(600) {
		rng := seeded(seed)
		var p *packing.Problem
		switch seed % 4 {
		case 0:
			p = line(rng, 16, 24, 4, 5)
		case 1:
			p = plane(rng, 16, 6, 3, 1)
		case 2:
			p = anywhere(rng, 14, 12, 3, rng.Float64)
		case 3: // many ties
			p = anywhere(rng, 14, 12, 4, func() float64 { return float64(1 + rng.IntN(3)) })
		}
		s := packing.Solve(p, packing.Options{Effort: 100})
		check(t, p, s.Taken)
		opt := optimum(p)
		if !s.Exact || math.Abs(sum(p, s.Taken)-opt) > 1e-9 {
			t.Fatalf("seed %d: sum %v, exact %v, want %v", seed, sum(p, s.Taken), s.Exact, opt)
		}
		best += opt
		bySearch += sum(p, packing.Search(p, 100))
	}
	if bySearch < 0.98*best {
		t.Errorf("local search reaches %.4f of the optimum, want 0.98", bySearch/best)
	}
	t.Logf("local search alone reaches %.4f of the optimum", bySearch/best)
}

// What an integer programme (HiGHS) proved to be best for these.
func TestOptimumOfAnotherSolver(t *testing.T) {
	for seed, want := range []float64{92.37789811932971, 86.79450846943273, 86.86812101736557} {
		p := line(seeded(uint64(seed)), 600, 1200, 10, 10)
		s := packing.Solve(p, packing.Options{Effort: 100})
		if got := sum(p, s.Taken); !s.Exact || math.Abs(got-want) > 1e-6 {
			t.Errorf("seed %d: sum %v, exact %v, want %v", seed, got, s.Exact, want)
		}
		if got := sum(p, packing.Search(p, 1000)); got < 0.98*want {
			t.Errorf("seed %d: local search alone reaches %.4f of it", seed, got/want)
		}
	}
}

// The gain over the greedy choice where collisions are heavy: 10,000 sets of 10
// of 20,000 items. Within ±10 the gain is the largest that there is.
func TestGain(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	for name, c := range map[string]struct {
		make  func(*rand.Rand) *packing.Problem
		least float64
		exact bool
	}{
		"within 10": {func(r *rand.Rand) *packing.Problem { return line(r, 10_000, 20_000, 10, 10) }, 1.10, true},
		"around 10": {func(r *rand.Rand) *packing.Problem { return around(r, 10_000, 20_000, 10, 10) }, 1.13, false},
		"within 20": {func(r *rand.Rand) *packing.Problem { return line(r, 10_000, 20_000, 10, 20) }, 1.15, false},
		"within 50": {func(r *rand.Rand) *packing.Problem { return line(r, 10_000, 20_000, 10, 50) }, 1.13, false},
		"plane":     {func(r *rand.Rand) *packing.Problem { return plane(r, 10_000, 141, 10, 2) }, 1.10, false},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := 0.0, 0.0
			for seed := range uint64(2) {
				p := c.make(seeded(seed))
				s := packing.Solve(p, packing.Options{Effort: 100})
				check(t, p, s.Taken)
				ours += sum(p, s.Taken)
				theirs += sum(p, greedy(p))
				if c.exact && !s.Exact {
					t.Errorf("seed %d: not solved exactly", seed)
				}
			}
			if ours < c.least*theirs {
				t.Errorf("%.4f times the greedy choice, want %v", ours/theirs, c.least)
			}
			t.Logf("%.4f times the greedy choice", ours/theirs)
		})
	}
}

// Shapes that are meant to take time: the steps stay within their budget.
func TestShapes(t *testing.T) {
	one := func() float64 { return 1 }
	for name, p := range map[string]*packing.Problem{
		"nothing":        problem(nil, 0),
		"no items":       problem([]set{{weight: 1}, {weight: 1}}, 0),
		"star":           star(seeded(1), 100_000),
		"cliques":        cliques(seeded(1), 300, 100),
		"apart":          line(seeded(1), 100_000, 3_000_000, 3, 1),
		"equal":          anywhere(seeded(1), 5_000, 3_000, 8, one),
		"all alike":      anywhere(seeded(1), 20_000, 1, 1, one),
		"pairs":          anywhere(seeded(1), 30_000, 250, 2, seeded(2).Float64),
		"triples":        anywhere(seeded(1), 30_000, 60, 3, seeded(2).Float64),
		"small parts":    line(seeded(1), 60_000, 180_000, 4, 2),
		"large sets":     anywhere(seeded(1), 500, 2_000, 1_500, one),
		"huge weights":   anywhere(seeded(1), 50, 60, 3, func() float64 { return math.MaxFloat64 }),
		"tiny weights":   anywhere(seeded(1), 50, 60, 3, func() float64 { return math.SmallestNonzeroFloat64 }),
		"all magnitudes": anywhere(seeded(1), 500, 300, 4, func() float64 { return math.Ldexp(1, seeded(3).IntN(2000)-1000) }),
	} {
		t.Run(name, func(t *testing.T) {
			s := packing.Solve(p, packing.Options{Effort: 20})
			// Settling has up to 64 steps for each item besides.
			if most := 2<<20 + 90*int64(len(p.Items)); s.Steps > most {
				t.Errorf("%d steps, want %d at most", s.Steps, most)
			}
			if name == "huge weights" {
				p = scaled(p)
			}
			check(t, p, s.Taken)
		})
	}
}

// scaled makes the weights of p small enough for a plain sum.
func scaled(p *packing.Problem) *packing.Problem {
	q := *p
	q.Weights = slices.Clone(p.Weights)
	for i := range q.Weights {
		q.Weights[i] = math.Ldexp(q.Weights[i], -100)
	}
	return &q
}

// Weights of one scale give the same choice as those of another.
func TestScale(t *testing.T) {
	p := line(seeded(1), 500, 1000, 10, 20)
	q := *p
	q.Weights = slices.Clone(p.Weights)
	for i := range q.Weights {
		q.Weights[i] = math.Ldexp(q.Weights[i], 1000)
	}
	a, b := packing.Solve(p, packing.Options{Effort: 50}), packing.Solve(&q, packing.Options{Effort: 50})
	if !slices.Equal(a.Taken, b.Taken) {
		t.Error("the scale matters")
	}
}

// Of sets of one weight the earlier stands, unless there is a gain in it.
func TestTies(t *testing.T) {
	for seed := range uint64(300) {
		rng := seeded(seed)
		p := anywhere(rng, 40, 30, 4, func() float64 { return float64(1 + rng.IntN(2)) })
		s := packing.Solve(p, packing.Options{Effort: 100})
		if base := greedy(p); sum(p, base) == sum(p, s.Taken) && !slices.Equal(base, s.Taken) {
			t.Fatalf("seed %d: no gain, and not the greedy choice", seed)
		}
		owner := make(map[int32]int)
		for v, is := range s.Taken {
			for _, x := range items(p, v) {
				if is {
					owner[x] = v
				}
			}
		}
		for v := range s.Taken {
			against := make(map[int]bool)
			for _, x := range items(p, v) {
				if u, used := owner[x]; used {
					against[u] = true
				}
			}
			for u := range against {
				if len(against) == 1 && v < u && p.Weights[v] == p.Weights[u] {
					t.Fatalf("seed %d: %d stands, but %d could in its place", seed, u, v)
				}
			}
		}
	}
}

// However early the clock cuts, the choice is whole and no worse than greedy.
func TestStop(t *testing.T) {
	p := line(seeded(1), 3000, 6000, 10, 30)
	for _, looks := range []int{0, 1, 2, 5, 10, 50, 200} {
		n := 0
		s := packing.Solve(p, packing.Options{Effort: 100, Stop: func() bool { n++; return n > looks }})
		check(t, p, s.Taken)
		if !s.Cut {
			t.Errorf("after %d looks: not cut", looks)
		}
		if s.Exact {
			t.Errorf("after %d looks: exact", looks)
		}
	}
}

// No effort is the greedy choice.
func TestNoEffort(t *testing.T) {
	p := line(seeded(1), 1000, 2000, 10, 10)
	if s := packing.Solve(p, packing.Options{}); !slices.Equal(s.Taken, greedy(p)) {
		t.Error("another choice")
	}
}

// The same effort gives the same; more is a matter of luck at the margin only.
func TestEffort(t *testing.T) {
	p := plane(seeded(1), 3000, 80, 10, 2)
	a, again, b := packing.Solve(p, packing.Options{Effort: 30}), packing.Solve(p, packing.Options{Effort: 30}), packing.Solve(p, packing.Options{Effort: 1000})
	if !slices.Equal(a.Taken, again.Taken) || a.Steps != again.Steps {
		t.Error("not the same twice")
	}
	if sum(p, b.Taken) < 0.99*sum(p, a.Taken) {
		t.Errorf("%v with more effort, %v with less", sum(p, b.Taken), sum(p, a.Taken))
	}
}

func FuzzSolve(f *testing.F) {
	f.Add([]byte{3, 1, 2, 0, 2, 2, 0, 1, 4, 0}, uint8(10))
	f.Fuzz(func(t *testing.T, data []byte, effort uint8) {
		var sets []set
		for len(data) > 0 && len(sets) < 15 {
			s := set{weight: float64(1+data[0]>>2) / 4}
			n := min(int(data[0]&3)+1, len(data)-1)
			for _, x := range data[1 : 1+n] {
				if !slices.Contains(s.items, int32(x%16)) {
					s.items = append(s.items, int32(x%16))
				}
			}
			sets, data = append(sets, s), data[1+n:]
		}
		p := problem(sets, 16)
		s := packing.Solve(p, packing.Options{Effort: int(effort)})
		check(t, p, s.Taken)
		if effort > 0 && (!s.Exact || sum(p, s.Taken) < optimum(p)*(1-1e-9)) {
			t.Errorf("sum %v, exact %v, want %v", sum(p, s.Taken), s.Exact, optimum(p))
		}
	})
}
