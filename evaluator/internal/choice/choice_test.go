package choice_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"torikumi/evaluator/internal/choice"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// drawProposals makes proposals of few tickets, ids and scores, so that all
// kinds of collisions and ties are common.
func drawProposals(t *rapid.T) []choice.Proposal {
	one := rapid.Custom(func(t *rapid.T) choice.Proposal {
		p := choice.Proposal{
			ID:          rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f", "g", "h"}).Draw(t, "id"),
			Score:       rapid.SampledFrom([]float64{0, 1, 1, -3, math.Inf(-1), math.Inf(1), math.MaxFloat64}).Draw(t, "score"),
			Tickets:     rapid.SliceOfN(rapid.SampledFrom([]string{"", "1", "2", "3", "4", "5", "6", "7"}), 0, 4).Draw(t, "tickets"),
			Backfill:    rapid.SampledFrom([]string{"", "", "", "x", "y"}).Draw(t, "backfill"),
			NewBackfill: false,
		}
		if p.Backfill == "" {
			p.NewBackfill = rapid.Bool().Draw(t, "new")
		}
		if rapid.Bool().Draw(t, "aged") {
			p.Oldest = start.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "age")) * time.Second)
		}
		return p
	})
	return rapid.SliceOfN(one, 0, 20).Draw(t, "proposals")
}

func clone(ps []choice.Proposal) []choice.Proposal {
	out := slices.Clone(ps)
	for i := range out {
		out[i].Tickets = slices.Clone(out[i].Tickets)
	}
	return out
}

// takes lists what a proposal takes, written for the check alone.
func takes(p choice.Proposal) map[string]bool {
	m := make(map[string]bool)
	for _, t := range p.Tickets {
		m["ticket "+t] = true
	}
	if p.Backfill != "" {
		m["backfill "+p.Backfill] = true
	}
	return m
}

func overlap(p, q choice.Proposal) bool {
	for k := range takes(p) {
		if takes(q)[k] {
			return true
		}
	}
	return false
}

// whole tells whether a proposal is one that may stand at all.
func whole(p choice.Proposal) bool {
	seen := make(map[string]bool)
	for _, t := range p.Tickets {
		if t == "" || seen[t] {
			return false
		}
		seen[t] = true
	}
	return p.ID != "" && (len(p.Tickets) > 0 || p.Backfill != "" || p.NewBackfill)
}

// same tells whether two proposals take exactly the same.
func same(p, q choice.Proposal) bool {
	if len(takes(p)) != len(takes(q)) || p.NewBackfill != q.NewBackfill {
		return false
	}
	for k := range takes(p) {
		if !takes(q)[k] {
			return false
		}
	}
	return true
}

// candidates are, by id, the proposals that may stand: whole ones whose id
// means one match only.
func candidates(ps []choice.Proposal) map[string]choice.Proposal {
	out := make(map[string]choice.Proposal)
	for _, p := range ps {
		ok := true
		for _, q := range ps {
			if q.ID == p.ID && (!whole(q) || !same(p, q)) {
				ok = false
			}
		}
		if old, known := out[p.ID]; ok && (!known || p.Score > old.Score) {
			out[p.ID] = p
		}
	}
	return out
}

func TestChoice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		input := drawProposals(t)
		may := candidates(input)
		r := choice.Choose(clone(input))

		accepted := make(map[string]bool)
		for _, id := range r.Accepted {
			if accepted[id] {
				t.Fatalf("id %q answered twice", id)
			}
			accepted[id] = true
			if _, ok := may[id]; !ok {
				t.Fatalf("id %q must not be answered", id)
			}
		}
		for id, p := range may {
			collision, better := false, false
			for other := range accepted {
				if other == id || !overlap(p, may[other]) {
					continue
				}
				collision = true
				better = better || may[other].Score >= p.Score
			}
			switch {
			case accepted[id] && collision:
				t.Fatalf("%q overlaps with another accepted one", id)
			case !accepted[id] && !collision:
				t.Fatalf("%q was turned down and collides with nothing", id)
			case !accepted[id] && !better:
				t.Fatalf("%q was turned down for worse ones", id)
			}
		}
		total := len(r.Accepted)
		for _, n := range r.Rejected {
			total += n
		}
		if total != len(input) {
			t.Fatalf("%d of %d proposals are accounted for: %v", total, len(input), r)
		}

		shuffled := clone(rapid.Permutation(input).Draw(t, "order"))
		for _, p := range shuffled {
			slices.Reverse(p.Tickets)
		}
		again := choice.Choose(shuffled)
		if !slices.Equal(r.Accepted, again.Accepted) || fmt.Sprint(r.Rejected) != fmt.Sprint(again.Rejected) {
			t.Fatalf("order matters: %v, %v", r, again)
		}
	})
}

