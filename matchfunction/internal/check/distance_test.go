package check_test

import (
	"testing"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

func TestDistance(t *testing.T) {
	distance := func(least, most *float64, reference ruleset.Expr, ms ...ruleset.Expr) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.Distance, Measurements: ms, Reference: &reference, MinDistance: least, MaxDistance: most}
	}
	avg := func(places ...int) ruleset.Expr { return call(ruleset.FnAvg, of("skill", places...)) }
	two := match(tickets(ace("a", 10)), tickets(ace("b", 20)))
	tenths := match(tickets(ace("a", 0.1), ace("b", 0.2)), nil)

	run(t, []row{
		{"at most", distance(nil, new(10.0), avg(blue), avg(red)), two, ""},
		{"too far", distance(nil, new(9.5), avg(blue), avg(red)), two, "10 is more than 9.5 from 20"},
		{"at least", distance(new(10.0), nil, avg(blue), avg(red)), two, ""},
		{"too near", distance(new(10.5), nil, avg(blue), avg(red)), two, "10 is less than 10.5 from 20"},
		{"both", distance(new(10.0), new(10.0), avg(blue), avg(red)), two, ""},
		{"neither", distance(nil, nil, avg(blue), avg(red)), two, ""},
		{"each scalar of each list", distance(nil, new(5.0), number(10), of("skill", red, blue)), two, "20 is more than 5 from 10"},
		{"each measurement", distance(nil, new(5.0), number(10), of("skill", red), of("skill", blue)), two, "20 is more than 5 from 10"},
		{"each scalar of the reference", distance(nil, new(15.0), numbers(20, 30), of("skill", red)), two, "10 is more than 15 from 30"},
		{"an empty team has no average", distance(nil, new(0.0), avg(red), avg(blue)), match(tickets(ace("a", 10)), nil), ""},
		{"nested", distance(nil, new(5.0), call(ruleset.FnAvg, call(ruleset.FnFlatten, of("skill", red, blue))), avg(red, blue)), two, ""},
		{"nested too far", distance(nil, new(4.0), call(ruleset.FnAvg, call(ruleset.FnFlatten, of("skill", red, blue))), avg(red, blue)), two, "10 is more than 4 from 15"},
		{"nothing apart", distance(new(0.0), new(0.0), number(0), number(0)), two, ""},
		{"the last bit is forgiven", distance(nil, new(0.3), number(0), call(ruleset.FnSum, of("skill", red))), tenths, ""},
		{"and at least too", distance(new(0.30000000000000004), nil, number(0), number(0.3)), tenths, ""},
		{"more is not", distance(nil, new(0.2999), number(0), call(ruleset.FnSum, of("skill", red))), tenths, "0.30000000000000004 is more than 0.2999 from 0"},
	})
}

func TestBatchDistance(t *testing.T) {
	batch := func(attribute string, most *float64, agg ruleset.Aggregation) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.BatchDistance, BatchAttribute: attribute, MaxDistance: most, PartyAggregation: agg}
	}
	duo := ticket("duo", skilled("b", 10), skilled("c", 30))
	mixed := match(tickets(ace("a", 10)), tickets(duo))
	modes := func(a, b string) *rule.Match {
		return match(tickets(solo("a", str("mode", a))), tickets(solo("b", str("mode", b))))
	}
	torn := match(tickets(ticket("duo", player("a", str("mode", "x")), player("b", str("mode", "y")))), nil)

	run(t, []row{
		{"average at the bound", batch("skill", new(10.0), ruleset.Avg), mixed, ""},
		{"average is the default", batch("skill", new(9.0), ""), mixed, "tickets from 10 to 20 differ by more than 9"},
		{"average", batch("skill", new(9.0), ruleset.Avg), mixed, "tickets from 10 to 20 differ by more than 9"},
		{"lowest", batch("skill", new(0.0), ruleset.Min), mixed, ""},
		{"highest", batch("skill", new(19.0), ruleset.Max), mixed, "tickets from 10 to 30 differ by more than 19"},
		{"highest at the bound", batch("skill", new(20.0), ruleset.Max), mixed, ""},
		{"within a ticket nothing differs", batch("skill", new(0.0), ruleset.Avg), match(tickets(duo), nil), ""},
		{"same string", batch("mode", nil, ""), modes("x", "x"), ""},
		{"other string", batch("mode", nil, ""), modes("x", "y"), `"y" is not "x"`},
		{"strings are never aggregated", batch("mode", nil, ""), torn, `"y" is not "x"`},
	})
}
