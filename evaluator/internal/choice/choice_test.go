package choice_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"torikumi/evaluator/internal/choice"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var effort = choice.Options{Effort: 100}

// drawProposals makes proposals of few tickets, ids and scores, so that all
// kinds of collisions and ties are common.
func drawProposals(t *rapid.T) []choice.Proposal {
	one := rapid.Custom(func(t *rapid.T) choice.Proposal {
		p := choice.Proposal{
			ID:          rapid.SampledFrom([]string{"", "a", "b", "c", "d", "e", "f", "g", "h"}).Draw(t, "id"),
			Score:       rapid.SampledFrom([]float64{0, 1, 1, 2, 2.5, 3, -1, -3, math.Inf(-1), math.Inf(1), math.MaxFloat64, math.MaxFloat64 / 2}).Draw(t, "score"),
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

// whole reports whether a proposal is one that may stand at all.
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

// same reports whether two proposals take exactly the same.
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
		if old, known := out[p.ID]; ok && (!known || stockOrder(p, old) < 0) {
			out[p.ID] = p
		}
	}
	return out
}

func TestChoice(t *testing.T) { rapid.Check(t, checkChoice) }

func checkChoice(t *rapid.T) {
	input := drawProposals(t)
	may := candidates(input)
	r := choice.Choose(clone(input), effort)

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
		collision := false
		for other := range accepted {
			collision = collision || other != id && overlap(p, may[other])
		}
		switch {
		case accepted[id] && collision:
			t.Fatalf("%q overlaps with another accepted one", id)
		case !accepted[id] && !collision:
			t.Fatalf("%q was turned down and collides with nothing", id)
		}
	}
	againstStock(t, may, r)
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
	again := choice.Choose(shuffled, effort)
	if !slices.Equal(r.Accepted, again.Accepted) || fmt.Sprint(r.Rejected) != fmt.Sprint(again.Rejected) {
		t.Fatalf("order matters: %v, %v", r, again)
	}
}

// stockOrder is that of Open Match's evaluator, and then the older first.
func stockOrder(p, q choice.Proposal) int {
	switch {
	case p.Score != q.Score:
		return cmp.Compare(q.Score, p.Score)
	case p.Oldest.IsZero() != q.Oldest.IsZero():
		return map[bool]int{true: 1, false: -1}[p.Oldest.IsZero()]
	}
	return cmp.Or(p.Oldest.Compare(q.Oldest), cmp.Compare(p.ID, q.ID))
}

// stockChoice is that of Open Match's evaluator, written for the check alone.
func stockChoice(may map[string]choice.Proposal) []string {
	ids := slices.SortedFunc(maps.Keys(may), func(a, b string) int { return stockOrder(may[a], may[b]) })
	var taken []string
	for _, id := range ids {
		if !slices.ContainsFunc(taken, func(other string) bool { return overlap(may[id], may[other]) }) {
			taken = append(taken, id)
		}
	}
	return taken
}

// sums adds up what is finite, and counts +Inf.
func sums(may map[string]choice.Proposal, ids []string) (sum *big.Float, infinite int) {
	sum = new(big.Float).SetPrec(2200) // exact
	for _, id := range ids {
		switch s := may[id].Score; {
		case math.IsInf(s, 1):
			infinite++
		case !math.IsInf(s, -1):
			sum.Add(sum, big.NewFloat(s))
		}
	}
	return sum, infinite
}

// againstStock fails if the sum is below that of the stock choice, or another
// choice stands without being better.
func againstStock(t *rapid.T, may map[string]choice.Proposal, r choice.Result) {
	stock := stockChoice(may)
	theirs, infinite := sums(may, stock)
	ours, n := sums(may, r.Accepted)
	if n != infinite {
		t.Fatalf("%d of score +Inf, and %d in the stock choice", n, infinite)
	}
	switch c := ours.Cmp(theirs); {
	case c < 0:
		t.Fatalf("%v has the sum %v, and %v of the stock choice %v", r.Accepted, ours, stock, theirs)
	case c == 0 && !slices.Equal(stock, r.Accepted):
		t.Fatalf("%v is no better than %v, the stock choice", r.Accepted, stock)
	}
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
		"nothing":                 {nil, nil},
		"score first":             {[]choice.Proposal{p("a", 1, 9, "1", "2"), p("b", 2, 0, "2", "3")}, []string{"b"}},
		"then age":                {[]choice.Proposal{p("a", 1, 0, "1", "2"), p("b", 1, 9, "2", "3")}, []string{"b"}},
		"unknown age is last":     {[]choice.Proposal{ageless, p("b", 1, 0, "2", "3")}, []string{"b"}},
		"then id":                 {[]choice.Proposal{p("b", 1, 0, "1", "2"), p("a", 1, 0, "2", "3")}, []string{"a"}},
		"no score is last":        {[]choice.Proposal{p("a", math.Inf(-1), 9, "1"), p("b", -5, 0, "1")}, []string{"b"}},
		"no collision, no score":  {[]choice.Proposal{p("a", math.Inf(-1), 0, "1"), p("b", 5, 0, "2")}, []string{"b", "a"}},
		"same match twice":        {[]choice.Proposal{p("a", 1, 0, "1", "2"), p("a", 1, 0, "2", "1")}, []string{"a"}},
		"id of two matches":       {[]choice.Proposal{p("a", 9, 0, "1", "2"), p("a", 9, 0, "3", "4"), p("b", 1, 0, "2", "3")}, []string{"b"}},
		"ticket twice":            {[]choice.Proposal{p("a", 9, 0, "1", "1"), p("b", 1, 0, "1")}, []string{"b"}},
		"two for one":             {[]choice.Proposal{p("a", 3, 0, "1", "2"), p("b", 2, 0, "1"), p("c", 2, 0, "2")}, []string{"b", "c"}},
		"two for one, no gain":    {[]choice.Proposal{p("a", 4, 0, "1", "2"), p("b", 2, 0, "1"), p("c", 2, 0, "2")}, []string{"a"}},
		"older of the two":        {[]choice.Proposal{p("a", 3, 0, "1", "2"), p("b", 2, 0, "1"), p("c", 2, 0, "2"), p("d", 2, 9, "2", "3")}, []string{"d", "b"}},
		"infinite before sums":    {[]choice.Proposal{p("a", math.Inf(1), 0, "1", "2"), p("b", math.MaxFloat64, 0, "1"), p("c", math.MaxFloat64, 0, "2")}, []string{"a"}},
		"sums that overflow":      {[]choice.Proposal{p("a", math.MaxFloat64, 0, "1", "2"), p("b", math.MaxFloat64, 0, "1"), p("c", math.MaxFloat64, 0, "2")}, []string{"b", "c"}},
		"negative in stock order": {[]choice.Proposal{p("a", -1, 0, "1", "2"), p("b", -0.1, 0, "2"), p("c", 0, 0, "3")}, []string{"c", "b"}},
		"two good make room for a bad one": {[]choice.Proposal{
			p("a", 10, 0, "1", "2", "3"), p("b", 6, 0, "1"), p("c", 6, 0, "2"), p("d", -5, 0, "3")}, []string{"a"}},
		"for one less bad": {[]choice.Proposal{
			p("a", 10, 0, "1", "2", "3"), p("b", 6, 0, "1"), p("c", 6, 0, "2"), p("d", -1, 0, "3")}, []string{"b", "c", "d"}},
		"shared backfill": {[]choice.Proposal{
			{ID: "a", Score: 1, Tickets: []string{"1"}, Backfill: "x"}, {ID: "b", Score: 2, Tickets: []string{"2"}, Backfill: "x"}}, []string{"b"}},
		"new backfills": {[]choice.Proposal{
			{ID: "a", Score: 1, Tickets: []string{"1"}, NewBackfill: true}, {ID: "b", Score: 2, Tickets: []string{"2"}, NewBackfill: true}}, []string{"b", "a"}},
		"ticket and backfill of one name": {[]choice.Proposal{
			{ID: "a", Score: 1, Tickets: []string{"x"}}, {ID: "b", Score: 2, Backfill: "x"}}, []string{"b", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := choice.Choose(c.in, effort); !slices.Equal(got.Accepted, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// FuzzChoose draws what a few bytes say; the properties are those of TestChoice.
func FuzzChoose(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkChoice)) }

// A large input gives the same in any order of arrival, step for step.
func TestOrderOfArrival(t *testing.T) {
	input := neighbours(2000, 30)
	first := choice.Choose(clone(input), effort)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		rng.Shuffle(len(input), func(i, j int) { input[i], input[j] = input[j], input[i] })
		again := choice.Choose(clone(input), effort)
		if !slices.Equal(first.Accepted, again.Accepted) || first.Steps != again.Steps {
			t.Fatal("the order matters")
		}
	}
	if stock := choice.Choose(input, choice.Options{}); first.Exact || first.Kept < 1.1*stock.Kept {
		t.Errorf("kept %v, and %v by the stock choice; exact %v: this was to be a wide one", first.Kept, stock.Kept, first.Exact)
	}
}
