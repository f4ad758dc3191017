package check_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"torikumi/matchfunction/internal/check"
	"torikumi/pkg/ruleset"
)

func TestEval(t *testing.T) {
	type list = []any
	m := match(
		tickets(
			ticket("duo", player("a", num("skill", 1), str("mode", "x"), strs("maps", "p", "q")), player("b", num("skill", 4), str("mode", "y"), strs("maps", "q", "r"))),
			solo("c", num("skill", 7), str("mode", "x"), strs("maps", "q", "q")),
		),
		nil,
	)
	one := of("skill", red)
	one.Path.List = true // of one team, yet a list of teams
	both := of("skill", red, blue)

	for _, c := range []struct {
		name string
		expr ruleset.Expr
		agg  ruleset.Aggregation
		want any
	}{
		{"number", number(3), "", 3.0},
		{"string", text("s"), "", "s"},
		{"numbers", numbers(3, 4), "", list{3.0, 4.0}},
		{"strings", texts("s", "t"), "", list{"s", "t"}},

		{"average of the party", of("skill", red), ruleset.Avg, list{2.5, 2.5, 7.0}},
		{"average by default", of("skill", red), "", list{2.5, 2.5, 7.0}},
		{"average where lists are united", of("skill", red), ruleset.Union, list{2.5, 2.5, 7.0}},
		{"lowest of the party", of("skill", red), ruleset.Min, list{1.0, 1.0, 7.0}},
		{"highest of the party", of("skill", red), ruleset.Max, list{4.0, 4.0, 7.0}},
		{"strings are each player's own", of("mode", red), ruleset.Min, list{"x", "y", "x"}},
		{"union", of("maps", red), ruleset.Union, list{list{"p", "q", "r"}, list{"p", "q", "r"}, list{"q", "q"}}},
		{"union where numbers are averaged", of("maps", red), ruleset.Avg, list{list{"p", "q", "r"}, list{"p", "q", "r"}, list{"q", "q"}}},
		{"intersection", of("maps", red), ruleset.Intersection, list{list{"q"}, list{"q"}, list{"q", "q"}}},
		{"default value", of("level", red), "", list{7.0, 7.0, 7.0}},
		{"ids", property(ruleset.PlayerID, red), "", list{"a", "b", "c"}},
		{"an empty team", of("skill", blue), "", list{}},
		{"teams", both, ruleset.Min, list{list{1.0, 1.0, 7.0}, list{}}},
		{"a list of one team", one, ruleset.Min, list{list{1.0, 1.0, 7.0}}},
		{"a list of ids", property(ruleset.PlayerID, red, blue), "", list{list{"a", "b", "c"}, list{}}},

		{"flatten", call(ruleset.FnFlatten, both), ruleset.Min, list{1.0, 1.0, 7.0}},
		{"flatten takes one level", call(ruleset.FnFlatten, of("maps", red, blue)), ruleset.Intersection, list{list{"q"}, list{"q"}, list{"q", "q"}}},
		{"flatten twice", call(ruleset.FnFlatten, call(ruleset.FnFlatten, of("maps", red, blue))), ruleset.Intersection, list{"q", "q", "q", "q"}},
		{"min", call(ruleset.FnMin, of("skill", red)), ruleset.Min, 1.0},
		{"max", call(ruleset.FnMax, of("skill", red)), ruleset.Min, 7.0},
		{"avg", call(ruleset.FnAvg, of("skill", red)), ruleset.Min, 3.0},
		{"median", call(ruleset.FnMedian, of("skill", red)), ruleset.Min, 1.0},
		{"median of four", call(ruleset.FnMedian, numbers(4, 1, 8, 2)), "", 3.0},
		{"sum", call(ruleset.FnSum, of("skill", red)), ruleset.Min, 9.0},
		{"stddev", call(ruleset.FnStddev, of("skill", red)), ruleset.Min, math.Sqrt(8)},
		{"count", call(ruleset.FnCount, of("skill", red)), "", 3.0},
		{"count players", call(ruleset.FnCount, property(ruleset.Players, red)), "", 3.0},
		{"count of each team", call(ruleset.FnCount, property(ruleset.Players, red, blue)), "", list{3.0, 0.0}},
		{"count of each list", call(ruleset.FnCount, of("maps", red)), ruleset.Union, list{3.0, 3.0, 2.0}},
		{"sum of each team", call(ruleset.FnSum, both), ruleset.Min, list{9.0, 0.0}},
		{"average of each team that has one", call(ruleset.FnAvg, both), ruleset.Min, list{3.0}},
		{"the lowest of those", call(ruleset.FnMin, call(ruleset.FnAvg, both)), ruleset.Min, 3.0},
		{"of nobody no average", call(ruleset.FnAvg, of("skill", blue)), "", nil},
		{"no min", call(ruleset.FnMin, of("skill", blue)), "", nil},
		{"no max", call(ruleset.FnMax, of("skill", blue)), "", nil},
		{"no median", call(ruleset.FnMedian, of("skill", blue)), "", nil},
		{"no stddev", call(ruleset.FnStddev, of("skill", blue)), "", nil},
		{"but a sum", call(ruleset.FnSum, of("skill", blue)), "", 0.0},
		{"and a count", call(ruleset.FnCount, of("skill", blue)), "", 0.0},
		{"set_intersection", call(ruleset.FnSetIntersection, of("maps", red)), ruleset.Union, list{"q"}},
		{"set_intersection of nobody", call(ruleset.FnSetIntersection, of("maps", blue)), "", list{}},
		{"set_intersection of each team", call(ruleset.FnSetIntersection, of("maps", red, blue)), "", list{list{"q"}, list{}}},
		{"set_intersection of those", call(ruleset.FnSetIntersection, call(ruleset.FnSetIntersection, of("maps", red, blue))), "", list{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := definition()
			if diff := cmp.Diff(c.want, check.Eval(&d, m, c.expr, c.agg)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestEvalWithoutValues shows that who has none is left out.
func TestEvalWithoutValues(t *testing.T) {
	type list = []any
	d := definition()
	m := match(tickets(solo("a"), ticket("duo", player("b"), player("c", num("skill", 4), strs("maps", "p")))), nil)
	for attribute, want := range map[string]any{
		"skill": list{4.0, 4.0}, "maps": list{list{"p"}, list{"p"}}, "mode": list{},
	} {
		if diff := cmp.Diff(want, check.Eval(&d, m, of(attribute, red), "")); diff != "" {
			t.Errorf("%s: %s", attribute, diff)
		}
	}
}
