package engine_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/matchfunction/internal/engine"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// BenchmarkEngines has both engines make the matches of one queue: the skill rules, and a
// rule set whose window widens as often as an expansion can, once a second.
func BenchmarkEngines(b *testing.B) {
	for _, size := range []int32{1, 5} {
		for _, regions := range []int{0, 4} {
			for _, n := range []int{1_000, 10_000, 100_000} {
				pool := engine.Pool{Tickets: crowd(n, regions)}
				r := versus(size)
				for kind, p := range map[string]*torikumiv1.ProfileDetails{"skill": skill(r), "rule set": inRuleSet(b, r)} {
					b.Run(fmt.Sprintf("%dv%d, %d regions/%s/%d", size, size, regions, kind, n), func(b *testing.B) { match(b, p, pool) })
				}
			}
		}
	}
}

// match reports what the matches are worth beside what they cost.
func match(b *testing.B, details *torikumiv1.ProfileDetails, pool engine.Pool) {
	compiler := new(engine.Compiler)
	p, err := compiler.Compile(profile(b, details))
	if err != nil {
		b.Fatal(err)
	}
	skills := make(map[string]float64)
	for _, t := range pool.Tickets {
		skills[t.Ticket.GetId()] = t.Details.GetPlayers()[0].GetAttributes()["skill"].GetNumber()
	}
	var spreads []float64
	matched := 0
	for b.Loop() {
		spreads, matched = spreads[:0], 0
		for m := range p.Engine.Search(b.Context(), pool, now, func(*openmatch.Ticket, engine.Reason) {}) {
			lo, hi := skills[m.Tickets[0].GetId()], skills[m.Tickets[0].GetId()]
			for _, t := range m.Tickets {
				lo, hi = min(lo, skills[t.GetId()]), max(hi, skills[t.GetId()])
			}
			spreads, matched = append(spreads, hi-lo), matched+len(m.Tickets)
		}
	}
	slices.Sort(spreads)
	b.ReportMetric(100*float64(matched)/float64(len(pool.Tickets)), "%matched")
	b.ReportMetric(spreads[len(spreads)/2], "spread-p50")
	b.ReportMetric(spreads[len(spreads)*95/100], "spread-p95")
}

func versus(size int32) *torikumiv1.SkillRules {
	r := duel()
	for _, t := range r.GetTeams() {
		t.MinPlayers, t.MaxPlayers = size, size
	}
	return r
}

// inRuleSet says in the words of a rule set what the skill rules say.
func inRuleSet(b *testing.B, r *torikumiv1.SkillRules) *torikumiv1.ProfileDetails {
	var teams, steps []any
	for _, t := range r.GetTeams() {
		teams = append(teams, map[string]any{"name": t.GetName(), "minPlayers": t.GetMinPlayers(), "maxPlayers": t.GetMaxPlayers()})
	}
	last := int(r.GetAnySkillAfter().AsDuration() / time.Second)
	for s := 1; s <= last; s++ {
		window := r.GetWindow() + r.GetWidenPerSecond()*float64(s)
		if s == last {
			window = 1e9
		}
		steps = append(steps, map[string]any{"waitTimeSeconds": s, "value": window})
	}
	set := map[string]any{
		"name": "session", "ruleLanguageVersion": "1.0",
		"playerAttributes": []any{map[string]any{"name": "skill", "type": "number", "default": 0}},
		"teams":            teams,
		"algorithm":        map[string]any{"expansionAgeSelection": "oldest"},
		"rules": []any{
			map[string]any{"name": "skill", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": r.GetWindow(), "partyAggregation": "avg"},
		},
		"expansions": []any{map[string]any{"target": "rules[skill].maxDistance", "steps": steps}},
	}
	text, err := json.Marshal(set)
	if err != nil {
		b.Fatal(err)
	}
	return &torikumiv1.ProfileDetails{Queue: "session", Rules: &torikumiv1.ProfileDetails_RuleSet{RuleSet: string(text)}}
}

// crowd makes n solos with normal skill (1500/200) who came within 10 s.
func crowd(n, regions int) []engine.Ticket {
	rng := rand.New(rand.NewPCG(7, uint64(n)))
	out := make([]engine.Ticket, n)
	for i := range out {
		id := fmt.Sprintf("ticket-%06d", i)
		latencies := make(map[string]int32)
		for _, region := range []string{"ap", "eu", "sa", "us"}[:regions] {
			latencies[region] = 10 + rng.Int32N(200)
		}
		if regions == 0 {
			latencies = nil
		}
		out[i] = engine.Ticket{
			Ticket: &openmatch.Ticket{Id: id, CreateTime: timestamppb.New(now.Add(-time.Duration(rng.Int64N(int64(10 * time.Second)))))},
			Details: &torikumiv1.TicketDetails{Players: []*torikumiv1.Player{{
				Id: "player-" + id, Latencies: maps.Clone(latencies),
				Attributes: map[string]*torikumiv1.Attribute{"skill": {Value: &torikumiv1.Attribute_Number{Number: 1500 + 200*rng.NormFloat64()}}},
			}}},
		}
	}
	return out
}
