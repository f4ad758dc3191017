package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/pkg/service"
)

const closeRules = `{"name": "duel", "ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "skill", "type": "number"}],
	"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 1}, {"name": "blue", "minPlayers": 1, "maxPlayers": 1}],
	"rules": [{"name": "close", "type": "batchDistance", "batchAttribute": "skill", "maxDistance": 100}],
	"expansions": [{"target": "rules[close].maxDistance", "steps": [{"waitTimeSeconds": 30, "value": 200}]}]}`

// explainFiles writes a rule set and tickets of these skills, t0 first.
func explainFiles(t *testing.T, skills ...float64) (rules, tickets string) {
	t.Helper()
	dir := t.TempDir()
	rules, tickets = filepath.Join(dir, "rules.json"), filepath.Join(dir, "tickets.jsonl")
	var b strings.Builder
	for i, s := range skills {
		fmt.Fprintf(&b, `{"TicketId":"t%d","StartTime":"2026-01-01T00:00:%02dZ","Players":[{"PlayerId":"p%d","PlayerAttributes":{"skill":{"N":%g}}}]}`+"\n", i, i, i, s)
	}
	for file, text := range map[string]string{rules: closeRules, tickets: b.String()} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return rules, tickets
}

func TestExplain(t *testing.T) {
	rules, tickets := explainFiles(t, 1000, 1150, 1900)
	code, out, errs := call("explain", "--rules="+rules, "--tickets="+tickets, "--ticket=t0", "--now=2026-01-01T00:00:10Z")
	if code != 0 || errs != "" {
		t.Fatal(code, errs)
	}
	golden(t, "explain.txt", out)
	code, out, _ = call("explain", "--rules="+rules, "--tickets="+tickets, "--ticket=t0", "--now=2026-01-01T00:00:10Z", "--json")
	var x explainedJSON
	if err := json.Unmarshal([]byte(out), &x); code != 0 || err != nil {
		t.Fatal(code, err)
	}
	if x.Ticket != "t0" || x.WaitS != 10 || x.Others != 2 || x.Candidates != 0 || len(x.Apart) != 1 || x.Apart[0].Nearest != 150 ||
		len(x.Later) != 1 || x.Later[0].InS != 21 || x.Later[0].Candidates != 1 || !strings.Contains(x.Summary, "close") {
		t.Errorf("%+v", x)
	}
	code, out, _ = call("explain", "--rules="+rules, "--tickets="+tickets, "--ticket=t1", "--now=2026-01-01T00:00:31Z")
	if code != 0 || !strings.Contains(out, "is in a match") || !strings.Contains(out, "p0") {
		t.Error(code, out)
	}
}

func TestExplainRefuses(t *testing.T) {
	rules, tickets := explainFiles(t, 1000)
	for want, args := range map[string][]string{
		"rules":                   {"explain", "--tickets=" + tickets, "--ticket=t0"},
		`has no ticket "unknown"`: {"explain", "--rules=" + rules, "--tickets=" + tickets, "--ticket=unknown"},
		"no such file":            {"explain", "--rules=" + rules, "--tickets=" + tickets + "x", "--ticket=t0"},
		"can't be read":           {"explain", "--rules=" + rules + "x", "--tickets=" + tickets, "--ticket=t0"},
	} {
		if code, _, errs := call(args...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%v: %d, %s", args, code, errs)
		}
	}
	if _, out, _ := call("explain", "--rules="+rules, "--tickets="+tickets, "--ticket=t0"); !strings.Contains(out, "Nobody else is waiting.") {
		t.Error(out)
	}
}

const alone = `{"TicketId":"solo","StartTime":"2026-01-01T00:00:00Z","Players":[{"PlayerId":"p1","PlayerAttributes":{"hours":{"N":0.5},"hourz":{"N":3}}}]}
{"TicketId":"mistyped","StartTime":"2026-01-01T00:00:00Z","Players":[{"PlayerId":"p2","PlayerAttributes":{"hours":{"S":"9"},"hourz":{"N":3}}}]}
{"TicketId":"party","StartTime":"2026-01-01T00:00:00Z","Players":[{"PlayerId":"p3","PlayerAttributes":{"hours":{"N":9}}},{"PlayerId":"p4","PlayerAttributes":{"hours":{"N":1}}}]}
{"TicketId":"veteran","StartTime":"2026-01-01T00:00:00Z","Players":[{"PlayerId":"p5","PlayerAttributes":{"hours":{"N":9}}}]}
`

// What keeps a ticket out by itself is named: rule and attribute.
func TestExplainTicketsThatAreRefusedAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tickets.jsonl")
	if err := os.WriteFile(file, []byte(alone), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--rules=../../../docs/rulesets/skirmish.json", "--tickets=" + file}
	warnings := []string{`warning: the attribute "hours" is a string, must be a number, of 1 player` + "\n",
		`warning: the attribute "hourz" is not declared in playerAttributes and not read, of 2 players` + "\n"}
	for ticket, want := range map[string]string{
		"solo":     `the rule "NoBeginners" (attribute "hours") lets the player into no team`,
		"party":    `the rule "NoBeginners" (attribute "hours") lets the party into no team`,
		"mistyped": `the attribute "hours" is a string, must be a number`,
	} {
		code, out, errs := call(append([]string{"explain", "--ticket=" + ticket}, args...)...)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d: %s%s", ticket, code, out, errs)
		}
		for _, w := range warnings {
			if strings.Count(errs, w) != 1 {
				t.Errorf("%s: lacks %q: %s", ticket, w, errs)
			}
		}
	}
	_, out, _ := call(append([]string{"explain", "--ticket=solo", "--json"}, args...)...)
	if want := `"broken_rules":["NoBeginners"],"refused_by":[{"rule":"NoBeginners","attribute":"hours"}]`; !strings.Contains(out, want) {
		t.Errorf("lacks %s: %s", want, out)
	}
	code, out, errs := call(append([]string{"simulate"}, args...)...)
	if code != 0 || !strings.Contains(errs, warnings[0]) || !strings.Contains(errs, warnings[1]) {
		t.Errorf("exit %d: %s", code, errs)
	}
	golden(t, "simulate-alone.txt", out)
}

// A command that is interrupted has no result.
func TestInterrupted(t *testing.T) {
	rules, tickets := explainFiles(t, 1000, 1150)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{
		{"explain", "--rules=" + rules, "--tickets=" + tickets, "--ticket=t0"},
		{"explain", "--rules=" + rules, "--tickets=" + tickets, "--ticket=t0", "--json"},
		{"simulate", "--rules=" + rules, "--tickets=" + tickets},
		{"simulate", "--rules=" + rules, "--tickets=" + tickets, "--day"},
	} {
		var out, errs bytes.Buffer
		proc := service.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &errs}
		if code := Main(ctx, proc, search.Options{Expression: expression.Compile}); code != service.ExitFailed || out.Len() > 0 {
			t.Errorf("%q: exit code %d, prints %q and %q", args[0], code, out.String(), errs.String())
		}
	}
}
