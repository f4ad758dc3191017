package check_test

import (
	"testing"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// TestMissing shows where a player must have what is read.
func TestMissing(t *testing.T) {
	reads := func(name, attribute string) ruleset.Rule {
		return ruleset.Rule{
			Name: name, Kind: ruleset.Comparison, Operation: ruleset.NotEqual,
			Measurements: measured(of(attribute, red)), Reference: new(number(-1)),
		}
	}
	optional := func(r ruleset.Rule) ruleset.Rule {
		r.Optional = true
		return r
	}
	latency := ruleset.Rule{Name: "l", Kind: ruleset.Latency, MaxLatency: new(100.0)}
	bare := match(tickets(solo("a")), nil)
	wrongType := match(tickets(solo("a", str("skill", "high"), str("level", "high"))), nil)
	byExpression := reads("x", "skill")
	byExpression.Measurements = measured(number(1))
	byExpression.Reference = new(call(ruleset.FnMax, call(ruleset.FnFlatten, of("skill", red, blue))))
	algorithm := func(sorted []string, balanced string) ruleset.Definition {
		d := definition()
		d.Algorithm.SortByAttributes, d.Algorithm.BalancedAttribute = sorted, balanced
		return d
	}

	for _, c := range []struct {
		name       string
		definition ruleset.Definition
		match      *rule.Match
		want       string
	}{
		{"there", definition(reads("x", "skill")), match(tickets(ace("a", 1)), nil), ""},
		{"not there", definition(reads("x", "skill")), bare, `x: player "a" has no "skill"`},
		{"in a team that is not read", definition(reads("x", "skill")), match(tickets(ace("a", 1)), tickets(solo("b"))), `x: player "b" has no "skill"`},
		{"one of a party", definition(reads("x", "skill")), match(tickets(ticket("duo", skilled("a", 1), player("b"))), nil), `x: player "b" has no "skill"`},
		{"each who lacks it", definition(reads("x", "skill")), match(tickets(solo("a")), tickets(solo("b"))), `x: player "a" has no "skill"; x: player "b" has no "skill"`},
		{"each rule that reads it", definition(reads("x", "skill"), reads("y", "skill")), bare, `x: player "a" has no "skill"; y: player "a" has no "skill"`},
		{"a default", definition(reads("x", "level")), bare, ""},
		{"of a wrong type", definition(reads("x", "skill")), wrongType, `x: player "a" has no "skill"`},
		{"of a wrong type, with a default", definition(reads("x", "level")), wrongType, `x: player "a" has no "level"`},
		{"not declared", definition(reads("x", "luck")), match(tickets(solo("a", num("luck", 1))), nil), `x: player "a" has no "luck"`},
		{"of an optional rule", definition(optional(reads("x", "skill"))), bare, ""},
		{"of a rule that a compound names", definition(reads("x", "skill"), compound(joined(ruleset.Or, named(0), named(0)))), bare, `x: player "a" has no "skill"`},
		{"of one deep down", definition(reads("x", "skill"), compound(joined(ruleset.Not, joined(ruleset.And, named(0))))), bare, `x: player "a" has no "skill"`},
		{"of the last one named", definition(reads("x", "level"), reads("y", "skill"), compound(joined(ruleset.Not, joined(ruleset.And, named(0), named(1))))), bare, `y: player "a" has no "skill"`},
		{"of one that an optional compound names", definition(reads("x", "skill"), optional(compound(named(0)))), bare, ""},
		{"of an optional one that a compound names", definition(optional(reads("x", "skill")), compound(named(0))), bare, ""},
		{"inside of a reference", definition(byExpression), bare, `x: player "a" has no "skill"`},
		{"in a batch", definition(ruleset.Rule{Name: "b", Kind: ruleset.BatchDistance, BatchAttribute: "mode"}), bare, `b: player "a" has no "mode"`},
		{"in a sort", definition(ruleset.Rule{Name: "s", Kind: ruleset.DistanceSort, Attribute: "scores", MapKey: ruleset.MinValue}), bare, `s: player "a" has no "scores"`},
		{"in an absolute sort", definition(ruleset.Rule{Name: "s", Kind: ruleset.AbsoluteSort, Attribute: "skill"}), bare, `s: player "a" has no "skill"`},
		{"in a difference", definition(ruleset.Rule{Name: "d", Kind: ruleset.TeamDifference, Attribute: "skill", TeamAggregate: "avg", MaxDistance: new(1.0)}), bare, `d: player "a" has no "skill"`},
		{"in a quota", definition(ruleset.Rule{Name: "q", Kind: ruleset.RoleQuota, Attribute: "maps"}), bare, `q: player "a" has no "maps"`},
		{"to sort by", algorithm([]string{"level", "skill"}, ""), bare, `player "a" has no "skill"`},
		{"to balance by", algorithm(nil, "skill"), bare, `player "a" has no "skill"`},
		{"what balances demands no more", algorithm(nil, "skill"), match(tickets(ace("a", 1)), tickets(ace("b", 1000))), ""},
		{"regions", definition(latency), bare, `l: ticket "ticket-a" has neither a region nor latencies`},
		{"regions of a rule that a compound names", definition(latency, compound(joined(ruleset.Or, named(0), named(0)))), bare, `l: ticket "ticket-a" has neither a region nor latencies`},
		{"regions of an optional rule", definition(optional(latency)), bare, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := said(checker(t, c.definition).Match(c.match, now)); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}
