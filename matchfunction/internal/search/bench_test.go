package search_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

var now = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func number(x float64) ruleset.Value { return ruleset.Value{Type: ruleset.Number, Number: x} }

func word(s string) ruleset.Value { return ruleset.Value{Type: ruleset.String, String: s} }

func ptr[T any](x T) *T { return &x }

// simple is 5v5 in one mode, with skills within 100.
func simple() *ruleset.RuleSet {
	return &ruleset.RuleSet{Name: "simple", Stages: []ruleset.Stage{{Definition: ruleset.Definition{
		Attributes: []ruleset.Attribute{{Name: "mode", Type: ruleset.String}, {Name: "skill", Type: ruleset.Number}},
		Algorithm:  ruleset.Algorithm{Strategy: ruleset.ExhaustiveSearch, BatchingPreference: ruleset.Random, ExpansionAge: ruleset.Newest, BackfillPriority: ruleset.Normal},
		Teams:      []ruleset.Team{{Name: "red", MinPlayers: 5, MaxPlayers: 5, Quantity: 1}, {Name: "blue", MinPlayers: 5, MaxPlayers: 5, Quantity: 1}},
		Rules: []ruleset.Rule{
			{Name: "mode", Kind: ruleset.BatchDistance, BatchAttribute: "mode"},
			{Name: "skill", Kind: ruleset.BatchDistance, BatchAttribute: "skill", MaxDistance: ptr(100.0), PartyAggregation: ruleset.Avg},
		},
	}}}}
}

// solos makes n players of two modes with normal skill (1500/200).
func solos(n int) []rule.Ticket {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	tickets := make([]rule.Ticket, n)
	modes := []string{"capture", "arena"}
	for i := range tickets {
		tickets[i] = rule.Ticket{ID: fmt.Sprintf("ticket-%07d", i), Created: now.Add(-time.Duration(rng.Int64N(int64(20 * time.Second)))), Players: []rule.Player{{
			ID: fmt.Sprintf("player-%07d", i), Attributes: []rule.Attribute{
				{Name: "mode", Value: word(modes[rng.IntN(2)])}, {Name: "skill", Value: number(1500 + 200*rng.NormFloat64())}},
		}}}
	}
	return tickets
}

func BenchmarkSimple(b *testing.B) {
	e, err := search.Compile(simple(), search.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { measure(b, e, solos(n)) })
	}
}

