package simulate

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// The cheapest assignment is as cheap as the cheapest of all.
func TestCheapest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "n")
		cost := make([][]float64, n)
		edges := make([][]meeting, n)
		for i := range n {
			cost[i] = make([]float64, n)
			for j := range n {
				cost[i][j] = math.Inf(1)
				if i == j || rapid.Bool().Draw(t, "edge") {
					cost[i][j] = float64(rapid.IntRange(0, 20).Draw(t, "cost"))
					edges[i] = append(edges[i], meeting{other: j, cost: cost[i][j]})
				}
			}
		}
		best := math.Inf(1)
		used := make([]bool, n)
		var try func(i int, sum float64)
		try = func(i int, sum float64) {
			if i == n {
				best = min(best, sum)
				return
			}
			for j := range n {
				if !used[j] {
					used[j] = true
					try(i+1, sum+cost[i][j])
					used[j] = false
				}
			}
		}
		try(0, 0)
		sum, columns := 0.0, make(map[int]bool)
		for i, m := range cheapest(edges) {
			sum += m.cost
			if columns[m.other] || cost[i][m.other] != m.cost {
				t.Fatalf("row %d has column %d for %v", i, m.other, m.cost)
			}
			columns[m.other] = true
		}
		if math.Abs(sum-best) > 1e-9 {
			t.Fatalf("%v, at best %v", sum, best)
		}
	})
}
