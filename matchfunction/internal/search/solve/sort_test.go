package solve

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sortByKey sorts as a stable sort of the numbers does, whatever they are: far apart and
// close together, few of them different, and all in one or in no run that radix makes.
func TestSortByKey(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	kinds := map[string]func(i int) float64{
		"normal":       func(int) float64 { return 1500 + 200*rng.NormFloat64() },
		"around zero":  func(int) float64 { return rng.NormFloat64() },
		"equal":        func(int) float64 { return 7 },
		"few":          func(int) float64 { return float64(rng.IntN(5)) },
		"integers":     func(int) float64 { return float64(rng.IntN(3000)) },
		"one far away": func(i int) float64 { return []float64{1500 + rng.Float64(), -1e300}[min(1, max(0, 1-i))] },
		"any bits": func(int) float64 {
			for {
				if x := math.Float64frombits(rng.Uint64()); !math.IsNaN(x) {
					return x
				}
			}
		},
		"last bits": func(int) float64 { return math.Float64frombits(math.Float64bits(1500) + rng.Uint64N(1<<30)) },
		"last bits, runs": func(int) float64 {
			return math.Float64frombits(math.Float64bits(float64(rng.IntN(9))) + rng.Uint64N(64))
		},
		"ascending":  func(i int) float64 { return float64(i) },
		"descending": func(i int) float64 { return -float64(i) / 3 },
		"infinite":   func(int) float64 { return math.Inf(rng.IntN(2)*2 - 1) },
	}
	for name, next := range kinds {
		for _, n := range []int{0, 1, 2, few - 1, few, few + 1, 5000, 40_000} {
			in := make([]sortedTicket, n)
			for i := range in {
				in[i] = sortedTicket{sortable(next(i)), int32(i)}
			}
			want := slices.Clone(in)
			slices.SortStableFunc(want, func(a, b sortedTicket) int { return cmp.Compare(number(a.bits), number(b.bits)) })
			sortByKey(in, make([]sortedTicket, n))
			if !slices.Equal(in, want) {
				t.Errorf("%s, %d numbers: not as a stable sort", name, n)
			}
		}
	}
}
