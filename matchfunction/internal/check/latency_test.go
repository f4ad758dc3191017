package check_test

import (
	"testing"

	"torikumi/pkg/ruleset"
)

func TestLatency(t *testing.T) {
	latency := func(most, apart *float64, from, agg ruleset.Aggregation) ruleset.Rule {
		return ruleset.Rule{Kind: ruleset.Latency, MaxLatency: most, MaxDistance: apart, DistanceReference: from, PartyAggregation: agg}
	}
	// In region "r": 30 ms alone; 50 and 100 ms together.
	a := solo("a", ms("r", 30), ms("s", 1))
	duo := ticket("duo", player("b", ms("r", 50)), player("c", ms("r", 100)))
	m := in(match(tickets(a), tickets(duo)), "r")
	elsewhere := in(match(tickets(solo("d", ms("r", 200), ms("s", 10))), nil), "s")
	asking := in(match(tickets(a), tickets(asks(ticket("e", player("e"), player("f")), "r"))), "r")
	knows := in(match(tickets(asks(ticket("g", player("g", ms("r", 80)), player("h")), "r")), nil), "r")
	half := in(match(tickets(ticket("i", player("i", ms("r", 40)), player("j"))), nil), "r")

	run(t, []row{
		{"average at the bound", latency(new(75.0), nil, "", ruleset.Avg), m, ""},
		{"average is the default", latency(new(74.0), nil, "", ""), m, `ticket "duo" has 75 ms in "r", more than 74`},
		{"lowest", latency(new(50.0), nil, "", ruleset.Min), m, ""},
		{"lowest is too high", latency(new(49.0), nil, "", ruleset.Min), m, `ticket "duo" has 50 ms in "r", more than 49`},
		{"highest", latency(new(100.0), nil, "", ruleset.Max), m, ""},
		{"highest is too high", latency(new(99.0), nil, "", ruleset.Max), m, `ticket "duo" has 100 ms in "r", more than 99`},
		{"in the match's region", latency(new(10.0), nil, "", ""), elsewhere, ""},
		{"too high there", latency(new(9.0), nil, "", ""), elsewhere, `ticket "ticket-d" has 10 ms in "s", more than 9`},
		{"those who ask for it have 0 ms", latency(new(30.0), new(15.0), ruleset.Avg, ""), in(match(tickets(a), tickets(asks(solo("e"), "r"))), "r"), ""},
		{"at a bound of 0 ms", latency(new(0.0), nil, "", ""), in(match(tickets(asks(solo("e"), "r")), nil), "r"), ""},
		{"each of those has", latency(nil, new(19.0), ruleset.Avg, ""), asking, `ticket "ticket-a" has 30 ms in "r", more than 19 from 10`},
		{"those who ask and know", latency(new(79.0), nil, "", ""), knows, `player "h" of ticket "g" has no latency to "r"`},
		{"those who ask and know elsewhere", latency(new(79.0), nil, "", ""), in(match(tickets(asks(solo("l", ms("s", 8)), "r")), nil), "r"), `player "l" of ticket "ticket-l" has no latency to "r"`},
		{"each needs a latency", latency(new(100.0), nil, "", ""), half, `player "j" of ticket "i" has no latency to "r"`},
		{"from the lowest", latency(nil, new(45.0), ruleset.Min, ""), m, ""},
		{"too far from the lowest", latency(nil, new(44.0), ruleset.Min, ""), m, `ticket "duo" has 75 ms in "r", more than 44 from 30`},
		{"from the mean of the players", latency(nil, new(30.0), ruleset.Avg, ""), m, ""},
		{"too far from the mean", latency(nil, new(29.0), ruleset.Avg, ""), m, `ticket "ticket-a" has 30 ms in "r", more than 29 from 60`},
		{"the lowest is of players, not tickets", latency(nil, new(49.0), ruleset.Min, ruleset.Max), in(match(tickets(duo), nil), "r"), `ticket "duo" has 100 ms in "r", more than 49 from 50`},
		{"nothing said of regions", latency(new(100.0), nil, "", ""), match(tickets(solo("k")), nil), `ticket "ticket-k" has neither a region nor latencies`},
		{"nothing said beside others", latency(new(100.0), nil, "", ""), in(match(tickets(a), tickets(solo("k"))), "r"), `ticket "ticket-k" has neither a region nor latencies`},
	})
}
