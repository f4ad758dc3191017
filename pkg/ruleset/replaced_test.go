package ruleset_test

import (
	"testing"

	"torikumi/pkg/ruleset"
)

// atStart are steps that replace a value from a wait of 0 s on.
func atStart(value string) string { return `[{"waitTimeSeconds": 0, "value": ` + value + `}]` }

// TestReplacedValues: what a step at 0 s replaces has to be right too, and each mistake is
// told once.
func TestReplacedValues(t *testing.T) {
	rule := func(properties string) string {
		return `[{"name": "Close", "type": "batchDistance", "batchAttribute": "skill"` + properties + `}]`
	}
	teams := func(min, max string) string {
		return `[{"name": "red", "minPlayers": ` + min + `, "maxPlayers": ` + max + `}, {"name": "blue", "minPlayers": 1, "maxPlayers": 4}]`
	}
	none := `[]`
	for name, tt := range map[string]struct {
		teams, rules, expansions, want string
	}{
		"another type": {teams("1", "4"), rule(`, "maxDistance": ^{"oops": true}`), expanded(`"rules[Close].maxDistance"`, atStart("10")),
			`rules[0].maxDistance (rule "Close"): must be a number, not an object`},
		"a word in a team": {teams(`^"many"`, "4"), none, expanded(`"teams[red].minPlayers"`, atStart("1")),
			`teams[0].minPlayers: must be a number, not the string "many"`},
		"all teams": {teams("1", `^0`), none, expanded(`"teams[*].maxPlayers"`, atStart("3")),
			`teams[0].maxPlayers: must be from 1 to 200, not 0`},
		"an attribute": {teams("1", "4"), rule(`, "partyAggregation": ^"mean", "maxDistance": 1`), expanded(`"rules[Close].partyAggregation"`, atStart(`"min"`)),
			`rules[0].partyAggregation (rule "Close"): must be "avg", "min" or "max", not "mean"`},
		"two values that do not go together": {teams(`^5`, "4"), none, expanded(`"teams[red].maxPlayers"`, atStart("6")),
			`teams[0].minPlayers: minPlayers 5 is more than maxPlayers 4`},
		"missing": {teams("1", "4"), `[^{"name": "Close", "type": "batchDistance", "batchAttribute": "skill"}]`, expanded(`"rules[Close].maxDistance"`, atStart("10")),
			`rules[0] (rule "Close"): maxDistance is missing: attribute "skill" is a number`},
		"replaced again": {teams("1", "4"), rule(`, "maxDistance": ^"far"`),
			expanded(`"rules[Close].maxDistance"`, `[{"waitTimeSeconds": 0, "value": 1}, {"waitTimeSeconds": 9, "value": 2}]`),
			`rules[0].maxDistance (rule "Close"): must be a number, not the string "far"`},
		"wrong in both": {teams("1", "4"), rule(`, "maxDistance": ^-1`), expanded(`"rules[Close].maxDistance"`, atStart("^-2")),
			"rules[0].maxDistance (rule \"Close\"): must be at least 0, not -1\n" +
				"expansions[0].steps[0].value (rule \"Close\"): must be at least 0, not -2"},
		"wrong beside it": {teams(`^-1`, "4"), rule(`, "maxDistance": 1, ^"near": 2`), expanded(`"rules[Close].maxDistance"`, atStart("3")),
			"teams[0].minPlayers: must be from 0 to 200, not -1\n" +
				"rules[0] (rule \"Close\"): unknown property \"near\""},
		"wrong by the step alone": {teams(`^3`, "4"), none, expanded(`"teams[red].maxPlayers"`, atStart("2")),
			`teams[0].minPlayers: minPlayers 3 is more than maxPlayers 2 (from a wait of 0 s on)`},
	} {
		t.Run(name, func(t *testing.T) {
			wantMistakes(t, write(map[string]string{"teams": tt.teams, "rules": tt.rules, "expansions": tt.expansions}), tt.want)
		})
	}
}

// TestReplacedExpressions asks the checks about the text itself and the stage, once each.
func TestReplacedExpressions(t *testing.T) {
	text := write(map[string]string{
		"rules":      `[{"name": "E", "type": "expression", "expression": "first"}, {"name": "C", "type": "custom", "rule": "go", "parameters": "one"}]`,
		"expansions": `[{"target": "rules[E].expression", "steps": ` + atStart(`"second"`) + `}, {"target": "rules[C].parameters", "steps": ` + atStart(`"two"`) + `}]`,
	})
	asked := map[string]int{}
	_, err := ruleset.ParseWith([]byte(text), ruleset.Checks{
		Expression: func(_ *ruleset.Definition, r *ruleset.Rule) []ruleset.Mistake {
			asked[r.Expression]++
			return nil
		},
		Custom: func(r *ruleset.Rule) (property, message string) {
			asked[string(r.Parameters)]++
			return "", ""
		},
	})
	if err != nil || len(asked) != 4 || asked["first"] != 1 || asked["second"] != 1 || asked[`"one"`] != 1 || asked[`"two"`] != 1 {
		t.Errorf("asked %v, %v", asked, err)
	}
}

// TestReplacedValuesCount: a stage at 0 s has the values of the steps.
func TestReplacedValuesCount(t *testing.T) {
	rs, err := ruleset.Parse([]byte(write(map[string]string{"expansions": expanded(`"rules[Close].maxDistance"`, atStart("7"))})))
	if err != nil {
		t.Fatal(err)
	}
	if got := *rs.Stages[0].Rules[0].MaxDistance; len(rs.Stages) != 1 || got != 7 {
		t.Errorf("%d stages, maxDistance %g", len(rs.Stages), got)
	}
}
