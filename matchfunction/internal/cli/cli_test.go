package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/service"
)

var update = flag.Bool("update", false, "write the golden files anew")

// callWith runs a command of a match function that has custom rules.
func callWith(rules rule.Registry, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	proc := service.Process{Args: args, Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &errs}
	code = Main(context.Background(), proc, search.Options{Custom: rules, Expression: expression.Compile})
	return code, out.String(), errs.String()
}

func call(args ...string) (code int, stdout, stderr string) { return callWith(nil, args...) }

// took is what differs from run to run.
var took = regexp.MustCompile(`(took +|"elapsed_ms":)[0-9.e-]+`)

// golden compares the output of a command with a file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	got = took.ReplaceAllString(got, "${1}0")
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run with -update if this is meant:\n%s", diff)
	}
}

func TestHelp(t *testing.T) {
	code, out, errs := call("help")
	if code != 0 || errs != "" {
		t.Errorf("exit %d: %s", code, errs)
	}
	golden(t, "help.txt", out)
	if code, _, errs := call(); code != service.ExitUsage || errs != out {
		t.Errorf("nothing: exit %d: %s", code, errs)
	}
	if code, _, errs := call("fly"); code != service.ExitUsage || !strings.Contains(errs, `unknown command "fly"`) {
		t.Errorf("unknown: exit %d: %s", code, errs)
	}
	for _, name := range []string{"lint", "explain", "simulate"} {
		if code, out, errs := call(name, "--help"); code != 0 || errs != "" || !strings.Contains(out, "--json") || !strings.Contains(out, name) {
			t.Errorf("%s --help: exit %d: %s%s", name, code, out, errs)
		}
	}
}

func TestLint(t *testing.T) {
	rows := []struct {
		name string
		args []string
		code int
	}{
		{"duel", []string{"testdata/duel.json"}, 0},
		{"broken", []string{"testdata/broken.json"}, service.ExitFailed},
		{"odd", []string{"testdata/odd.json"}, 0},
		{"custom", []string{"testdata/custom.json"}, service.ExitFailed},
		{"cel", []string{"testdata/cel.json"}, service.ExitFailed},
		{"several", []string{"testdata/several.json"}, service.ExitFailed},
		{"celodd", []string{"testdata/celodd.json"}, 0},
		{"many", []string{"testdata/duel.json", "--", "testdata/nowhere.json", "testdata/broken.json", "testdata/duel.jsonl"}, service.ExitFailed},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			code, out, errs := call(append([]string{"lint"}, row.args...)...)
			if code != row.code || errs != "" {
				t.Errorf("exit %d: %s", code, errs)
			}
			golden(t, "lint-"+row.name+".txt", out)
			code, out, errs = call(append([]string{"lint", "--json"}, row.args...)...)
			if code != row.code || errs != "" || !json.Valid([]byte(out)) {
				t.Errorf("--json: exit %d: %s", code, errs)
			}
			golden(t, "lint-"+row.name+".json", out)
		})
	}
	if code, _, _ := call("lint", "--strict", "testdata/odd.json"); code != service.ExitFailed {
		t.Errorf("--strict: exit %d", code)
	}
	if code, _, _ := call("lint", "--strict", "testdata/duel.json"); code != 0 {
		t.Errorf("--strict: exit %d", code)
	}
	if code, out, errs := call("lint", "--fast"); code != service.ExitUsage || out != "" || !strings.Contains(errs, "FILE: required") || !strings.Contains(errs, "-fast") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

type agrees struct{}

func (agrees) Allows(*rule.Match) error { return nil }

// Rules written in Go are known to the match function that has them.
func TestLintWithCustomRules(t *testing.T) {
	rules := rule.Registry{"no-rematch": func(json.RawMessage) (rule.Rule, error) { return agrees{}, nil }}
	if code, out, errs := callWith(rules, "lint", "testdata/custom.json"); code != 0 || out != "1 file, 0 errors, 0 warnings\n" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	rules["no-rematch"] = func(json.RawMessage) (rule.Rule, error) { return nil, errors.New("hours must be even") }
	want := `testdata/custom.json:6:86: rules[0].parameters (rule "No rematch"): hours must be even`
	if code, out, _ := callWith(rules, "lint", "testdata/custom.json"); code != service.ExitFailed || !strings.HasPrefix(out, want+"\n") {
		t.Errorf("exit %d: %s, want %s", code, out, want)
	}
}

