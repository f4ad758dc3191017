package choice_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"torikumi/evaluator/internal/choice"
)

// neighbours draws n proposals of 10 tickets each out of 2n, all within reach
// of a place, with log-normal scores of sigma 0.3.
func neighbours(n, reach int) []choice.Proposal {
	return proposals(n, func(rng *rand.Rand) []int { return rng.Perm(2*reach + 1)[:10] })
}

// around is neighbours with a bell curve of standard deviation 10.
func around(n int) []choice.Proposal {
	return proposals(n, func(rng *rand.Rand) (from []int) {
		for len(from) < 10 {
			if k := int(math.Round(10 * rng.NormFloat64())); !slices.Contains(from, k) {
				from = append(from, k)
			}
		}
		return from
	})
}

func proposals(n int, draw func(*rand.Rand) []int) []choice.Proposal {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	ps := make([]choice.Proposal, n)
	for i := range ps {
		ps[i] = choice.Proposal{ID: fmt.Sprint("match-", i), Score: math.Exp(0.3 * rng.NormFloat64()), Oldest: start.Add(time.Duration(i) * time.Millisecond)}
		place := rng.IntN(2 * n)
		for _, k := range draw(rng) {
			ps[i].Tickets = append(ps[i].Tickets, "ticket-"+strconv.Itoa((place+k+2*n)%(2*n)))
		}
	}
	return ps
}

// hub is neighbours with one ticket in all proposals.
func hub(n int) []choice.Proposal {
	ps := neighbours(n, 10)
	for i := range ps {
		ps[i].Tickets[0] = "hub"
	}
	return ps
}

// BenchmarkChoose reports, besides the time, the sum of scores in relation to
// that of the stock choice.
func BenchmarkChoose(b *testing.B) {
	for _, c := range []struct {
		name  string
		input func() []choice.Proposal
	}{
		{"10000/within10", func() []choice.Proposal { return neighbours(10_000, 10) }},
		{"10000/around10", func() []choice.Proposal { return around(10_000) }},
		{"10000/within20", func() []choice.Proposal { return neighbours(10_000, 20) }},
		{"10000/within100", func() []choice.Proposal { return neighbours(10_000, 100) }},
		{"10000/anywhere", func() []choice.Proposal { return neighbours(10_000, 9_000) }},
		{"100000/within10", func() []choice.Proposal { return neighbours(100_000, 10) }},
		{"100000/around10", func() []choice.Proposal { return around(100_000) }},
		{"100000/within20", func() []choice.Proposal { return neighbours(100_000, 20) }},
		{"100000/within100", func() []choice.Proposal { return neighbours(100_000, 100) }},
		{"100000/hub", func() []choice.Proposal { return hub(100_000) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			input := c.input()
			var r choice.Result
			for b.Loop() {
				b.StopTimer()
				in := clone(input)
				b.StartTimer()
				r = choice.Choose(in, choice.Options{Effort: 100})
			}
			stock := choice.Choose(clone(input), choice.Options{})
			b.ReportMetric(r.Kept/stock.Kept, "ratio")
			b.ReportMetric(float64(r.Steps)/1e6, "Msteps")
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
		})
	}
}
