package choice

import (
	"math"

	"torikumi/evaluator/internal/packing"
)

// preferStock puts the stock choice in place of taken wherever that has no
// higher sum of finite scores, for each group of proposals that collisions
// connect. Only negative scores can bring that about.
func preferStock(ps []Proposal, t items, taken []bool) {
	negative := false
	for i, p := range ps {
		negative = negative || taken[i] && p.Score < 0 && finite(p.Score)
	}
	if !negative {
		return
	}
	stock := make([]bool, len(ps))
	t.greedy(stock, make([]bool, t.count), 0, len(ps))
	group := packing.Groups(t.starts, t.values, t.count)
	gain := make([]float64, t.count) // of taken over stock, by group
	down := exponent(ps)
	for i, p := range ps {
		if taken[i] == stock[i] || !finite(p.Score) {
			continue
		}
		score := math.Ldexp(p.Score, -down)
		if stock[i] {
			score = -score
		}
		gain[group[t.of(i)[0]]] += score
	}
	for i := range ps {
		if of := t.of(i); len(of) > 0 && gain[group[of[0]]] <= 0 {
			taken[i] = stock[i]
		}
	}
}

// exponent is that of the largest finite score. Scores that are made smaller by
// it can be added up without overflow, and with the same rounding.
func exponent(ps []Proposal) int {
	most := 0.0
	for _, p := range ps {
		if finite(p.Score) {
			most = max(most, math.Abs(p.Score))
		}
	}
	_, e := math.Frexp(most)
	return e
}

func finite(x float64) bool { return math.Abs(x) <= math.MaxFloat64 }
