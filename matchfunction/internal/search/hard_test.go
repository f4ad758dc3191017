package search_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

func compile(t *testing.T, text string) *search.Engine {
	t.Helper()
	rs, err := ruleset.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	e, err := search.Compile(rs, options)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// An expression that costs as much as it may, and that no match keeps: the
// search ends soon after its time, in the middle of an anchor.
func TestDearExpressionsEndWithTheTime(t *testing.T) {
	e := compile(t, `{"name": "dear", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"algorithm": {"strategy": "balanced", "balancedAttribute": "skill"},
		"teams": [{"name": "red", "minPlayers": 90, "maxPlayers": 90}, {"name": "blue", "minPlayers": 90, "maxPlayers": 90}],
		"rules": [{"name": "never", "type": "expression", "expression": "players.all(p, players.all(q, p.attributes.skill != q.attributes.skill || p.id == q.id)) && wait < 0.0"}]}`)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan int)
	tickets := solos(400)
	go func() {
		n := 0
		for range e.Search(ctx, tickets, now, nil) {
			n++
		}
		done <- n
	}()
	select {
	case n := <-done:
		if n != 0 {
			t.Errorf("%d matches", n)
		}
	case <-time.After(time.Minute): // far from what one anchor would take
		t.Fatal("still searching")
	}
}

// What the first stages cost takes nothing from the last one, where everybody
// would match.
func TestEachStageHasItsTurn(t *testing.T) {
	e := compile(t, `{"name": "late", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": 5, "maxPlayers": 5}, {"name": "blue", "minPlayers": 5, "maxPlayers": 5}],
		"rules": [{"name": "never", "type": "expression", "expression": "players.exists(p, p.attributes.skill < 0.0)", "secondsUntilOptional": 10}]}`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tickets := solos(3000)
	for i := range tickets {
		tickets[i].Created = now.Add(-time.Minute)
	}
	matched := 0
	for p := range e.Search(ctx, tickets, now, nil) {
		matched += len(p.Tickets)
	}
	if matched != len(tickets) {
		t.Errorf("%d of %d are matched", matched, len(tickets))
	}
}

// Tickets that match nobody take their steps, and backfills of low priority
// theirs.
func TestHopelessTicketsLeaveStepsForOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	e := compile(t, `{"name": "low", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"algorithm": {"backfillPriority": "low"},
		"teams": [{"name": "red", "minPlayers": 2, "maxPlayers": 2}, {"name": "blue", "minPlayers": 2, "maxPlayers": 2}],
		"rules": [{"name": "mode", "type": "batchDistance", "batchAttribute": "mode"},
			{"name": "apart", "type": "distance", "minDistance": 1000, "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": "avg(teams[blue].players.attributes[skill])"}]}`)
	tickets := solos(10_000) // nobody's skill is a thousand from another's, but for a few
	for i := range tickets {
		tickets[i].Players[0].Attributes[1].Value = number(1500)
	}
	player := func(id string, skill float64) rule.Player {
		return rule.Player{ID: id, Attributes: []rule.Attribute{{Name: "mode", Value: word("rare")}, {Name: "skill", Value: number(skill)}}}
	}
	tickets = append(tickets, rule.Ticket{ID: "joins", Created: now, Players: []rule.Player{player("j", 3000)}},
		rule.Ticket{ID: "backfill", Created: now, Players: []rule.Player{player("a", 1000), player("b", 1000), player("c", 3000)}, Teams: []int{0, 0, 1}})
	filled := false
	for p := range e.Search(t.Context(), tickets, now, nil) {
		filled = filled || p.Backfill >= 0
	}
	if !filled {
		t.Error("the backfill is not filled")
	}
}

// Who has a role that each team needs is found wherever he or she is.
func TestRareRolesAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	e := compile(t, `{"name": "roles", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "roles", "type": "string_list"}],
		"teams": [{"name": "red", "minPlayers": 5, "maxPlayers": 5}, {"name": "blue", "minPlayers": 5, "maxPlayers": 5}],
		"rules": [{"name": "tank", "type": "roleQuota", "attribute": "roles", "roles": [{"role": "tank", "min": 1, "max": 2}, {"role": "any", "max": 5}]}]}`)
	const tanks = 100
	tickets := make([]rule.Ticket, 20_000)
	for i := range tickets {
		roles := []string{"any"}
		if i%(len(tickets)/tanks) == 7 {
			roles = []string{"tank"}
		}
		id := fmt.Sprint(i)
		tickets[i] = rule.Ticket{ID: id, Created: now.Add(-time.Duration(i) * time.Millisecond), Players: []rule.Player{{ID: id,
			Attributes: []rule.Attribute{{Name: "roles", Value: ruleset.Value{Type: ruleset.StringList, List: roles}}}}}}
	}
	matches := 0
	for range e.Search(t.Context(), tickets, now, nil) {
		matches++
	}
	if matches < tanks/2*9/10 {
		t.Errorf("%d matches of %d tanks", matches, tanks)
	}
}