func TestSimulate(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
	}{
		{"newest", nil},
		{"later", []string{"--now=2026-01-01T00:01:00Z"}},
		{"seconds", []string{"--now=1767225660.5"}},
	} {
		args := append([]string{"simulate", "--rules=testdata/duel.json", "--tickets=testdata/duel.jsonl"}, row.args...)
		code, out, errs := call(args...)
		if code != 0 || errs != "" {
			t.Errorf("%s: exit %d: %s", row.name, code, errs)
		}
		golden(t, "simulate-"+row.name+".txt", out)
		code, out, errs = call(append(args, "--json")...)
		if code != 0 || errs != "" {
			t.Errorf("%s --json: exit %d: %s", row.name, code, errs)
		}
		golden(t, "simulate-"+row.name+".json", out)
	}
}

// Without tickets there are lists all the same, not null.
func TestSimulateNobody(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.jsonl")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := call("simulate", "--rules=testdata/duel.json", "--tickets="+empty, "--json")
	want := `{"matches":[],"unmatched":[],"wait_p50_s":0,"wait_p95_s":0,"spread_p50":0,"elapsed_ms":0}` + "\n"
	if got := took.ReplaceAllString(out, "${1}0"); code != 0 || got != want {
		t.Errorf("exit %d: %s%s", code, got, errs)
	}
	if code, out, errs := call("simulate", "--rules=testdata/duel.json", "--tickets="+empty); code != 0 || strings.Contains(out, "NaN") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// The same seed makes the same tickets and matches, and what is saved gives
// the same matches again.
func TestSimulateGenerated(t *testing.T) {
	saved := filepath.Join(t.TempDir(), "tickets.jsonl")
	args := []string{"simulate", "--rules=testdata/duel.json", "--json", "--now=2026-03-04T05:06:07Z"}
	run := func(more ...string) string {
		t.Helper()
		code, out, errs := call(append(args, more...)...)
		if code != 0 || errs != "" || !strings.Contains(out, `"match-1"`) {
			t.Fatalf("%v: exit %d: %s%s", more, code, out, errs)
		}
		return took.ReplaceAllString(out, "")
	}
	first := run("--generate=50", "--save="+saved)
	if again := run("--generate=50"); again != first {
		t.Errorf("the same seed: %s\n%s", first, again)
	}
	if read := run("--tickets=" + saved); read != first {
		t.Errorf("read again: %s\n%s", first, read)
	}
	if other := run("--generate=50", "--seed=2"); other == first {
		t.Error("another seed made the same")
	}
}

func TestSimulateFails(t *testing.T) {
	wrong := filepath.Join(t.TempDir(), "wrong.jsonl")
	if err := os.WriteFile(wrong, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const rules = "--rules=testdata/duel.json"
	for _, row := range []struct{ args, want string }{
		{"--rules=testdata/nowhere.json --generate=1", "testdata/nowhere.json: can't be read: no such file"},
		{"--rules=testdata/broken.json --generate=1", `testdata/broken.json:4:45: teams[0].minPlayers: minPlayers 3`},
		{"--rules=testdata/custom.json --generate=1", `no custom rule "no-rematch"`},
		{rules + " --tickets=testdata/nowhere.jsonl", "--tickets: open testdata/nowhere.jsonl"},
		{rules + " --tickets=" + wrong, "line 1: TicketId: is missing"},
		{rules + " --generate=1 --save=testdata/no/where", "--save: open"},
		{rules + " --generate=1 --parties=2:1", "a party of 2 fits into none"},
		{rules + " --day --parties=2:1", "a party of 2 fits into none"},
		{rules + " --day --versus=testdata/broken.json", `testdata/broken.json:4:45`},
		{rules + " --day --tickets=" + wrong, "line 1: TicketId: is missing"},
	} {
		if code, out, errs := call(append([]string{"simulate"}, strings.Fields(row.args)...)...); code != service.ExitFailed || out != "" || !strings.Contains(errs, row.want) {
			t.Errorf("%s: exit %d: %s%s", row.args, code, out, errs)
		}
	}
}

func TestSimulateNamesWrongSettings(t *testing.T) {
	for _, row := range []struct {
		args string
		want []string
		only bool // nothing else
	}{
		{"", []string{"--rules:", "exactly one of --tickets, --generate and --day"}, false},
		{"--rules=x --tickets=y --generate=1 --day", []string{"exactly one of --tickets, --generate and --day"}, false},
		{"--rules=x --generate=-1", []string{"--generate: must be from 1"}, false},
		{"--rules=x --generate=1000001", []string{"--generate: must be from 1"}, false},
		{"--rules=x --tickets=y --parties=1:1 --save=z --svg=z", []string{"--parties: goes only with --generate, or with --day without --tickets", "--save: goes only with --generate", "--svg: goes only with --day"}, false},
		{"--rules=x --tickets=y --day --length=24h --rate=60 --seed=1 --parties=1:1 --curve=1:1", []string{"--length: goes only with --day without --tickets",
			"--rate: goes only with --day without --tickets", "--seed: goes only with --generate, or with --day", "--parties: goes only", "--curve: goes only"}, true},
		{"--rules=x --tickets=y --day --cycle=48h --save=z", []string{"--save: goes only with --generate"}, true},
		{"--rules=x --tickets=y --seed=2 --cycle=1s --give-up=5m --rate=1", []string{"--seed: goes only", "--cycle: goes only with --day", "--give-up: goes only with --day", "--rate: goes only"}, true},
		{"--rules=x --generate=1 --svg=z --parties=many", []string{"--svg: goes only with --day", "--parties: must be SIZE:SHARE", "shares that are numbers of at least 0, got"}, false},
		{"--rules=x --generate=1 --run-timeout=-1s", []string{"--run-timeout: must not be negative"}, false},
		{"--rules=x --generate=1 --now=noon", []string{"--now: must be a time"}, false},
		{"--rules=x --day --now=0 --rate=0 --cycle=1ms --length=1000h --give-up=0s --run-timeout=1s", []string{"--now: a day", "--run-timeout: goes with", "--rate:", "--cycle:", "--length:", "--give-up:"}, false},
		{"--rules=x --generate=1e3 --parties=1:1 --save=z", []string{"--generate: must be a whole number"}, true},
		{"--rules=x --day=often", []string{"--day: must be true or false"}, true},
		{"--rules=x --generate=1 elsewhere", []string{`unexpected argument "elsewhere"`}, false},
	} {
		code, out, errs := call(append([]string{"simulate"}, strings.Fields(row.args)...)...)
		if code != service.ExitUsage || out != "" || row.only && strings.Count(errs, "\n") != 1+len(row.want) {
			t.Errorf("%s: exit %d: %s%s", row.args, code, out, errs)
		}
		for _, want := range row.want {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: the message lacks %q:\n%s", row.args, want, errs)
			}
		}
	}
}

// fickle allows matches only if it is one of the first two of its kind, which
// are made to see whether they can be and for the search, so that the search and
// the checker disagree.
type fickle struct{ first bool }

func (f fickle) Allows(*rule.Match) error {
	if f.first {
		return nil
	}
	return errors.New("changed my mind")
}

func TestSimulateFindsViolations(t *testing.T) {
	var made atomic.Int32
	rules := rule.Registry{"no-rematch": func(json.RawMessage) (rule.Rule, error) { return fickle{made.Add(1) <= 2}, nil }}
	code, out, errs := callWith(rules, "simulate", "--rules=testdata/custom.json", "--generate=2")
	if code != service.ExitFailed || !strings.Contains(errs, "No rematch") || !strings.Contains(out, "NOT ALL") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	made.Store(0)
	code, out, errs = callWith(rules, "simulate", "--rules=testdata/custom.json", "--generate=2", "--json")
	if code != service.ExitFailed || !strings.Contains(errs, "No rematch") || !json.Valid([]byte(out)) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestSimulateDay(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "day.svg")
	args := []string{"simulate", "--day", "--rules=../../../docs/rulesets/arena.json", "--length=3m", "--rate=100", "--cycle=3s"}
	code, out, errs := call(append(args, "--svg="+svg)...)
	if code != 0 || errs != "" {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	for _, want := range []string{"players in 3m (100 a minute", "\ntorikumi ", "\narrival order ", "\nnearest first ", "spread p95\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if text, err := os.ReadFile(svg); err != nil || !bytes.HasPrefix(text, []byte("<svg ")) || !bytes.Contains(text, []byte("Rule set arena")) {
		t.Errorf("svg: %v", err)
	}
	var first dayJSON
	for range 2 {
		code, out, errs := call(append(args, "--json")...)
		var d dayJSON
		if err := json.Unmarshal([]byte(out), &d); code != 0 || err != nil || len(d.Strategies) != 3 {
			t.Fatalf("exit %d: %v %s%s", code, err, out, errs)
		}
		for i := range d.Strategies {
			d.Strategies[i].ElapsedMs = 0
		}
		if first.Tickets == 0 {
			first = d
		}
		if diff := cmp.Diff(first, d); diff != "" {
			t.Error(diff)
		}
	}
}

// A rule set that the simpler strategies don't know, a recording, another rule set.
func TestSimulateDayAlone(t *testing.T) {
	code, out, errs := call("simulate", "--day", "--rules=testdata/duel.json", "--length=2m", "--rate=200", "--cycle=5s", "--give-up=20s", "--curve=0:1,12:2")
	if code != 0 || errs != "" || strings.Contains(out, "arrival order") || !strings.Contains(out, `no simpler strategy beside it: rules[1] (rule "Near")`) || !strings.Contains(out, "gave up") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, errs = call("simulate", "--day", "--rules=testdata/duel.json", "--tickets=testdata/duel.jsonl", "--versus=../../../docs/rulesets/duel.json", "--json")
	var d dayJSON
	if err := json.Unmarshal([]byte(out), &d); code != 0 || err != nil || len(d.Strategies) != 2 || d.Alone == "" || d.Tickets == 0 {
		t.Errorf("exit %d: %v %s%s", code, err, out, errs)
	}
}

// A search that has no time says so, and is no failure.
func TestSimulateRunTimeout(t *testing.T) {
	for limit, over := range map[string]bool{"1ns": true, "1h": false} {
		args := []string{"simulate", "--rules=../../../docs/rulesets/arena.json", "--generate=500", "--run-timeout=" + limit}
		code, out, errs := call(append(args, "--json")...)
		var p passJSON
		if err := json.Unmarshal([]byte(out), &p); code != 0 || err != nil || p.TimeOver != over || (len(p.Matches) == 0) != over {
			t.Errorf("%s: exit %d, %v, %d matches, over: %v; %s", limit, code, err, len(p.Matches), p.TimeOver, errs)
		}
		if code, out, errs := call(args...); code != 0 || strings.Contains(out, "time was over") != over {
			t.Errorf("%s: exit %d: %s%s", limit, code, out, errs)
		}
	}
}

func TestSimulateEndsWhenToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, more := range []string{"--day", "--generate=500"} {
		var errs bytes.Buffer
		proc := service.Process{
			Args:   []string{"simulate", "--rules=../../../docs/rulesets/arena.json", more},
			Getenv: func(string) string { return "" }, Stdout: io.Discard, Stderr: &errs,
		}
		code := Main(ctx, proc, search.Options{})
		if code != service.ExitFailed || !strings.Contains(errs.String(), "canceled") {
			t.Errorf("%s: exit %d: %s", more, code, &errs)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[string]string{"24h0m0s": "24h", "5m0s": "5m", "1h30m0s": "1h30m", "90s": "1m30s", "1s": "1s", "100ms": "100ms", "10h10m0s": "10h10m"} {
		if parsed, err := time.ParseDuration(d); err != nil || short(parsed) != want {
			t.Errorf("%s: %s, want %s", d, short(parsed), want)
		}
	}
}

// Of a recording each strategy leaves out tickets of its own, and is measured by
// the others.
func TestSimulateDayLeavesOut(t *testing.T) {
	var text strings.Builder
	for i := range 10 { // ann waits for bob, and asks again and again
		fmt.Fprintf(&text, `{"TicketId":"a%d","StartTime":%d,"Players":[{"PlayerId":"ann","PlayerAttributes":{"rating":{"N":1000}}}]}`+"\n", i, i)
	}
	fmt.Fprintln(&text, `{"TicketId":"b","StartTime":20,"Players":[{"PlayerId":"bob","PlayerAttributes":{"rating":{"N":1000}}}]}`)
	file := filepath.Join(t.TempDir(), "day.jsonl")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"simulate", "--day", "--rules=../../../docs/rulesets/duel.json", "--tickets=" + file}
	code, out, errs := call(args...)
	if code != 0 || !strings.Contains(out, "11 recorded tickets") || !strings.Contains(out, " 100.0% ") || !strings.Contains(out, "\ntorikumi: 9 tickets left out of players who waited already\n") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	code, out, errs = call(append(args, "--json")...)
	var d dayJSON
	if err := json.Unmarshal([]byte(out), &d); code != 0 || err != nil || d.Tickets != 11 || d.Strategies[0].Busy != 9 || d.Strategies[0].Matched != 2 {
		t.Errorf("exit %d: %v %s%s", code, err, out, errs)
	}
}

// A rule set may read as many attributes as the frontend takes of a player, and no
// more.
func TestLintCountsAttributes(t *testing.T) {
	for more, want := range map[int]string{
		0: "1 file, 0 errors, 0 warnings",
		1: fmt.Sprintf("rules: must read at most %d attributes and aggregations", ruleset.MaxAttributes),
	} {
		var declared, rules []string
		for i := range ruleset.MaxAttributes + more {
			declared = append(declared, fmt.Sprintf(`{"name":"a%d","type":"number"}`, i))
			rules = append(rules, fmt.Sprintf(`{"name":"r%d","type":"batchDistance","batchAttribute":"a%d","maxDistance":5}`, i, i))
		}
		file := filepath.Join(t.TempDir(), "rules.json")
		text := fmt.Sprintf(`{"ruleLanguageVersion":"1.0","playerAttributes":[%s],"teams":[{"name":"t","minPlayers":1,"maxPlayers":2}],"rules":[%s]}`,
			strings.Join(declared, ","), strings.Join(rules, ","))
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, out, errs := call("lint", file); !strings.Contains(out+errs, want) {
			t.Errorf("%d more: %s%s", more, out, errs)
		}
	}
}
