package ruleset_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/pkg/ruleset"
)

func parse(t *testing.T, others map[string]string) *ruleset.RuleSet {
	t.Helper()
	rs, err := ruleset.Parse([]byte(write(others)))
	if err != nil {
		t.Fatalf("\n%v", err)
	}
	checkSound(t, rs)
	return rs
}

func parseRule(t *testing.T, rule string) ruleset.Rule {
	t.Helper()
	rs := parse(t, map[string]string{"rules": "[" + rule + "]"})
	return rs.Stages[0].Rules[0]
}

func number(f float64) *float64 { return &f }
func count(n int) *int          { return &n }

// TestDefaults fills in what is left out.
func TestDefaults(t *testing.T) {
	rs, err := ruleset.Parse([]byte(`{"ruleLanguageVersion": "1.0", "teams": [{"name": "all", "minPlayers": 1, "maxPlayers": 3}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := ruleset.Definition{
		Algorithm: ruleset.Algorithm{Strategy: ruleset.ExhaustiveSearch, BatchingPreference: ruleset.Random,
			ExpansionAge: ruleset.Newest, BackfillPriority: ruleset.Normal},
		Teams: []ruleset.Team{{Name: "all", MinPlayers: 1, MaxPlayers: 3, Quantity: 1}},
	}
	if diff := cmp.Diff([]ruleset.Stage{{Definition: want}}, rs.Stages); diff != "" {
		t.Error(diff)
	}
	balanced := parse(t, map[string]string{"algorithm": `{"strategy": "balanced", "balancedAttribute": "skill"}`}).Stages[0].Algorithm
	if balanced.BatchingPreference != ruleset.LargestPopulation {
		t.Errorf("balanced prefers %s", balanced.BatchingPreference)
	}
}

func TestAttributes(t *testing.T) {
	attribute := func(d ruleset.AttributeType) *ruleset.Value { return &ruleset.Value{Type: d} }
	number, list, dict := attribute(ruleset.Number), attribute(ruleset.StringList), attribute(ruleset.StringNumberMap)
	number.Number, list.List, dict.Map = 10, []string{}, map[string]float64{"meadow": 1}
	want := []ruleset.Attribute{
		{Name: "skill", Type: ruleset.Number, Default: number},
		{Name: "mode", Type: ruleset.String},
		{Name: "roles", Type: ruleset.StringList, Default: list},
		{Name: "maps", Type: ruleset.StringNumberMap, Default: dict},
	}
	if diff := cmp.Diff(want, parse(t, nil).Stages[0].Attributes); diff != "" {
		t.Error(diff)
	}
}

func TestPlaces(t *testing.T) {
	d := &parse(t, map[string]string{"teams": `[
    {"name": "pair", "minPlayers": 1, "maxPlayers": 2, "quantity": 2, "botsAfterSeconds": 0},
    {"name": "red", "minPlayers": 0, "maxPlayers": 4}]`}).Stages[0].Definition
	want := []ruleset.TeamSlot{
		{Name: "pair_1", Team: 0, Min: 1, Max: 2, Bots: true},
		{Name: "pair_2", Team: 0, Min: 1, Max: 2, Bots: true},
		{Name: "red", Team: 1, Min: 0, Max: 4},
	}
	if diff := cmp.Diff(want, d.TeamSlots()); diff != "" {
		t.Error(diff)
	}
	if d.MaxParty() != 4 || d.MinPlayers() != 1 || d.MaxPlayers() != 8 {
		t.Errorf("largest party %d, %d to %d players", d.MaxParty(), d.MinPlayers(), d.MaxPlayers())
	}
}

// TestRules reads each type with all of its properties, and with as few as
// can be.
func TestRules(t *testing.T) {
	for text, want := range map[string]ruleset.Rule{
		`"type": "comparison", "measurements": ["teams[red].players.attributes[skill]"], "operation": "<=", "referenceValue": "7", "partyAggregation": "max"`: {
			Kind: ruleset.Comparison, Operation: ruleset.LessOrEqual, PartyAggregation: ruleset.Max},
		`"type": "distance", "measurements": "avg(teams[*].players.attributes[skill])", "referenceValue": 5, "minDistance": 1, "maxDistance": "500"`: {
			Kind: ruleset.Distance, MinDistance: number(1), MaxDistance: number(500), PartyAggregation: ruleset.Avg},
		`"type": "batchDistance", "batchAttribute": "skill", "maxDistance": "2.5e2", "partyAggregation": "min"`: {
			Kind: ruleset.BatchDistance, BatchAttribute: "skill", MaxDistance: number(250), PartyAggregation: ruleset.Min},
		`"type": "batchDistance", "batchAttribute": "mode"`: {
			Kind: ruleset.BatchDistance, BatchAttribute: "mode", PartyAggregation: ruleset.Avg},
		`"type": "collection", "operation": "contains", "measurements": ["flatten(teams[*].players.attributes[roles])"], "referenceValue": "medic", "maxCount": 2`: {
			Kind: ruleset.Collection, Operation: ruleset.Contains, MaxCount: count(2), PartyAggregation: ruleset.Union},
		`"type": "collection", "operation": "intersection", "measurements": ["teams[red].players.attributes[roles]"], "minCount": 1, "maxCount": "3", "partyAggregation": "intersection"`: {
			Kind: ruleset.Collection, Operation: ruleset.CollectionIntersection, MinCount: count(1), MaxCount: count(3), PartyAggregation: ruleset.Intersection},
		`"type": "latency", "maxLatency": 50, "maxDistance": 20, "distanceReference": "min"`: {
			Kind: ruleset.Latency, MaxLatency: number(50), MaxDistance: number(20), DistanceReference: ruleset.Min, PartyAggregation: ruleset.Avg},
		`"type": "distanceSort", "sortDirection": "ascending", "sortAttribute": "skill"`: {
			Kind: ruleset.DistanceSort, SortAscending: true, Attribute: "skill", PartyAggregation: ruleset.Avg},
		`"type": "absoluteSort", "sortDirection": "descending", "sortAttribute": "maps", "mapKey": "maxValue"`: {
			Kind: ruleset.AbsoluteSort, Attribute: "maps", MapKey: ruleset.MaxValue, PartyAggregation: ruleset.Avg},
		`"type": "expression", "expression": "size(teams) > 1", "secondsUntilOptional": 30`: {Kind: ruleset.Expression, Expression: "size(teams) > 1"},
		`"type": "custom", "rule": "no-rematch", "parameters": {"hours": [1, 2.50], /* two */ "a\u0062": "\u0041<",}`: {
			Kind: ruleset.Custom, CustomRule: "no-rematch", Parameters: []byte(`{"hours":[1,2.50],"ab":"\u0041<"}`)},
		`"type": "teamDifference", "attribute": "skill", "maxDifference": 12.5`: {
			Kind: ruleset.TeamDifference, Attribute: "skill", TeamAggregate: "avg", MaxDistance: number(12.5)},
		`"type": "teamSizeBalance", "maxDifference": 1`:   {Kind: ruleset.TeamSizeBalance, MaxDistance: number(1)},
		`"type": "similarPartySizes", "maxDifference": 0`: {Kind: ruleset.PartySizes, MaxDistance: number(0)},
		`"type": "roleQuota", "attribute": "roles", "teams": ["pair"], "roles": [{"role": "tank", "min": 1}, {"role": "healer", "max": 2}]`: {
			Kind: ruleset.RoleQuota, Attribute: "roles", RoleTeams: []string{"pair"},
			Roles: []ruleset.Role{{Name: "tank", Min: 1, Max: ruleset.MaxPlayers}, {Name: "healer", Max: 2}}},
	} {
		t.Run(string(want.Kind), func(t *testing.T) {
			got := parseRule(t, `{"name": "A", "description": "d", `+text+`}`)
			got.Measurements, got.Reference = nil, nil // see TestExpressions
			want.Name, want.Description, want.Path = "A", "d", "rules[0]"
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRolePlaces(t *testing.T) {
	d := &parse(t, map[string]string{"rules": `[
    {"name": "A", "type": "roleQuota", "attribute": "roles", "teams": ["pair", "red"], "roles": [{"role": "tank", "min": 1}]},
    {"name": "B", "type": "roleQuota", "attribute": "mode", "roles": [{"role": "tank", "min": 1}]}]`}).Stages[0].Definition
	if diff := cmp.Diff([]int{0, 2, 3}, d.RoleSlots(&d.Rules[0])); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{0, 1, 2, 3}, d.RoleSlots(&d.Rules[1])); diff != "" {
		t.Error(diff)
	}
}

func TestStatement(t *testing.T) {
	d := &parse(t, map[string]string{"rules": `[
    {"name": "low-latency", "type": "latency", "maxLatency": 1},
    {"name": "Two words", "type": "latency", "maxLatency": 1},
    {"name": "Alone", "type": "latency", "maxLatency": 1},
    {"name": "C", "type": "compound", "statement": " xor( not(low-latency),and(Two words , low-latency), or(Two words,low-latency) ) "},
    {"name": "D", "type": "compound", "statement": "low-latency"}]`}).Stages[0].Definition
	rule := func(i int) *ruleset.Statement { return &ruleset.Statement{Rule: i} }
	joined := func(c ruleset.Connective, parts ...*ruleset.Statement) *ruleset.Statement {
		return &ruleset.Statement{Connective: c, Parts: parts}
	}
	want := joined(ruleset.Xor, joined(ruleset.Not, rule(0)), joined(ruleset.And, rule(1), rule(0)), joined(ruleset.Or, rule(1), rule(0)))
	if diff := cmp.Diff(want, d.Rules[3].Statement); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(rule(0), d.Rules[4].Statement); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]bool{true, true, false, false, false}, d.Named()); diff != "" {
		t.Error(diff)
	}
}

// TestStages wants the values that hold at each wait.
func TestStages(t *testing.T) {
	rs := parse(t, map[string]string{
		"algorithm": `{"expansionAgeSelection": "oldest"}`,
		"teams": `[
    {"name": "red", "minPlayers": 4, "maxPlayers": 4},
    {"name": "blue", "minPlayers": 4, "maxPlayers": 4, "botsAfterSeconds": 25},
    {"name": "pair", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}]`,
		"rules": `[
    {"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5},
    {"name": "Fast", "type": "latency", "maxLatency": 50, "secondsUntilOptional": 20},
    {"name": "Count", "type": "collection", "operation": "contains", "measurements": ["teams[red].players.attributes[roles]"], "referenceValue": "medic", "maxCount": 2}]`,
		"expansions": `[
    {"target": "rules[Close].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 20}, {"waitTimeSeconds": 20, "value": 40}]},
    {"target": "teams[red, blue].minPlayers", "steps": [{"waitTimeSeconds": 15, "value": 3}]},
    {"target": "rules[Count].minCount", "steps": [{"waitTimeSeconds": 0, "value": 1}, {"waitTimeSeconds": 40, "value": 0}]},
    {"target": "rules[Count].measurements", "steps": [{"waitTimeSeconds": 40, "value": "teams[blue].players.attributes[roles]"}]},
    {"target": "algorithm.backfillPriority", "steps": [{"waitTimeSeconds": 40, "value": "high"}]}]`,
	})
	type values struct {
		After                   int
		Close                   float64
		Red, Blue, Pair         int
		Bots, Optional          bool
		MinCount, CountedPlaces int
		Backfill                ruleset.Priority
	}
	var got []values
	for _, s := range rs.Stages {
		got = append(got, values{int(s.After / time.Second), *s.Rules[0].MaxDistance, s.Teams[0].MinPlayers, s.Teams[1].MinPlayers,
			s.Teams[2].MinPlayers, s.Teams[1].Bots, s.Rules[1].Optional, *s.Rules[2].MinCount,
			s.Rules[2].Measurements[0].Path.Slots[0], s.Algorithm.BackfillPriority})
	}
	want := []values{
		{0, 5, 4, 4, 1, false, false, 1, 0, ruleset.Normal},
		{10, 20, 4, 4, 1, false, false, 1, 0, ruleset.Normal},
		{15, 20, 3, 3, 1, false, false, 1, 0, ruleset.Normal},
		{20, 40, 3, 3, 1, false, true, 1, 0, ruleset.Normal},
		{25, 40, 3, 3, 1, true, true, 1, 0, ruleset.Normal},
		{40, 40, 3, 3, 1, true, true, 0, 1, ruleset.High},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !rs.ByOldest() {
		t.Error("the newest ticket's age counts")
	}
	for wait, stage := range map[time.Duration]int{-time.Second: 0, 0: 0, 9999 * time.Millisecond: 0, 10 * time.Second: 1, time.Hour: 5} {
		if i := rs.At(wait); i != stage {
			t.Errorf("after %v: stage %d, not %d", wait, i, stage)
		}
	}
}

// TestTargets expands several things at once.
func TestTargets(t *testing.T) {
	rules := `[
    {"name": "A, B", "type": "latency", "maxLatency": 1}, {"name": "A", "type": "latency", "maxLatency": 1}, {"name": "B", "type": "latency", "maxLatency": 1}]`
	for target, want := range map[string][]float64{
		"rules[A, B].maxLatency":       {9, 1, 1}, // the whole is a name
		"rules[ B ,A].maxLatency":      {1, 9, 9},
		"rules[*].maxLatency":          {9, 9, 9},
		" rules [A] . maxLatency ":     {1, 9, 1},
		"teams[*].maxPlayers":          {1, 1, 1},
		"algorithm.batchingPreference": nil,
	} {
		value := "9"
		if want == nil {
			want, value = []float64{1, 1, 1}, `"random"`
		}
		rs := parse(t, map[string]string{"rules": rules, "expansions": expanded(`"`+target+`"`, `[{"waitTimeSeconds": 5, "value": `+value+`}]`)})
		var got []float64
		for _, r := range rs.Stages[1].Rules {
			got = append(got, *r.MaxLatency)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", target, diff)
		}
	}
}

func TestUsedAttributes(t *testing.T) {
	rs := parse(t, map[string]string{
		"playerAttributes": `[{"name": "skill", "type": "number"}, {"name": "mode", "type": "string"}, {"name": "roles", "type": "string_list"},
    {"name": "maps", "type": "string_number_map"}, {"name": "spare", "type": "number"}, {"name": "name", "type": "string"}]`,
		"algorithm": `{"batchingPreference": "sorted", "sortByAttributes": ["name"]}`,
		"rules": `[
    {"name": "Skill", "type": "distance", "measurements": ["avg(teams[red].players.attributes[skill])"], "referenceValue": 0, "maxDistance": 5},
    {"name": "Mode", "type": "comparison", "operation": "=", "measurements": ["teams[red].players.attributes[mode]"], "referenceValue": "teams[blue].players.attributes[mode]", "secondsUntilOptional": 10},
    {"name": "Roles", "type": "roleQuota", "attribute": "roles", "roles": [{"role": "tank", "max": 1}]},
    {"name": "Maps", "type": "absoluteSort", "sortDirection": "ascending", "sortAttribute": "maps", "mapKey": "minValue", "secondsUntilOptional": 20},
    {"name": "Both", "type": "compound", "statement": "and(Skill, Roles)", "secondsUntilOptional": 30},
    {"name": "One", "type": "compound", "statement": "not(Skill)"}]`,
	})
	want := [][]string{{"skill", "mode", "roles", "maps", "name"}, {"skill", "roles", "maps", "name"}, {"skill", "roles", "name"}, {"skill", "name"}}
	for i, s := range rs.Stages {
		if diff := cmp.Diff(want[i], s.UsedAttributes()); diff != "" {
			t.Errorf("stage %d: %s", i, diff)
		}
	}
}

// TestDeterministic reads the same twice.
func TestDeterministic(t *testing.T) {
	text := []byte(write(map[string]string{"expansions": expanded(`"rules[Close].maxDistance"`, oneStep)}))
	once, err := ruleset.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ruleset.Parse([]byte(once.Text))
	if diff := cmp.Diff(once, again); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	bad := []byte(write(map[string]string{"rules": `[{"type": 1, "x": 2, "y": 3}, {"name": [], "z": 1}]`, "teams": `[{"a": 1, "b": 2}]`}))
	_, first := ruleset.Parse(bad)
	for range 20 {
		if _, err := ruleset.Parse(bad); err == nil || err.Error() != first.Error() {
			t.Fatalf("%v\n\n%v", first, err)
		}
	}
}

// TestRelaxed lets pass what FlexMatch's documentation has in its examples.
func TestRelaxed(t *testing.T) {
	rs, err := ruleset.Parse([]byte(`// a rule set
{
  "ruleLanguageVersion": "1.0", /* the only one */
  "name": "a // b",
  "teams": [{"name": "all", "minPlayers": "1", "maxPlayers": "3",},],
}`))
	if err != nil || rs.Name != "a // b" || rs.Stages[0].Teams[0].MaxPlayers != 3 {
		t.Errorf("%v %+v", err, rs)
	}
}

// TestCommentAtTheEnd lets a comment end with the text, as well as with a line.
func TestCommentAtTheEnd(t *testing.T) {
	for _, comment := range []string{" // end", "// end\r", "\n//", " /* end */", " /* end */ // end", "\n// end\n"} {
		text := write(nil) + comment
		if rs, err := ruleset.Parse([]byte(text)); err != nil || rs.Text != text {
			t.Errorf("%q: %v", comment, err)
		}
	}
}

// Editors of Windows begin files with a byte order mark.
func TestByteOrderMark(t *testing.T) {
	text := write(nil)
	rs, err := ruleset.Parse([]byte("\ufeff" + text))
	if err != nil || rs.Text != text {
		t.Errorf("%v: %+v", err, rs)
	}
	var all ruleset.Errors
	if _, err := ruleset.Parse([]byte("\ufeff[]")); !errors.As(err, &all) || all[0].Line != 1 || all[0].Column != 1 {
		t.Errorf("%v", err)
	}
}
