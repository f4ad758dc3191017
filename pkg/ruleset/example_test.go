package ruleset_test

import (
	"errors"
	"fmt"
	"time"

	"torikumi/pkg/ruleset"
)

func ExampleParse() {
	rs, err := ruleset.Parse([]byte(`{
  "ruleLanguageVersion": "1.0",
  "playerAttributes": [{"name": "skill", "type": "number"}],
  "teams": [{"name": "pair", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}],
  "rules": [{"name": "Close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 50}],
  "expansions": [{"target": "rules[Close].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 200}]}]
}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, wait := range []time.Duration{0, 12 * time.Second} {
		stage := &rs.Stages[rs.At(wait)]
		fmt.Println(stage.After, *stage.Rules[0].MaxDistance, stage.TeamSlots()[1].Name)
	}
	// Output:
	// 0s 50 pair_2
	// 10s 200 pair_2
}

func ExampleErrors() {
	_, err := ruleset.Parse([]byte(`{
  "ruleLanguageVersion": "1.0",
  "teams": [{"name": "all", "minPlayers": 3, "maxPlayers": 2}],
  "rules": [{"name": "Near", "type": "latency", "maxLatencies": 50}]
}`))
	var all ruleset.Errors
	if errors.As(err, &all) {
		for _, e := range all {
			fmt.Println(e.Line, e.Column, e.Path, e.Rule, e.Message)
		}
	}
	// Output:
	// 3 43 teams[0].minPlayers  minPlayers 3 is more than maxPlayers 2
	// 4 13 rules[0] Near maxLatency is missing, or maxDistance with distanceReference
	// 4 49 rules[0] Near unknown property "maxLatencies"; did you mean "maxLatency"?
}
