package search_test

import (
	"fmt"
	"testing"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// As in FlexMatch, a ticket is in no match in a region to which one of its players
// lacks a latency, where a rule asks for latencies.
func TestPlayersWithoutLatency(t *testing.T) {
	const none, limited = "", `{"name": "near", "type": "latency", "maxLatency": 50}`
	party := func(id, region string, latencies ...map[string]float64) rule.Ticket {
		k := rule.Ticket{ID: id, Created: now, Region: region}
		for i, of := range latencies {
			p := rule.Player{ID: fmt.Sprint(id, i)}
			for _, r := range []string{"eu", "us"} {
				if ms, ok := of[r]; ok {
					p.Latencies = append(p.Latencies, rule.Latency{Region: r, Milliseconds: ms})
				}
			}
			k.Players = append(k.Players, p)
		}
		return k
	}
	us := func(ms float64) map[string]float64 { return map[string]float64{"us": ms} }
	both := map[string]float64{"eu": 10, "us": 10}
	running := party("r", "us", us(30), nil)
	running.Teams = []int{0, 0}
	for name, c := range map[string]struct {
		rules string
		one   rule.Ticket
		other rule.Ticket
		match bool
	}{
		"one of a party has none":       {limited, party("a", "", us(30), nil), party("b", "", us(30), us(40)), false},
		"the first of a party has none": {limited, party("a", "", nil, us(30)), party("b", "", us(30), us(40)), false},
		"none to that region":           {limited, party("a", "", us(30), map[string]float64{"eu": 1}), party("b", "", us(30), us(40)), false},
		"one region that all have":      {limited, party("a", "", both, us(30)), party("b", "", us(30), us(40)), true},
		"a region, and some latencies":  {limited, party("a", "us", us(30), nil), party("b", "", us(30), us(40)), false},
		"a region, latencies elsewhere": {limited, party("a", "us", map[string]float64{"eu": 1}), party("b", "", us(30), us(40)), false},
		"a region, no latencies":        {limited, party("a", "us", nil, nil), party("b", "", us(30), us(40)), true},
		"no rule asks":                  {none, party("a", "", us(30), nil), party("b", "", us(30), us(40)), true},
		"no rule asks, and a region":    {none, party("a", "us", us(30), nil), party("b", "", us(30), us(40)), true},
		"a distance alone":              {`{"name": "near", "type": "latency", "maxDistance": 500, "distanceReference": "min"}`, party("a", "", us(30), nil), party("b", "", us(30)), false},
		"in a statement":                {limited + `, {"name": "or", "type": "compound", "statement": "or(near, not(near))"}`, party("a", "", us(30), nil), party("b", "", us(30)), false},
		"who plays already":             {limited, running, party("b", "", us(30), us(40)), true},
	} {
		t.Run(name, func(t *testing.T) {
			text := `{"name": "x", "ruleLanguageVersion": "1.0", "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 2, "quantity": 2}], "rules": [` + c.rules + `]}`
			for i := range 2 {
				tickets := []rule.Ticket{c.one, c.other}
				if i == 1 {
					tickets = []rule.Ticket{c.other, c.one}
				}
				want := c.match
				if len(c.other.Players)+len(c.one.Players) < 4 {
					tickets = append(tickets, party("fill", "", us(30)))
				}
				joined := 0
				for _, m := range found(t, text, tickets) {
					for _, k := range m.Tickets {
						if k.ID == c.one.ID {
							joined++
						}
					}
				}
				if (joined == 1) != want {
					t.Errorf("in %d matches, want in one: %t", joined, want)
				}
			}
		})
	}
	rs, err := ruleset.Parse([]byte(`{"name": "x", "ruleLanguageVersion": "1.0", "teams": [{"name": "all", "minPlayers": 2, "maxPlayers": 2}], "rules": [` + limited + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := search.Compile(rs, search.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := e.Explain(t.Context(), []rule.Ticket{party("a", "", us(30), nil)}, 0, now)
	if x.Reason != search.BadRegion || len(x.Refusals) != 1 || !x.Refusals[0].LacksSome {
		t.Errorf("got %+v", x)
	}
}
