package check_test

import (
	"testing"

	"torikumi/pkg/ruleset"
)

func TestComparison(t *testing.T) {
	against := func(op ruleset.Operation, reference ruleset.Expr, ms ...ruleset.Expr) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.Comparison, Measurements: ms, Operation: op, Reference: &reference}
	}
	two := match(tickets(ace("a", 10)), tickets(ace("b", 20)))
	bare := match(tickets(solo("a")), nil)
	modes := match(tickets(solo("a", str("mode", "duel"))), tickets(solo("b", str("mode", "ctf"))))

	run(t, []row{
		{"equal", against(ruleset.Equal, number(10), of("skill", red)), two, ""},
		{"not equal to it", against(ruleset.Equal, number(10), of("skill", red, blue)), two, "20 = 10 is false"},
		{"differs", against(ruleset.NotEqual, number(15), of("skill", red, blue)), two, ""},
		{"does not differ", against(ruleset.NotEqual, number(20), of("skill", red, blue)), two, "20 != 20 is false"},
		{"less", against(ruleset.Less, number(20.5), of("skill", red, blue)), two, ""},
		{"not less at the bound", against(ruleset.Less, number(20), of("skill", red, blue)), two, "20 < 20 is false"},
		{"at most at the bound", against(ruleset.LessOrEqual, number(20), of("skill", red, blue)), two, ""},
		{"not at most", against(ruleset.LessOrEqual, number(19), of("skill", red, blue)), two, "20 <= 19 is false"},
		{"greater", against(ruleset.Greater, number(9), of("skill", red, blue)), two, ""},
		{"not greater at the bound", against(ruleset.Greater, number(10), of("skill", red, blue)), two, "10 > 10 is false"},
		{"at least at the bound", against(ruleset.GreaterOrEqual, number(10), of("skill", red, blue)), two, ""},
		{"not at least", against(ruleset.GreaterOrEqual, number(11), of("skill", red, blue)), two, "10 >= 11 is false"},
		{"each scalar of the reference", against(ruleset.NotEqual, numbers(5, 20), of("skill", red, blue)), two, "20 != 20 is false"},
		{"no scalar of the reference", against(ruleset.NotEqual, numbers(5, 6), of("skill", red, blue)), two, ""},
		{"a reference that depends on the match", against(ruleset.Less, of("skill", blue), of("skill", red)), two, ""},
		{"each measurement", against(ruleset.Equal, number(10), of("skill", red), of("skill", blue)), two, "20 = 10 is false"},
		{"strings", against(ruleset.Equal, text("duel"), of("mode", red)), modes, ""},
		{"other strings", against(ruleset.Equal, text("duel"), of("mode", red, blue)), modes, "ctf = duel is false"},
		{"strings in lists", against(ruleset.NotEqual, texts("solo", "ctf"), of("mode", red, blue)), modes, "ctf != ctf is false"},
		{"players' ids", against(ruleset.NotEqual, text("b"), property(ruleset.PlayerID, red, blue)), two, "b != b is false"},
		{"how many players", against(ruleset.Equal, number(2), call(ruleset.FnCount, call(ruleset.FnFlatten, property(ruleset.Players, red, blue)))), two, ""},
		{"no value demands nothing", against(ruleset.Equal, number(10), call(ruleset.FnAvg, of("level", blue))), bare, ""},
		{"no value to refer to", against(ruleset.Equal, call(ruleset.FnMax, of("level", blue)), of("level", red)), bare, ""},
		{"the sum of none is 0", against(ruleset.Equal, number(10), call(ruleset.FnSum, of("level", blue))), bare, "0 = 10 is false"},
		{"nested", against(ruleset.LessOrEqual, number(15), call(ruleset.FnMax, call(ruleset.FnAvg, of("skill", red, blue)))), two, "20 <= 15 is false"},
	})
}

func TestComparisonAmongEachOther(t *testing.T) {
	among := func(op ruleset.Operation, ms ...ruleset.Expr) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.Comparison, Measurements: ms, Operation: op}
	}
	perTeam := match(tickets(ace("a", 1), ace("b", 1)), tickets(ace("c", 2), ace("d", 2)))
	modes := match(tickets(solo("a", str("mode", "duel"))), tickets(solo("b", str("mode", "ctf"))))
	maps := match(tickets(solo("a", strs("maps", "x", "y"))), tickets(solo("b", strs("maps", "x", "x"))))

	run(t, []row{
		{"equal within each team", among(ruleset.Equal, of("skill", red, blue)), perTeam, ""},
		{"not equal in all", among(ruleset.Equal, call(ruleset.FnFlatten, of("skill", red, blue))), perTeam, "1 = 2 is false"},
		{"two alike in a team", among(ruleset.NotEqual, of("skill", red, blue)), perTeam, "1 != 1 is false"},
		{"all different", among(ruleset.NotEqual, call(ruleset.FnAvg, of("skill", red, blue))), perTeam, ""},
		{"measurements are apart", among(ruleset.Equal, of("skill", red), of("skill", blue)), perTeam, ""},
		{"each measurement", among(ruleset.NotEqual, call(ruleset.FnAvg, of("skill", red, blue)), of("skill", blue)), perTeam, "2 != 2 is false"},
		{"a scalar is in no list", among(ruleset.NotEqual, call(ruleset.FnCount, of("skill", red))), perTeam, ""},
		{"strings", among(ruleset.NotEqual, call(ruleset.FnFlatten, of("mode", red, blue))), modes, ""},
		{"different strings", among(ruleset.Equal, call(ruleset.FnFlatten, of("mode", red, blue))), modes, "duel = ctf is false"},
		{"a string list is a list", among(ruleset.NotEqual, of("maps", red)), maps, ""},
		{"with the same twice", among(ruleset.NotEqual, of("maps", red, blue)), maps, "x != x is false"},
		{"an empty team", among(ruleset.NotEqual, of("skill", red, blue)), match(tickets(ace("a", 1)), nil), ""},
	})
}
