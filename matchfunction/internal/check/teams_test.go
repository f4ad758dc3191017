package check_test

import (
	"testing"

	"torikumi/pkg/ruleset"
)

func TestTeamDifference(t *testing.T) {
	difference := func(of string, most float64, agg ruleset.Aggregation) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.TeamDifference, Attribute: "skill", TeamAggregate: of, MaxDistance: &most, PartyAggregation: agg}
	}
	m := match(tickets(ace("a", 1), ace("b", 2), ace("c", 9)), tickets(ace("d", 5), ace("e", 5)))
	duo := match(tickets(ticket("duo", skilled("f", 0), skilled("g", 10))), tickets(ace("h", 5)))
	tenths := match(tickets(ace("i", 0.1), ace("j", 0.2)), tickets(ace("k", 0)))

	run(t, []row{
		{"avg", difference("avg", 1, ""), m, ""},
		{"avg too far", difference("avg", 0.5, ""), m, "teams from 4 to 5 differ by more than 0.5"},
		{"sum", difference("sum", 2, ""), m, ""},
		{"sum too far", difference("sum", 1, ""), m, "teams from 10 to 12 differ by more than 1"},
		{"min", difference("min", 4, ""), m, ""},
		{"min too far", difference("min", 3, ""), m, "teams from 1 to 5 differ by more than 3"},
		{"max", difference("max", 4, ""), m, ""},
		{"max too far", difference("max", 3, ""), m, "teams from 5 to 9 differ by more than 3"},
		{"median", difference("median", 3, ""), m, ""},
		{"median too far", difference("median", 2, ""), m, "teams from 2 to 5 differ by more than 2"},
		{"a team without players is left out", difference("sum", 0, ""), match(tickets(ace("a", 7)), nil), ""},
		{"each player's own value", difference("max", 4, ""), duo, "teams from 5 to 10 differ by more than 4"},
		{"or the party's", difference("max", 0, ruleset.Avg), duo, ""},
		{"the last bit is forgiven", difference("sum", 0.3, ""), tenths, ""},
	})
}

func TestTeamSizeBalance(t *testing.T) {
	balance := func(most float64) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.TeamSizeBalance, MaxDistance: &most}
	}
	m := match(tickets(solo("a"), solo("b"), solo("c")), tickets(solo("d")))
	run(t, []row{
		{"at the bound", balance(2), m, ""},
		{"too uneven", balance(1), m, "team sizes from 1 to 3 differ by more than 1"},
		{"an empty team counts", balance(1), match(tickets(ticket("duo", player("a"), player("b"))), nil), "team sizes from 0 to 2 differ by more than 1"},
	})
}

func TestPartySizes(t *testing.T) {
	sizes := func(most float64) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.PartySizes, MaxDistance: &most}
	}
	trio := ticket("trio", player("a"), player("b"), player("c"))
	m := match(tickets(trio), tickets(solo("d"), solo("e"), solo("f")))
	run(t, []row{
		{"at the bound", sizes(2), m, ""},
		{"too different", sizes(1), m, "largest parties from 1 to 3 differ by more than 1"},
		{"a team without players is left out", sizes(0), match(tickets(trio), nil), ""},
	})
}

func TestSortsDemandNothing(t *testing.T) {
	m := match(tickets(ace("a", 1)), tickets(ace("b", 1000)))
	run(t, []row{
		{"distance", ruleset.Rule{Kind: ruleset.DistanceSort, Attribute: "skill", SortAscending: true}, m, ""},
		{"absolute", ruleset.Rule{Kind: ruleset.AbsoluteSort, Attribute: "skill"}, m, ""},
	})
}
