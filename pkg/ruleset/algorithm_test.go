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

func TestPreference(t *testing.T) {
	text := func(algorithm string) []byte {
		return []byte(`{"name": "x", "ruleLanguageVersion": "1.0", "algorithm": {` + algorithm + `}, "teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 2}]}`)
	}
	for value, want := range map[string]float64{`"fast"`: 0, `"balanced"`: 0.5, `"best"`: 1, "0": 0, "-0.0": 0, "0.25": 0.25, `"0.75"`: 0.75, "1": 1, "1e-3": 0.001} {
		rs, err := ruleset.Parse(text(`"patienceSeconds": 0, "preference": ` + value))
		if err != nil || rs.Stages[0].Algorithm.Preference != want {
			t.Errorf("%s: %v", value, err)
		}
	}
	if rs, err := ruleset.Parse(text("")); err != nil || rs.Stages[0].Algorithm.Preference != 0 {
		t.Errorf("without one: %v", err)
	}
	for value, why := range map[string]string{
		"-0.1": "must be from 0 (fast) to 1 (best), not -0.1", "1.01": "must be from 0", `"2"`: "must be from 0", "1e999": "must be a finite number",
		`"quick"`: `must be "fast", "balanced", "best" or a number from 0 to 1`, `"Best"`: "must be", `""`: "must be", "null": "must be", "true": "must be",
		`["best"]`: "must be", `{}`: "must be", `"NaN"`: "must be", `"0x1"`: "must be",
		`0.5, "patienceSeconds": 20`: "patienceSeconds is there too",
	} {
		if _, err := ruleset.Parse(text(`"preference": ` + value)); err == nil || !strings.Contains(err.Error(), "algorithm.preference: "+why) {
			t.Errorf("%s: %v", value, err)
		}
	}
}
