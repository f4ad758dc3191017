package check_test

import (
	"testing"
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// TestStages judges by a rule that loosens, one that gets optional, teams that
// shrink and an expression that is true later on.
func TestStages(t *testing.T) {
	stage := func(after time.Duration, age ruleset.Age, most float64, least int, optional bool) ruleset.Stage {
		atMost := ruleset.Rule{
			Name: "atMost", Kind: ruleset.Comparison, Operation: ruleset.LessOrEqual,
			Measurements: measured(of("skill", red)), Reference: new(number(most)),
		}
		late := ruleset.Rule{Name: "late", Kind: ruleset.Expression, Expression: "late"}
		modes := ruleset.Rule{Name: "modes", Kind: ruleset.BatchDistance, BatchAttribute: "mode", Optional: optional}
		d := definition(atMost, late, modes)
		d.Teams[red].MinPlayers = least
		d.Algorithm.ExpansionAge = age
		return ruleset.Stage{After: after, Definition: d}
	}
	aged := func(age time.Duration, t *rule.Ticket) *rule.Ticket {
		t.Created = now.Add(-age)
		return t
	}
	waited := func(wait time.Duration, m *rule.Match) *rule.Match {
		m.Wait = wait
		return m
	}
	has := func(id string, skill float64) *rule.Ticket { return solo(id, num("skill", skill), str("mode", "x")) }
	const s = time.Second

	for _, c := range []struct {
		name  string
		age   ruleset.Age
		match *rule.Match
		want  string
	}{
		{"first stage", ruleset.Newest, waited(9*s, match(tickets(aged(9*s, has("a", 5)), aged(30*s, has("b", 5))), nil)), "late: the expression is false"},
		{"just before the second", ruleset.Newest, waited(10*s-1, match(tickets(aged(10*s-1, has("a", 15)), aged(10*s, has("b", 5))), nil)), "atMost: 15 <= 10 is false; late: the expression is false"},
		{"second stage", ruleset.Newest, waited(10*s, match(tickets(aged(10*s, has("a", 15)), aged(30*s, has("b", 5))), nil)), ""},
		{"not yet the third", ruleset.Newest, waited(10*s, match(tickets(aged(10*s, has("a", 25)), aged(30*s, has("b", 5))), nil)), "atMost: 25 <= 20 is false"},
		{"third stage by the oldest", ruleset.Oldest, waited(30*s, match(tickets(aged(10*s, has("a", 25)), aged(30*s, has("b", 5))), nil)), ""},
		{"third stage by the newest", ruleset.Newest, waited(25*s, match(tickets(aged(25*s, has("a", 25)), aged(30*s, has("b", 5))), nil)), ""},
		{"teams of the stage", ruleset.Oldest, waited(10*s, match(tickets(aged(10*s, has("a", 5))), nil)), `team "red" has 1 players, less than 2`},
		{"smaller teams", ruleset.Oldest, waited(20*s, match(tickets(aged(20*s, has("a", 5))), nil)), ""},
		{"not optional yet", ruleset.Oldest, waited(10*s, match(tickets(aged(10*s, has("a", 5)), aged(0, ace("b", 5))), nil)), `modes: player "b" has no "mode"`},
		{"optional now", ruleset.Oldest, waited(20*s, match(tickets(aged(20*s, has("a", 5)), aged(0, ace("b", 5))), nil)), ""},
		{"those who play are the oldest", ruleset.Oldest, waited(40*s, refill(match(tickets(aged(0, has("a", 25))), nil), playing(aged(40*s, has("b", 25)), red))), ""},
		{"those who play are the newest", ruleset.Newest, waited(0, refill(match(tickets(aged(40*s, has("a", 5))), nil), playing(aged(0, has("b", 5)), red))), "late: the expression is false"},
		{"a wrong wait", ruleset.Newest, waited(30*s, match(tickets(aged(10*s, has("a", 5)), aged(30*s, has("b", 5))), nil)), "the match says it waited 30s, but it is 10s"},
		{"a ticket from the future", ruleset.Newest, waited(0, match(tickets(aged(-5*s, has("a", 5)), has("b", 5)), nil)), "late: the expression is false"},
		{"no negative wait", ruleset.Newest, waited(-5*s, match(tickets(aged(-5*s, has("a", 5)), has("b", 5)), nil)), "the match says it waited -5s, but it is 0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rs := &ruleset.RuleSet{Stages: []ruleset.Stage{
				stage(0, c.age, 10, 2, false), stage(10*s, c.age, 20, 2, false), stage(20*s, c.age, 30, 1, true),
			}}
			judge, err := check.New(rs, nil, script)
			if err != nil {
				t.Fatal(err)
			}
			if got := said(judge.Match(c.match, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
