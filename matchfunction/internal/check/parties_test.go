package check_test

import (
	"testing"

	"torikumi/pkg/ruleset"
)

func TestPartiesInComparison(t *testing.T) {
	atMost := func(most float64, agg ruleset.Aggregation) ruleset.Rule {
		return ruleset.Rule{
			Kind: ruleset.Comparison, Measurements: measured(of("skill", red)), Operation: ruleset.LessOrEqual,
			Reference: new(number(most)), PartyAggregation: agg,
		}
	}
	m := match(tickets(ticket("trio", skilled("a", 10), skilled("b", 20), skilled("c", 60))), nil)
	run(t, []row{
		{"avg", atMost(30, ruleset.Avg), m, ""},
		{"avg by default", atMost(29, ""), m, "30 <= 29 is false"},
		{"avg fails", atMost(29, ruleset.Avg), m, "30 <= 29 is false"},
		{"min", atMost(10, ruleset.Min), m, ""},
		{"min fails", atMost(9, ruleset.Min), m, "10 <= 9 is false"},
		{"max", atMost(60, ruleset.Max), m, ""},
		{"max fails", atMost(59, ruleset.Max), m, "60 <= 59 is false"},
	})
}

func TestPartiesInDistance(t *testing.T) {
	// Both the measurement and the reference are aggregated.
	apart := func(most float64, agg ruleset.Aggregation) ruleset.Rule {
		return ruleset.Rule{
			Kind: ruleset.Distance, Measurements: measured(call(ruleset.FnAvg, of("skill", red))),
			Reference: new(call(ruleset.FnAvg, of("skill", blue))), MaxDistance: &most, PartyAggregation: agg,
		}
	}
	m := match(
		tickets(ticket("duo", skilled("a", 10), skilled("b", 30))),
		tickets(ticket("duo-2", skilled("c", 0), skilled("d", 50))),
	)
	run(t, []row{
		{"avg", apart(5, ruleset.Avg), m, ""},
		{"avg fails", apart(4, ruleset.Avg), m, "20 is more than 4 from 25"},
		{"min", apart(10, ruleset.Min), m, ""},
		{"min fails", apart(9, ruleset.Min), m, "10 is more than 9 from 0"},
		{"max", apart(20, ruleset.Max), m, ""},
		{"max fails", apart(19, ruleset.Max), m, "30 is more than 19 from 50"},
	})
}

// TestThoseWhoPlay shows that they are no party, except as a ticket.
func TestThoseWhoPlay(t *testing.T) {
	playingNow := playing(ticket("backfill", skilled("a", 10), skilled("b", 20), skilled("c", 60)), red, blue, blue)
	m := refill(match(tickets(ace("d", 10)), nil), playingNow)
	highest := func(most float64, places ...int) ruleset.Rule {
		return ruleset.Rule{
			Kind: ruleset.Comparison, Measurements: measured(of("skill", places...)), Operation: ruleset.LessOrEqual,
			Reference: new(number(most)), PartyAggregation: ruleset.Max,
		}
	}
	regions := in(refill(match(tickets(solo("e", ms("r", 10))), nil),
		playing(ticket("backfill", player("a", ms("r", 20)), player("b", ms("r", 40))), red, blue)), "r")

	run(t, []row{
		{"each counts alone", highest(10, red), m, ""},
		{"and is looked at", highest(59, blue), m, "60 <= 59 is false"},
		{"as a batch they are a ticket", ruleset.Rule{Kind: ruleset.BatchDistance, BatchAttribute: "skill", MaxDistance: new(20.0)}, m, ""},
		{"and one that differs", ruleset.Rule{Kind: ruleset.BatchDistance, BatchAttribute: "skill", MaxDistance: new(19.0)}, m, "tickets from 10 to 30 differ by more than 19"},
		{"they have one latency", ruleset.Rule{Kind: ruleset.Latency, MaxLatency: new(30.0)}, regions, ""},
		{"which may be too high", ruleset.Rule{Kind: ruleset.Latency, MaxLatency: new(29.0)}, regions, `ticket "backfill" has 30 ms in "r", more than 29`},
		{"their parties are of one", ruleset.Rule{Kind: ruleset.PartySizes, MaxDistance: new(0.0)}, m, ""},
	})
}
