package search_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

const explained = `{
  "name": "explained", "ruleLanguageVersion": "1.0",
  "playerAttributes": [{"name": "skill", "type": "number"}, {"name": "mode", "type": "string", "default": "ctf"}, {"name": "char", "type": "string", "default": "any"}],
  "teams": [{"name": "red", "minPlayers": 2, "maxPlayers": 2}, {"name": "blue", "minPlayers": 2, "maxPlayers": 2}],
  "rules": [
    {"name": "mode", "type": "batchDistance", "batchAttribute": "mode"},
    {"name": "close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 100},
    {"name": "fair", "type": "teamDifference", "attribute": "skill", "maxDifference": 5},
    {"name": "near", "type": "latency", "maxLatency": 80},
    {"name": "different", "type": "comparison", "operation": "!=", "measurements": ["flatten(teams[*].players.attributes[char])"]}
  ],
  "expansions": [{"target": "rules[close].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 300}]}]
}`

// waiting is a solo in Europe.
func waiting(id string, skill float64, mode, char string, waited time.Duration) rule.Ticket {
	return rule.Ticket{ID: id, Created: now.Add(-waited), Players: []rule.Player{{ID: "p-" + id,
		Attributes: []rule.Attribute{{Name: "skill", Value: number(skill)}, {Name: "mode", Value: word(mode)}, {Name: "char", Value: word(char)}},
		Latencies:  []rule.Latency{{Region: "eu", Milliseconds: 40}, {Region: "us", Milliseconds: 140}}}}}
}