func TestTies(t *testing.T) {
	p := func(id string, score float64, age time.Duration, tickets ...string) choice.Proposal {
		return choice.Proposal{ID: id, Score: score, Oldest: start.Add(-age), Tickets: tickets}
	}
	ageless := choice.Proposal{ID: "0", Score: 1, Tickets: []string{"1", "2"}}
	for name, c := range map[string]struct {
		in   []choice.Proposal
		want []string
	}{
		"nothing":                {nil, nil},
		"score first":            {[]choice.Proposal{p("a", 1, 9, "1", "2"), p("b", 2, 0, "2", "3")}, []string{"b"}},
		"then age":               {[]choice.Proposal{p("a", 1, 0, "1", "2"), p("b", 1, 9, "2", "3")}, []string{"b"}},
		"unknown age is last":    {[]choice.Proposal{ageless, p("b", 1, 0, "2", "3")}, []string{"b"}},
		"then id":                {[]choice.Proposal{p("b", 1, 0, "1", "2"), p("a", 1, 0, "2", "3")}, []string{"a"}},
		"no score is last":       {[]choice.Proposal{p("a", math.Inf(-1), 9, "1"), p("b", -5, 0, "1")}, []string{"b"}},
		"no collision, no score": {[]choice.Proposal{p("a", math.Inf(-1), 0, "1"), p("b", 5, 0, "2")}, []string{"b", "a"}},
		"same match twice":       {[]choice.Proposal{p("a", 1, 0, "1", "2"), p("a", 1, 0, "2", "1")}, []string{"a"}},
		"id of two matches":      {[]choice.Proposal{p("a", 9, 0, "1", "2"), p("a", 9, 0, "3", "4"), p("b", 1, 0, "2", "3")}, []string{"b"}},
		"ticket twice":           {[]choice.Proposal{p("a", 9, 0, "1", "1"), p("b", 1, 0, "1")}, []string{"b"}},
		"shared backfill": {[]choice.Proposal{
			{ID: "a", Score: 1, Tickets: []string{"1"}, Backfill: "x"}, {ID: "b", Score: 2, Tickets: []string{"2"}, Backfill: "x"}}, []string{"b"}},
		"new backfills": {[]choice.Proposal{
			{ID: "a", Score: 1, Tickets: []string{"1"}, NewBackfill: true}, {ID: "b", Score: 2, Tickets: []string{"2"}, NewBackfill: true}}, []string{"b", "a"}},
		"ticket and backfill of one name": {[]choice.Proposal{
			{ID: "a", Score: 1, Tickets: []string{"x"}}, {ID: "b", Score: 2, Backfill: "x"}}, []string{"b", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := choice.Choose(c.in); !slices.Equal(got.Accepted, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		rng := rand.New(rand.NewPCG(1, uint64(n)))
		input := make([]choice.Proposal, n)
		for i := range input {
			p := choice.Proposal{ID: fmt.Sprint("m", i), Score: rng.Float64(), Oldest: start}
			for _, k := range rng.Perm(20)[:10] {
				p.Tickets = append(p.Tickets, fmt.Sprint("t", (i*2+k)%(2*n)))
			}
			input[i] = p
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				in := clone(input)
				b.StartTimer()
				choice.Choose(in)
			}
		})
	}
}
