package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whoever waits for a closer match is told so, with when this one will do.
func TestExplainHeld(t *testing.T) {
	dir := t.TempDir()
	rules, tickets := filepath.Join(dir, "rules.json"), filepath.Join(dir, "tickets.jsonl")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(rules, `{"name": "held", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
		"algorithm": {"preference": "balanced"}, "teams": [{"name": "side", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}],
		"rules": [{"name": "close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 400}]}`)
	write(tickets, `{"TicketId":"a","StartTime":"2026-01-01T00:00:00Z","Players":[{"PlayerId":"p","PlayerAttributes":{"skill":{"N":0}}}]}
{"TicketId":"b","StartTime":"2026-01-01T00:00:02Z","Players":[{"PlayerId":"q","PlayerAttributes":{"skill":{"N":300}}}]}
`)
	code, out, errs := call("explain", "--rules="+rules, "--tickets="+tickets, "--ticket=a")
	if code != 0 || !strings.Contains(out, "could be in a match now whose spread is 300. By the preference ") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, _ = call("explain", "--rules="+rules, "--tickets="+tickets, "--ticket=a", "--json")
	if code != 0 || !strings.Contains(out, `"held":{"spread":300,"allowed":`) || !strings.Contains(out, "a closer one is waited for") {
		t.Errorf("exit %d: %s", code, out)
	}
	later := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC).Format(time.RFC3339)
	if _, out, _ = call("explain", "--rules="+rules, "--tickets="+tickets, "--ticket=a", "--now="+later); !strings.Contains(out, "is in a match") {
		t.Errorf("after an hour: %s", out)
	}
}

// A preference where nothing could be closer is odd.
func TestLintPreference(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.json")
	for rule, odd := range map[string]bool{
		`{"name": "r", "type": "teamDifference", "attribute": "skill", "maxDifference": 5}`:                                                                                                               true,
		`{"name": "r", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}`:                                                                                                             false,
		`{"name": "r", "type": "distance", "measurements": ["max(flatten(teams[*].players.attributes[skill]))"], "referenceValue": "min(flatten(teams[*].players.attributes[skill]))", "maxDistance": 5}`: false,
	} {
		for _, preference := range []string{`"best"`, `0`} {
			text := `{"name": "x", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}], "algorithm": {"preference": ` + preference + `},
				"teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 2, "quantity": 2}], "rules": [` + rule + `]}`
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, out, _ := call("lint", file)
			if got := strings.Contains(out, "algorithm.preference: warning: changes nothing"); got != (odd && preference != "0") {
				t.Errorf("%s %s: %s", preference, rule, out)
			}
		}
	}
}
