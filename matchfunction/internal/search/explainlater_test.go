package search_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// oneOnOne is the beginning of a rule set of two teams of one.
const oneOnOne = `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "s", "type": "number"}, {"name": "role", "type": "string", "default": ""}],
	"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 1}, {"name": "blue", "minPlayers": 1, "maxPlayers": 1}], `

func compiled(t *testing.T, text string) *search.Engine {
	t.Helper()
	rs, err := ruleset.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	e, err := search.Compile(rs, search.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// solo has waited, has a number, and perhaps a latency to Europe.
func solo(id string, waited time.Duration, s, latency float64) rule.Ticket {
	k := rule.Ticket{ID: id, Created: now.Add(-waited), Players: []rule.Player{{ID: "p-" + id, Attributes: []rule.Attribute{{Name: "s", Value: number(s)}}}}}
	if latency > 0 {
		k.Players[0].Latencies = []rule.Latency{{Region: "eu", Milliseconds: latency}}
	}
	return k
}

// The time until two tickets match is what is said, whoever of them is older, and they
// match then.
func TestExplainTellsWhenTicketsMeet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	met := 0
	for range 400 {
		age := []string{"newest", "oldest"}[rng.IntN(2)]
		steps, at, most := []string{}, 0, 50.
		for range 1 + rng.IntN(3) {
			at, most = at+1+rng.IntN(40), most+float64(50*rng.IntN(4))
			steps = append(steps, fmt.Sprintf(`{"waitTimeSeconds": %d, "value": %g}`, at, most))
		}
		rules, property := `{"name": "R", "type": "batchDistance", "batchAttribute": "s", "maxDistance": 50}`, "maxDistance"
		if rng.IntN(2) == 0 {
			rules, property = `{"name": "R", "type": "latency", "maxLatency": 50}`, "maxLatency"
		}
		e := compiled(t, fmt.Sprintf(`%s "algorithm": {"expansionAgeSelection": %q}, "rules": [%s],
			"expansions": [{"target": "rules[R].%s", "steps": [%s]}]}`, oneOnOne, age, rules, property, strings.Join(steps, ", ")))
		some := func(id string) rule.Ticket {
			return solo(id, time.Duration(rng.IntN(60))*time.Second, float64(rng.IntN(300)), float64(1+rng.IntN(200)))
		}
		tickets := []rule.Ticket{some("me"), some("other")}
		x := e.Explain(t.Context(), tickets, 0, now)
		first := time.Duration(-1)
		for after := time.Duration(0); after < 3*time.Minute && first < 0; after += time.Second {
			if e.Explain(t.Context(), tickets, 0, now.Add(after)).Match != nil {
				first = after
			}
		}
		said := time.Duration(-1)
		if x.Match != nil {
			said = 0
		} else if len(x.Later) > 0 {
			said = x.Later[0].In
		}
		switch {
		case x.Reason != "" && first >= 0 && said > first:
			t.Errorf("%s of %+v: can't be matched before %v, and is after %v", age, tickets, said, first)
		case x.Reason == "" && said != first:
			t.Errorf("%s %v of %+v: a match after %v, said was %v: %+v", age, steps, tickets, first, said, x)
		case first > 0:
			met++
		}
	}
	if met < 50 {
		t.Errorf("%d pools have a match later", met)
	}
}

// Who fits into a match of a stage that somebody else has reached is not one who fits into
// none.
func TestUnfitOfAnyStage(t *testing.T) {
	e := compiled(t, oneOnOne+`"algorithm": {"expansionAgeSelection": "oldest"}, "rules": [{"name": "Near", "type": "latency", "maxLatency": 50}],
		"expansions": [{"target": "rules[Near].maxLatency", "steps": [{"waitTimeSeconds": 60, "value": 100}]}]}`)
	for _, c := range []struct {
		latency float64
		unfit   int
	}{{60, 0}, {101, 1}} {
		unfit, matches := 0, 0
		tickets := []rule.Ticket{solo("new", 0, 1, c.latency), solo("old", 2*time.Minute, 1, 30)}
		for range e.Search(t.Context(), tickets, now, func(int, search.Reason) { unfit++ }) {
			matches++
		}
		if unfit != c.unfit || matches != 1-c.unfit {
			t.Errorf("%g ms: %d unfit and %d matches", c.latency, unfit, matches)
		}
	}
	alone := e.Explain(t.Context(), []rule.Ticket{solo("new", 0, 1, 60)}, 0, now)
	if alone.Reason != "" {
		t.Errorf("who could play with an older one: %+v", alone)
	}
}

// A number is named as the limit only if it is the limit that is broken, and a rule only if
// it refuses the ticket.
func TestExplainBlamesTheLimitThatIsBroken(t *testing.T) {
	expands := func(property string, wait int, value string) string {
		return fmt.Sprintf(`{"target": "rules[R].%s", "steps": [{"waitTimeSeconds": %d, "value": %s}]}`, property, wait, value)
	}
	for name, c := range map[string]struct {
		rules, expansions string
		tickets           []rule.Ticket
	}{
		"two distances": {
			`{"name": "R", "type": "distance", "measurements": ["avg(teams[red].players.attributes[s])"], "referenceValue": "avg(teams[blue].players.attributes[s])", "minDistance": 10, "maxDistance": 100}`,
			expands("maxDistance", 10, "200") + "," + expands("minDistance", 60, "0"), []rule.Ticket{solo("me", 0, 1000, 0), solo("other", 0, 1005, 0)},
		},
		"two counts": {
			`{"name": "R", "type": "collection", "operation": "contains", "measurements": ["flatten(teams[*].players.attributes[role])"], "referenceValue": "healer", "minCount": 1, "maxCount": 1}`,
			expands("maxCount", 10, "2") + "," + expands("minCount", 60, "0"), []rule.Ticket{solo("me", 0, 1000, 0), solo("other", 0, 1005, 0)},
		},
		"latency and its distance": {
			`{"name": "R", "type": "latency", "maxLatency": 200, "maxDistance": 10, "distanceReference": "avg"}`,
			expands("maxLatency", 10, "300") + "," + expands("maxDistance", 60, "100"), []rule.Ticket{solo("me", 0, 1, 60), solo("other", 0, 1, 30)},
		},
	} {
		e := compiled(t, fmt.Sprintf(`%s "rules": [%s], "expansions": [%s]}`, oneOnOne, c.rules, c.expansions))
		x := e.Explain(t.Context(), c.tickets, 0, now)
		if len(x.Thresholds) != 1 || x.Thresholds[0] != (search.Threshold{}) {
			t.Errorf("%s: %+v", name, x)
		}
	}

	e := compiled(t, oneOnOne+`"rules": [{"name": "Near", "type": "latency", "maxLatency": 50}, {"name": "Wide", "type": "latency", "maxLatency": 100, "partyAggregation": "max"},
		{"name": "Tiny", "type": "latency", "maxLatency": 20}, {"name": "High", "type": "comparison", "measurements": ["flatten(teams[*].players.attributes[s])"], "operation": ">=", "referenceValue": 5},
		{"name": "Either", "type": "compound", "statement": "or(Tiny, High)"}]}`)
	x := e.Explain(t.Context(), []rule.Ticket{solo("me", 0, 9, 60)}, 0, now)
	if len(x.Refusals) != 1 || x.Refusals[0].Rule != "Near" || x.Refusals[0].Threshold != (search.Threshold{Most: 50, Needed: 60}) {
		t.Errorf("60 ms: %+v", x.Refusals)
	}
	two := solo("me", 0, 9, 40)
	two.Players[0].Latencies = []rule.Latency{{Region: "eu", Milliseconds: 120}, {Region: "us", Milliseconds: 55}}
	if x := e.Explain(t.Context(), []rule.Ticket{two}, 0, now); len(x.Refusals) != 1 || x.Refusals[0].Needed != 55 {
		t.Errorf("two regions: %+v", x.Refusals)
	}
}

// What is allowed, what would do and when are of one pair.
func TestExplainSpeaksOfOnePair(t *testing.T) {
	e := compiled(t, oneOnOne+`"rules": [{"name": "R", "type": "batchDistance", "batchAttribute": "s", "maxDistance": 100}],
		"expansions": [{"target": "rules[R].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 200}, {"waitTimeSeconds": 60, "value": 400}]}]}`)
	tickets := []rule.Ticket{solo("me", 100*time.Second, 1000, 0), solo("old", 100*time.Second, 1500, 0), solo("new", 0, 850, 0)}
	x := e.Explain(t.Context(), tickets, 0, now)
	want := search.Threshold{Most: 100, Needed: 150, Loosens: true, In: 10 * time.Second, Then: 200}
	if len(x.Apart) != 1 || x.Apart[0].Tickets != 2 || x.Apart[0].Threshold != want {
		t.Errorf("%+v", x.Apart)
	}
}

// Sums that are not exact refuse nobody who is just at the bound.
func TestNumbersAtTheBound(t *testing.T) {
	for name, rules := range map[string]string{
		"batchDistance":  `{"name": "R", "type": "batchDistance", "batchAttribute": "s", "maxDistance": 0.1}`,
		"distance":       `{"name": "R", "type": "distance", "measurements": ["avg(teams[red].players.attributes[s])"], "referenceValue": "avg(teams[blue].players.attributes[s])", "maxDistance": 0.1}`,
		"max less min":   `{"name": "R", "type": "distance", "measurements": ["max(flatten(teams[*].players.attributes[s]))"], "referenceValue": "min(flatten(teams[*].players.attributes[s]))", "maxDistance": 0.1}`,
		"teamDifference": `{"name": "R", "type": "teamDifference", "attribute": "s", "maxDifference": 0.1}`,
	} {
		e := compiled(t, oneOnOne+`"rules": [`+rules+`]}`)
		for other, want := range map[float64]bool{0.4: true, 0.2: true, math.Nextafter(0.4, 1): true, 0.4001: false, 0.1999: false} {
			x := e.Explain(t.Context(), []rule.Ticket{solo("me", 0, 0.3, 0), solo("other", 0, other, 0)}, 0, now)
			if (x.Match != nil) != want {
				t.Errorf("%s: 0.3 and %g: match %v", name, other, x.Match)
			}
		}
	}
	e := compiled(t, oneOnOne+`"rules": [{"name": "R", "type": "teamDifference", "attribute": "s", "maxDifference": 50}],
		"expansions": [{"target": "rules[R].maxDifference", "steps": [{"waitTimeSeconds": 10, "value": 500}, {"waitTimeSeconds": 30, "value": 600}]}]}`)
	x := e.Explain(t.Context(), []rule.Ticket{solo("me", 0, 1500, 0), solo("other", 0, 2000, 0)}, 0, now)
	if want := (search.Threshold{Most: 50, Needed: 500, Loosens: true, In: 10 * time.Second, Then: 500}); len(x.Thresholds) != 1 || x.Thresholds[0] != want {
		t.Errorf("500 apart: %+v", x.Thresholds)
	}
}

// A match that patience holds out for is told of, with when it is made.
func TestExplainKnowsPatience(t *testing.T) {
	e := compiled(t, oneOnOne+`"algorithm": {"patienceSeconds": 100}, "rules": [{"name": "R", "type": "batchDistance", "batchAttribute": "s", "maxDistance": 100}]}`)
	for _, c := range []struct {
		waited time.Duration
		apart  float64
		in     time.Duration
	}{{0, 80, 60 * time.Second}, {40 * time.Second, 80, 20 * time.Second}, {0, 51, 2 * time.Second}, {0, 100, 100 * time.Second}} {
		tickets := []rule.Ticket{solo("me", c.waited, 1000, 0), solo("other", 0, 1000+c.apart, 0)}
		x := e.Explain(t.Context(), tickets, 0, now)
		if x.Held == nil || !x.Held.Patience || x.Held.Spread != c.apart || x.Held.In.Round(time.Millisecond) != c.in {
			t.Errorf("%g apart after %v: %+v", c.apart, c.waited, x.Held)
			continue
		}
		before, then := e.Explain(t.Context(), tickets, 0, now.Add(c.in-time.Second)), e.Explain(t.Context(), tickets, 0, now.Add(c.in+time.Millisecond))
		if before.Match != nil || then.Match == nil {
			t.Errorf("%g apart after %v: before %v, then %v", c.apart, c.waited, before.Match, then.Match)
		}
	}
}

// Smaller matches, and bots, are told of too.
func TestExplainKnowsSmallerMatches(t *testing.T) {
	e := compiled(t, `{"ruleLanguageVersion": "1.0", "teams": [{"name": "red", "minPlayers": 3, "maxPlayers": 3}, {"name": "blue", "minPlayers": 3, "maxPlayers": 3}],
		"expansions": [{"target": "teams[*].minPlayers", "steps": [{"waitTimeSeconds": 30, "value": 1}]}]}`)
	for _, c := range []struct{ mine, other, in time.Duration }{
		{0, 0, 30 * time.Second}, {time.Minute, 5 * time.Second, 25 * time.Second}, {5 * time.Second, time.Minute, 25 * time.Second},
	} {
		tickets := []rule.Ticket{solo("me", c.mine, 0, 0), solo("other", c.other, 0, 0)}
		x := e.Explain(t.Context(), tickets, 0, now)
		if x.Needs != 5 || len(x.Later) != 1 || x.Later[0].In != c.in || x.Later[0].Needs != 1 {
			t.Errorf("%+v: needs %d, later %+v", c, x.Needs, x.Later)
		}
		if then := e.Explain(t.Context(), tickets, 0, now.Add(c.in)); then.Match == nil {
			t.Errorf("%+v: no match then", c)
		}
	}
	bots := compiled(t, `{"ruleLanguageVersion": "1.0", "teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 1, "botsAfterSeconds": 10}, {"name": "blue", "minPlayers": 1, "maxPlayers": 1, "botsAfterSeconds": 10}]}`)
	x := bots.Explain(t.Context(), []rule.Ticket{solo("me", 4*time.Second, 0, 0)}, 0, now)
	if x.Needs != 1 || len(x.Later) != 1 || x.Later[0].In != 6*time.Second || x.Later[0].Needs != 0 {
		t.Errorf("bots: needs %d, later %+v", x.Needs, x.Later)
	}
}