func explain(t *testing.T, tickets ...rule.Ticket) search.Explanation {
	t.Helper()
	rs, err := ruleset.Parse([]byte(explained))
	if err != nil {
		t.Fatal(err)
	}
	e, err := search.Compile(rs, search.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e.Explain(t.Context(), tickets, 0, now)
}

func TestExplainCountsEachOtherTicketOnce(t *testing.T) {
	far := waiting("far", 1500, "ctf", "c4", time.Second)
	far.Players[0].Latencies = []rule.Latency{{Region: "us", Milliseconds: 20}}
	nowhere := waiting("nowhere", 1500, "ctf", "c5", time.Second)
	nowhere.Players[0].Latencies = nil
	x := explain(t, waiting("me", 1500, "ctf", "c0", 4*time.Second),
		waiting("other mode", 1500, "dm", "c1", time.Second),
		waiting("other skill", 1650, "ctf", "c2", 9*time.Second), waiting("any other skill", 1900, "ctf", "c3", 9*time.Second),
		far, nowhere,
		waiting("same character", 1510, "ctf", "c0", time.Second),
		waiting("fits", 1520, "ctf", "c6", time.Second))
	if x.Others != 7 || x.Unfit != 1 || x.Candidates != 1 || x.Players != 1 || x.Needs != 3 || x.Reason != "" || x.Match != nil || x.Wait != 4*time.Second {
		t.Errorf("%+v", x)
	}
	apart := make(map[string]search.Apart)
	for _, a := range x.Apart {
		apart[a.Rule] = a
	}
	if c := apart["close"]; c.Tickets != 2 || c.Needed != 150 || c.Most != 100 || x.Apart[0].Rule != "close" {
		t.Errorf("close: %+v", c)
	}
	for _, name := range []string{"mode", "near", "different"} {
		if apart[name].Tickets != 1 {
			t.Errorf("%s: %+v", name, apart[name])
		}
	}
	if len(x.Later) != 1 || x.Later[0].In != 6*time.Second || x.Later[0].Candidates != 2 {
		t.Errorf("later: %+v", x.Later)
	}
}

func TestExplainNamesTheRulesThatMatchesBreak(t *testing.T) {
	var tickets []rule.Ticket
	for i, skill := range []float64{1500, 1500, 1500, 1590} {
		tickets = append(tickets, waiting(fmt.Sprint(i), skill, "ctf", fmt.Sprint(i), 0))
	}
	if x := explain(t, tickets...); x.Candidates != 3 || !slices.Equal(x.Broken, []string{"fair"}) {
		t.Errorf("%+v", x)
	}
	tickets[1] = waiting("1", 1590, "ctf", "1", 0)
	if x := explain(t, tickets...); x.Match == nil || len(x.Match.Tickets) != 4 {
		t.Errorf("%+v", x)
	}
}

func TestExplainSaysWhatIsWrongWithATicket(t *testing.T) {
	lacks := waiting("lacks", 1500, "ctf", "", 0)
	lacks.Players[0].Attributes = lacks.Players[0].Attributes[1:]
	party := waiting("party", 1500, "ctf", "", 0)
	party.Players = append(party.Players, rule.Player{ID: "b"}, rule.Player{ID: "c"})
	nobody := waiting("nobody", 1500, "ctf", "", 0)
	nobody.Players = nil
	distant := waiting("distant", 1500, "ctf", "", 0)
	distant.Players[0].Latencies[0].Milliseconds = 81
	broken := waiting("broken", 1500, "ctf", "", 0)
	broken.Players[0].Latencies[0].Milliseconds = -1
	regionless := waiting("regionless", 1500, "ctf", "", 0)
	regionless.Players[0].Latencies = nil
	mistyped := waiting("mistyped", 1500, "ctf", "", 0)
	mistyped.Players[0].Attributes[0].Value = word("high")
	divided := waiting("divided", 1500, "ctf", "", 0)
	divided.Players = append(divided.Players, waiting("x", 1500, "dm", "", 0).Players...)
	for want, k := range map[search.Reason]rule.Ticket{search.BadAttribute: lacks, search.BadParty: nobody,
		search.BadRegion: distant, search.BadLatency: broken, search.Divided: divided} {
		if x := explain(t, k, waiting("other", 1500, "ctf", "", 0)); x.Reason != want {
			t.Errorf("%s: %+v", want, x)
		}
	}
	for name, c := range map[string]struct {
		ticket rule.Ticket
		want   search.Refusal
	}{
		"missing":    {lacks, search.Refusal{Attribute: "skill", Want: ruleset.Number}},
		"distant":    {distant, search.Refusal{Rule: "near", Kind: ruleset.Latency, Threshold: search.Threshold{Most: 80, Needed: 81}}},
		"regionless": {regionless, search.Refusal{Rule: "near", Kind: ruleset.Latency, Lacks: true}},
		"mistyped":   {mistyped, search.Refusal{Attribute: "skill", Want: ruleset.Number, Got: ruleset.String}},
		"divided":    {divided, search.Refusal{Rule: "mode", Kind: ruleset.BatchDistance, Attribute: "mode", Among: true}},
	} {
		if x := explain(t, c.ticket); len(x.Refusals) != 1 || x.Refusals[0] != c.want || (c.want.Rule != "") != slices.Equal(x.Broken, []string{c.want.Rule}) {
			t.Errorf("%s: %+v", name, x)
		}
	}
	if x := explain(t, party); x.Reason != search.BadAttribute && x.Reason != search.BadParty {
		t.Errorf("%+v", x)
	}
}

// What one rule does by itself is its own; what several do together is theirs.
func TestExplainNamesTheRulesThatShutATicketOut(t *testing.T) {
	const text = `{"ruleLanguageVersion": "1.0",
		"playerAttributes": [{"name": "hours", "type": "number"}, {"name": "side", "type": "string", "default": "none"}],
		"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 2}, {"name": "blue", "minPlayers": 1, "maxPlayers": 2}],
		"rules": [
			{"name": "veterans", "type": "comparison", "operation": ">=", "referenceValue": 2, "measurements": ["teams[red].players.attributes[hours]", "teams[blue].players.attributes[hours]"]},
			{"name": "red", "type": "comparison", "operation": "=", "referenceValue": "red", "measurements": ["teams[red].players.attributes[side]"]},
			{"name": "blue", "type": "comparison", "operation": "=", "referenceValue": "blue", "measurements": ["teams[blue].players.attributes[side]"], "secondsUntilOptional": 30}]}`
	rs, err := ruleset.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	e, err := search.Compile(rs, search.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hours float64
		side  string
		want  []string
	}{
		{3, "red", nil}, {1, "red", []string{"veterans"}}, {1, "green", []string{"veterans"}}, {3, "green", []string{"red", "blue"}},
	} {
		solo := rule.Ticket{ID: "t", Created: now, Players: []rule.Player{{ID: "p", Attributes: []rule.Attribute{
			{Name: "hours", Value: number(c.hours)}, {Name: "side", Value: word(c.side)}}}}}
		if x := e.Explain(t.Context(), []rule.Ticket{solo}, 0, now); !slices.Equal(x.Broken, c.want) || (x.Reason != "") != (c.want != nil) || x.Size != 1 {
			t.Errorf("%v %s: %+v", c.hours, c.side, x)
		} else if later := len(x.Later) > 0 && x.Reason != ""; later != (c.side == "green" && c.hours == 3) || later && x.Later[0].In != 30*time.Second {
			t.Errorf("%v %s: later: %+v", c.hours, c.side, x.Later)
		}
	}
}

// Each cause has the number that would have let the ticket be matched, and when
// the rule allows it; stages that change nothing are left out.
func TestExplainNamesThresholds(t *testing.T) {
	const text = `{"name": "steps", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 1}, {"name": "blue", "minPlayers": 1, "maxPlayers": 1}],
		"rules": [%s],
		"expansions": [{"target": "rules[R].%s", "steps": [{"waitTimeSeconds": 10, "value": 101}, {"waitTimeSeconds": 20, "value": 102},
			{"waitTimeSeconds": 30, "value": 103}, {"waitTimeSeconds": 40, "value": 300}, {"waitTimeSeconds": 50, "value": 301}]}]}`
	at := func(id string, skill, ms float64) rule.Ticket {
		k := waiting(id, skill, "", "", 4*time.Second)
		k.Players[0].Latencies = []rule.Latency{{Region: "eu", Milliseconds: ms}}
		return k
	}
	look := func(rules, property string, tickets ...rule.Ticket) search.Explanation {
		t.Helper()
		rs, err := ruleset.Parse(fmt.Appendf(nil, text, rules, property))
		if err != nil {
			t.Fatal(err)
		}
		e, err := search.Compile(rs, search.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return e.Explain(t.Context(), tickets, 0, now)
	}
	allowed := search.Threshold{Most: 100, Needed: 250, Loosens: true, In: 36 * time.Second, Then: 300}
	never := search.Threshold{Most: 100, Needed: 400}

	const close = `{"name": "R", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 100}`
	for _, c := range []struct {
		apart float64
		want  search.Threshold
		later int
	}{{250, allowed, 1}, {400, never, 0}} {
		x := look(close, "maxDistance", at("me", 1000, 1), at("other", 1000+c.apart, 1))
		if len(x.Apart) != 1 || x.Apart[0].Threshold != c.want || len(x.Later) != c.later || c.later == 1 && x.Later[0].In != 36*time.Second {
			t.Errorf("apart: %+v, later %+v", x.Apart, x.Later)
		}
		x = look(`{"name": "R", "type": "teamDifference", "attribute": "skill", "maxDifference": 100}`, "maxDifference", at("me", 1000, 1), at("other", 1000+c.apart, 1))
		if len(x.Thresholds) != 1 || len(x.Broken) != 1 || len(x.Later) != 0 {
			t.Fatalf("broken: %+v", x)
		}
		got := x.Thresholds[0]
		if d := got.Needed - c.want.Needed; d < -1e-6 || d > 1e-6 {
			t.Errorf("broken: %+v", got)
		}
		if got.Needed = c.want.Needed; got != c.want {
			t.Errorf("broken: %+v", got)
		}
		x = look(`{"name": "R", "type": "latency", "maxLatency": 100}`, "maxLatency", at("me", 1000, c.apart))
		if len(x.Refusals) != 1 || x.Refusals[0].Threshold != c.want {
			t.Errorf("refused: %+v", x.Refusals)
		}
	}
	// The nearest of several counts.
	x := look(close, "maxDistance", at("me", 1000, 1), at("far", 2000, 1), at("near", 1250, 1))
	if len(x.Apart) != 1 || x.Apart[0].Threshold != allowed || x.Apart[0].Tickets != 2 {
		t.Errorf("two apart: %+v", x.Apart)
	}
	// What a ticket is asked for by itself.
	x = look(close+`, {"name": "Grown", "type": "comparison", "measurements": ["flatten(teams[*].players.attributes[skill])"], "operation": ">=", "referenceValue": 1200}`, "maxDistance", at("me", 1000, 1))
	if len(x.Refusals) != 1 || x.Refusals[0].Asks != ">= 1200" || x.Refusals[0].Has != 1000 {
		t.Errorf("asked for: %+v", x.Refusals)
	}
}

// What a match breaks is told by the rules of the match's own stage, which the newest or the
// oldest of its tickets decides, and so is when they loosen: then there is a match.
func TestExplainTellsWhenMatchesLoosen(t *testing.T) {
	const rules = `{"name": "even", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 1}, {"name": "b", "minPlayers": 1, "maxPlayers": 1}],
		"rules": [{"name": "even", "type": "teamDifference", "attribute": "skill", "maxDifference": 30}],
		"algorithm": {"expansionAgeSelection": %q},
		"expansions": [{"target": "rules[even].maxDifference", "steps": [{"waitTimeSeconds": 20, "value": 50}, {"waitTimeSeconds": 60, "value": 200}]}]}`
	for _, c := range []struct {
		age         string
		mine, other time.Duration
		in          time.Duration
	}{
		{"newest", 3 * time.Second, 0, time.Minute},
		{"newest", 61 * time.Second, 58 * time.Second, 2 * time.Second},
		{"newest", 10 * time.Minute, 5 * time.Second, 55 * time.Second},
		{"newest", 5 * time.Second, 10 * time.Minute, 55 * time.Second},
		{"oldest", 7 * time.Second, 10 * time.Second, 50 * time.Second},
		{"oldest", 0, 59 * time.Second, time.Second},
		{"oldest", 30 * time.Second, time.Second, 30 * time.Second},
	} {
		rs, err := ruleset.Parse(fmt.Appendf(nil, rules, c.age))
		if err != nil {
			t.Fatal(err)
		}
		e, err := search.Compile(rs, search.Options{})
		if err != nil {
			t.Fatal(err)
		}
		tickets := []rule.Ticket{waiting("me", 130, "", "", c.mine), waiting("other", 15, "", "", c.other)}
		x := e.Explain(t.Context(), tickets, 0, now)
		if !slices.Equal(x.Broken, []string{"even"}) || len(x.Thresholds) != 1 || !x.Thresholds[0].Loosens || x.Thresholds[0].In != c.in || x.Thresholds[0].Needed != 115 {
			t.Errorf("%+v: %+v", c, x)
			continue
		}
		for after, want := range map[time.Duration]bool{c.in - time.Millisecond: false, c.in: true} {
			if then := e.Explain(t.Context(), tickets, 0, now.Add(after)); (then.Match != nil) != want {
				t.Errorf("%+v, %v later: match %v", c, after, then.Match)
			}
		}
	}
}

// Who could be in a match, but for others who are in another one, hears that.
func TestExplainThoseInOtherMatches(t *testing.T) {
	rs, err := ruleset.Parse([]byte(`{"name": "duel", "ruleLanguageVersion": "1.0",
		"teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 1}, {"name": "b", "minPlayers": 1, "maxPlayers": 1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := search.Compile(rs, search.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tickets := []rule.Ticket{waiting("me", 0, "", "", 0), waiting("a", 0, "", "", time.Minute), waiting("b", 0, "", "", time.Minute)}
	if x := e.Explain(t.Context(), tickets, 0, now); x.Match != nil || !x.Elsewhere || x.Candidates != 2 || len(x.Broken) != 0 {
		t.Errorf("%+v", x)
	}
	if x := e.Explain(t.Context(), tickets[:1], 0, now); x.Elsewhere {
		t.Errorf("alone: %+v", x)
	}
}

// A rule on latencies keeps apart only those whom another limit would let meet.
func TestExplainRegionsInCommon(t *testing.T) {
	at := func(id string, latencies ...rule.Latency) rule.Ticket {
		return rule.Ticket{ID: id, Created: now, Players: []rule.Player{{ID: id, Latencies: latencies}}}
	}
	eu, us := func(ms float64) rule.Latency { return rule.Latency{Region: "eu", Milliseconds: ms} }, func(ms float64) rule.Latency { return rule.Latency{Region: "us", Milliseconds: ms} }
	const distance, wide, narrow = `{"name": "distance", "type": "latency", "maxDistance": 10, "distanceReference": "avg"}`,
		`{"name": "wide", "type": "latency", "maxLatency": 300}`, `{"name": "narrow", "type": "latency", "maxLatency": 80}`
	for _, c := range []struct {
		rules        string
		me, other    rule.Ticket
		want         string
		most, needed float64
	}{
		{distance, at("me", eu(5)), at("other", us(90)), search.RegionRule, 0, 0},
		{narrow, at("me", eu(5)), at("other", us(70)), search.RegionRule, 0, 0},
		{distance + "," + narrow, at("me", eu(5)), at("other", us(70)), search.RegionRule, 0, 0},
		{narrow, at("me", us(20)), at("other", eu(70), us(100)), "narrow", 80, 100},
		{wide + "," + narrow, at("me", us(20)), at("other", eu(70), us(100)), "narrow", 80, 100},
		{distance + "," + narrow, at("me", us(20)), at("other", eu(70), us(100)), "narrow", 80, 100},
	} {
		rs, err := ruleset.Parse(fmt.Appendf(nil, `{"name": "duel", "ruleLanguageVersion": "1.0",
			"teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 1}, {"name": "b", "minPlayers": 1, "maxPlayers": 1}], "rules": [%s]}`, c.rules))
		if err != nil {
			t.Fatal(err)
		}
		e, err := search.Compile(rs, search.Options{})
		if err != nil {
			t.Fatal(err)
		}
		x := e.Explain(t.Context(), []rule.Ticket{c.me, c.other}, 0, now)
		if len(x.Apart) != 1 || x.Apart[0].Rule != c.want || x.Apart[0].Most != c.most || x.Apart[0].Needed != c.needed {
			t.Errorf("%s: %+v", c.rules, x.Apart)
		}
	}
}