// What more players can repair is no reason to turn one away.
func TestCountsThatPlayersChange(t *testing.T) {
	person := func(id string, tags ...string) rule.Ticket {
		return rule.Ticket{ID: id, Created: now, Players: []rule.Player{{ID: id, Attributes: []rule.Attribute{{Name: "tags", Value: ruleset.Value{Type: ruleset.StringList, List: tags}}}}}}
	}
	for name, c := range map[string]struct {
		rule    string
		tickets []rule.Ticket
	}{
		// Alone, each holds all that the match has.
		"contains": {`"operation": "contains", "measurements": ["flatten(teams[*].players.attributes[tags])"], "referenceValue": "flatten(flatten(teams[*].players.attributes[tags]))", "maxCount": 0`,
			[]rule.Ticket{person("a", "x"), person("b", "y")}},
		// Alone, each has one word of the two.
		"intersection": {`"operation": "intersection", "measurements": ["flatten(flatten(teams[*].players.attributes[tags]))"], "minCount": 2`,
			[]rule.Ticket{person("a", "x"), person("b", "y")}},
	} {
		text := `{"name": "tags", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "tags", "type": "string_list"}],
			"teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 1}, {"name": "b", "minPlayers": 1, "maxPlayers": 1}],
			"rules": [{"name": "r", "type": "collection", ` + c.rule + `}]}`
		if got := found(t, text, c.tickets); len(got) != 1 {
			t.Errorf("%s: %d matches", name, len(got))
		}
	}
}

// Parties that invent regions count once each.
func TestInventedRegionsLose(t *testing.T) {
	var tickets []rule.Ticket
	add := func(id string, regions ...string) {
		p := rule.Player{ID: id, Attributes: []rule.Attribute{{Name: "mode", Value: word("a")}, {Name: "skill", Value: number(1500)}}}
		for _, r := range regions {
			p.Latencies = append(p.Latencies, rule.Latency{Region: r, Milliseconds: 20})
		}
		second := p
		second.ID += "'"
		tickets = append(tickets, rule.Ticket{ID: id, Created: now, Players: []rule.Player{p, second}})
	}
	for i := range 60 {
		var invented []string
		for j := range 64 {
			invented = append(invented, fmt.Sprintf("x%d", j))
		}
		add(fmt.Sprint("evil", i), invented...)
	}
	for i := range 80 {
		add(fmt.Sprint("good", i), "eu")
	}
	inEurope := 0
	for _, m := range found(t, `{"name": "pairs", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "mode", "type": "string"}, {"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": 2, "maxPlayers": 2}, {"name": "blue", "minPlayers": 2, "maxPlayers": 2}],
		"rules": [{"name": "near", "type": "latency", "maxLatency": 50}]}`, tickets) {
		if m.Region == "eu" {
			inEurope++
		}
	}
	if inEurope != 40 {
		t.Errorf("%d matches in the real region", inEurope)
	}
}

// looked is a custom rule that counts its looks.
type looked struct {
	looks int
	rule  func(*rule.Match) error
}

func (l *looked) Allows(m *rule.Match) error {
	l.looks++
	return l.rule(m)
}

// wider makes a second stage of the rules of playTwos, which all who wait have reached.
const wider = `, "expansions": [{"target": "rules[Skill].maxDistance", "steps": [{"waitTimeSeconds": 1, "value": 200000}]}]`

// playTwos has so many solos, whose skills are 0, 1, 2 and so on, play two against two by a
// custom rule.
func playTwos(t *testing.T, players int, expansions string, allows func(*rule.Match) error) (looks, matches int) {
	t.Helper()
	l := &looked{rule: allows}
	rs, err := ruleset.Parse([]byte(`{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"teams": [{"name": "red", "minPlayers": 2, "maxPlayers": 2}, {"name": "blue", "minPlayers": 2, "maxPlayers": 2}],
		"rules": [{"name": "Skill", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 100000}, {"name": "Own", "type": "custom", "rule": "own"}]` + expansions + `}`))
	if err != nil {
		t.Fatal(err)
	}
	e, err := search.Compile(rs, search.Options{Custom: rule.Registry{"own": func(json.RawMessage) (rule.Rule, error) { return l, nil }}})
	if err != nil {
		t.Fatal(err)
	}
	tickets := make([]rule.Ticket, players)
	for i := range tickets {
		id := fmt.Sprintf("%05d", i)
		tickets[i] = rule.Ticket{ID: id, Created: now.Add(-time.Second), Players: []rule.Player{{ID: id, Attributes: []rule.Attribute{{Name: "skill", Value: number(float64(i))}}}}}
	}
	for range e.Search(t.Context(), tickets, now, nil) {
		matches++
	}
	return l.looks, matches
}

// TestHopelessPools: where nobody finds a match, each of many players costs a look and
// hardly more.
func TestHopelessPools(t *testing.T) {
	never := func(*rule.Match) error { return errors.New("never") }
	few, _ := playTwos(t, 900, "", never)
	many, matches := playTwos(t, 9000, "", never)
	if matches > 0 || many > 9000+2*few {
		t.Errorf("%d looks with 9000 players, %d with 900; %d matches", many, few, matches)
	}
	// What the first stage spares makes the second's fifth larger.
	if both, _ := playTwos(t, 9000, wider, never); both < many+9000+4000 {
		t.Errorf("%d looks in two stages, %d in one", both, many)
	}
}

// TestRareMatches: that first steps find nothing, in a large pool, says not that there is nothing.
func TestRareMatches(t *testing.T) {
	healers := func(m *rule.Match) error { // every fourth is one, and each team needs one
		for _, team := range m.Teams {
			if !slices.ContainsFunc(team.Members, func(m rule.Member) bool { return int(m.Player.Attributes[0].Value.Number)%4 == 0 }) {
				return errors.New("no healer")
			}
		}
		return nil
	}
	_, few := playTwos(t, 900, "", healers)
	_, many := playTwos(t, 2000, "", healers)
	if t.Logf("%d and %d matches", few, many); few == 0 || many < 2*few {
		t.Errorf("%d matches of 900 players, %d of 2000", few, many)
	}
}