// BenchmarkPreference is what it costs to hold out for closer matches.
func BenchmarkPreference(b *testing.B) {
	for name, rs := range map[string]*ruleset.RuleSet{"simple": simple(), "rich": rich()} {
		for i := range rs.Stages {
			rs.Stages[i].Algorithm.Preference = 0.5
		}
		e, err := search.Compile(rs, search.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range []int{1_000, 10_000, 100_000} {
			tickets := solos(n)
			if name == "rich" {
				tickets = parties(n)
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { measure(b, e, tickets) })
		}
	}
}

// measure reports how many are matched, and how well.
func measure(b *testing.B, e *search.Engine, tickets []rule.Ticket) {
	b.ReportAllocs()
	var found []search.Proposal
	before := cpuTime()
	for b.Loop() {
		found = found[:0]
		for p := range e.Search(b.Context(), tickets, now, nil) {
			found = append(found, p)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
	matched, spreads := 0, make([]float64, 0, len(found))
	for _, p := range found {
		matched += len(p.Tickets)
		spreads = append(spreads, p.Spread)
	}
	slices.Sort(spreads)
	b.ReportMetric(100*float64(matched)/float64(len(tickets)), "%matched")
	if len(spreads) > 0 {
		b.ReportMetric(spreads[len(spreads)/2], "p50spread")
		b.ReportMetric(spreads[len(spreads)*95/100], "p95spread")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(tickets)), "ns/ticket")
}

// rich is 5v5 of parties up to 4: one mode, a skill that widens from 100 to
// 200 after 5 s and to 400 after 10 s, latencies up to 120 ms, and largest
// parties that differ by at most 2.
func rich() *ruleset.RuleSet {
	rs := &ruleset.RuleSet{Name: "rich"}
	for _, s := range []struct {
		after time.Duration
		most  float64
	}{{0, 100}, {5 * time.Second, 200}, {10 * time.Second, 400}} {
		d := simple().Stages[0].Definition
		d.Rules = []ruleset.Rule{d.Rules[0], d.Rules[1],
			{Name: "near", Kind: ruleset.Latency, MaxLatency: ptr(120.0), PartyAggregation: ruleset.Max},
			{Name: "parties", Kind: ruleset.PartySizes, MaxDistance: ptr(2.0)}}
		d.Rules[1].MaxDistance = ptr(s.most)
		rs.Stages = append(rs.Stages, ruleset.Stage{After: s.after, Definition: d})
	}
	return rs
}

// parties makes n tickets of 1 to 4 players near some of four regions.
func parties(n int) []rule.Ticket {
	rng := rand.New(rand.NewPCG(8, uint64(n)))
	tickets := solos(n)
	for i := range tickets {
		t := &tickets[i]
		first := t.Players[0]
		home := rng.IntN(4)
		for j := range 4 {
			ms := 20 + 60*rng.Float64()
			if j != home {
				ms += 30 + 100*rng.Float64()
			}
			first.Latencies = append(first.Latencies, rule.Latency{Region: []string{"ap", "eu", "sa", "us"}[j], Milliseconds: ms})
		}
		t.Players = nil
		for j := range 1 + rng.IntN(4) {
			p := first
			p.ID = fmt.Sprintf("%s-%d", first.ID, j)
			t.Players = append(t.Players, p)
		}
	}
	return tickets
}

func BenchmarkRich(b *testing.B) {
	e, err := search.Compile(rich(), search.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { measure(b, e, parties(n)) })
	}
}

// BenchmarkHopeless is what tickets cost that match nobody: parties that fill
// no team, and a rule that no match keeps.
func BenchmarkHopeless(b *testing.B) {
	pairs := simple()
	for i := range pairs.Stages[0].Teams {
		pairs.Stages[0].Teams[i].MinPlayers, pairs.Stages[0].Teams[i].MaxPlayers = 3, 3
	}
	never, err := ruleset.Parse([]byte(`{"name": "never", "ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": 5, "maxPlayers": 5}, {"name": "blue", "minPlayers": 5, "maxPlayers": 5}],
		"rules": [{"name": "never", "type": "distance", "minDistance": 1000000000,
			"measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": "avg(teams[blue].players.attributes[skill])"}]}`))
	if err != nil {
		b.Fatal(err)
	}
	for name, rs := range map[string]*ruleset.RuleSet{"pairs": pairs, "rule": never} {
		e, err := search.Compile(rs, search.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range []int{10_000, 100_000} {
			tickets := solos(n)
			for i := range tickets {
				if name == "pairs" {
					second := tickets[i].Players[0]
					second.ID += "-2"
					tickets[i].Players = append(tickets[i].Players, second)
				}
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { measure(b, e, tickets) })
		}
	}
}

// BenchmarkLarge fills matches of two teams of up to 100.
func BenchmarkLarge(b *testing.B) {
	rs, err := ruleset.Parse([]byte(`{"name": "large", "ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"algorithm": {"strategy": "balanced", "balancedAttribute": "skill", "batchingPreference": "fastestRegion"},
		"teams": [{"name": "red", "minPlayers": 75, "maxPlayers": 100}, {"name": "blue", "minPlayers": 75, "maxPlayers": 100}],
		"rules": [{"name": "mode", "type": "batchDistance", "batchAttribute": "mode"},
			{"name": "skill", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 100},
			{"name": "near", "type": "latency", "maxLatency": 120}]}`))
	if err != nil {
		b.Fatal(err)
	}
	e, err := search.Compile(rs, search.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { measure(b, e, parties(n)) })
	}
}
