package cli

import (
	"fmt"
	"strings"
	"testing"
)

// TestLintOfSteps: what an expansion makes of the rule R, and of the rules R and S.
func TestLintOfSteps(t *testing.T) {
	compare := func(measured, operation, reference string) string {
		return fmt.Sprintf(`{"name": "R", "type": "comparison", "measurements": [%q], "operation": %q, "referenceValue": %s}`, measured, operation, reference)
	}
	const players, skill = "count(teams[red].players)", "flatten(teams[*].players.attributes[skill])"
	const never, stricter = "R: no match can keep this rule", "R: the rule gets stricter after 5 s: "
	close := `{"name": "R", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 50}`
	apart := `{"name": "R", "type": "distance", "measurements": ["max(` + skill + `)"], "referenceValue": 100, "minDistance": 5}`
	for _, tt := range []struct{ rules, property, steps, want string }{
		{compare(players, "=", "2"), "referenceValue", "5: 1", never + " from a wait of 5 s on: " + players + " is from 2 to 4"},
		{compare(players, "=", "2"), "referenceValue", "5: 1 | 9: 3", never + " from a wait of 5 s to 9 s: "},
		{compare(players, "=", "2"), "referenceValue", "5: 3 | 7: 1 | 9: 5", never + " from a wait of 7 s on: "},
		{compare(players, "=", "1"), "referenceValue", "5: 3", ""},
		{compare(players, "=", "1"), "referenceValue", "5: 9", never + ": "},
		{strings.Replace(compare(players, "=", "2"), `"type"`, `"secondsUntilOptional": 8, "type"`, 1), "referenceValue", "5: 1", never + " from a wait of 5 s to 8 s: "},
		{strings.Replace(compare(players, "=", "1"), `"type"`, `"secondsUntilOptional": 8, "type"`, 1), "referenceValue", "5: 0", never + ": "},
		{compare(skill, ">", "10") + `, {"name": "S", "type": "comparison", "measurements": ["` + skill + `"], "operation": "<", "referenceValue": 50}`, "referenceValue", "5: 5 | 9: 60",
			`S: no match can keep this rule and the rule "R" from a wait of 9 s on: of skill they leave no value` +
				`R: the rule gets stricter after 9 s: referenceValue goes from 5 to 60, `},

		{compare(skill, ">", "10"), "referenceValue", "5: 50", stricter + "referenceValue goes from 10 to 50, "},
		{compare(skill, ">=", "[10, 20]"), "referenceValue", "5: [10, 30]", stricter + "referenceValue goes from 20 to 30, "},
		{compare(skill, ">=", "[10, 20]"), "referenceValue", "5: [15, 20]", ""},
		{compare(skill, ">", "50"), "referenceValue", "5: 10", ""},
		{compare(skill, "<=", "50"), "referenceValue", "5: 10", stricter + "referenceValue goes from 50 to 10, "},
		{compare(skill, "<", "10"), "referenceValue", "5: 50", ""},
		{compare(skill, "=", "10"), "referenceValue", "5: 50", ""},
		{compare(skill, "!=", "10"), "referenceValue", "5: 50", ""},
		{compare(skill, ">", "10"), "referenceValue", `5: "count(teams[red].players)"`, ""},
		{compare(skill, ">=", "10"), "operation", `5: ">"`, stricter + "operation goes from >= to >, "},
		{compare(skill, ">", "10"), "operation", `5: ">="`, ""},
		{compare(players, ">", "2"), "referenceValue", "5: 3", stricter + "referenceValue goes from 2 to 3, "},
		// In both stages every match keeps the rule, or none does.
		{compare(players, ">", "0"), "referenceValue", "5: 1", "R: no match can break this rule: "},
		{compare(players, ">", "5"), "referenceValue", "5: 6", never + ": "},

		{close, "maxDistance", "5: 10", stricter + "maxDistance goes from 50 to 10, "},
		{close, "batchAttribute", `5: "level"`, ""},
		{close, "maxDistance batchAttribute", `5: 10; 5: "level"`, ""},
		{close, "maxDistance partyAggregation", `5: 10; 5: "min"`, ""},
		{apart, "minDistance referenceValue", `5: 10; 5: 200`, ""},
		{apart, "minDistance maxDistance", `5: 10; 5: 200`, stricter + "minDistance goes from 5 to 10, which keeps apart who could have met before" + stricter + "maxDistance goes to 200, "},
	} {
		properties, steps := strings.Fields(tt.property), strings.Split(tt.steps, "; ")
		var expansions []string
		for i, p := range properties {
			var of []string
			for _, step := range strings.Split(steps[i], " | ") {
				wait, value, _ := strings.Cut(step, ": ")
				of = append(of, fmt.Sprintf(`{"waitTimeSeconds": %s, "value": %s}`, wait, value))
			}
			expansions = append(expansions, fmt.Sprintf(`{"target": "rules[R].%s", "steps": [%s]}`, p, strings.Join(of, ", ")))
		}
		got := ""
		for _, w := range expandedWarnings(t, tt.rules, strings.Join(expansions, ", ")) {
			if strings.HasPrefix(w, "R: ") || strings.HasPrefix(w, "S: ") {
				got += w
			}
		}
		if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s\n%s: %s\ngot  %q\nwant %q", tt.rules, tt.property, tt.steps, got, tt.want)
		}
	}
}
