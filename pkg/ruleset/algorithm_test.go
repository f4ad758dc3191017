package ruleset_test

import (
	"strings"
	"testing"
	"time"

	"torikumi/pkg/ruleset"
)

func TestPatience(t *testing.T) {
	text := func(algorithm string) []byte {
		return []byte(`{"name": "x", "ruleLanguageVersion": "1.0", "algorithm": {` + algorithm + `}, "teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 2}]}`)
	}
	for algorithm, want := range map[string]time.Duration{"": 0, `"patienceSeconds": 0`: 0, `"patienceSeconds": "90"`: 90 * time.Second} {
		rs, err := ruleset.Parse(text(algorithm))
		if err != nil || rs.Stages[0].Algorithm.Patience != want {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
	for _, wrong := range []string{"-1", "3601", "1.5", `"soon"`, "null"} {
		if _, err := ruleset.Parse(text(`"patienceSeconds": ` + wrong)); err == nil || !strings.Contains(err.Error(), "algorithm.patienceSeconds") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
