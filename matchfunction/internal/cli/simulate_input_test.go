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

// A recorded day from standard input: a player comes twice, a ticket twice, one is
// cancelled late and one comes later.
func TestSimulateARecordedDay(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(rules, []byte(closeRules), 0o600); err != nil {
		t.Fatal(err)
	}
	ticket := func(id, player, start, more string) string {
		return `{"TicketId":"` + id + `","StartTime":"2026-01-01T` + start + `Z","Players":[{"PlayerId":"` + player + `","PlayerAttributes":{"skill":{"N":1000}}}]` + more + `}`
	}
	day := `{"TicketList":[` + strings.Join([]string{
		ticket("a", "x", "08:00:00", ""), ticket("b", "y", "08:00:01", ""), ticket("c", "x", "09:00:00", ""), ticket("b", "y", "08:00:01", ""),
		ticket("d", "z", "08:30:00", `,"Status":"CANCELLED","EndTime":"2026-01-01T08:59:00Z"`), ticket("e", "w", "09:30:00", "")}, ",\n") + "]}"
	call := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		proc := service.Process{Args: append(args, "--rules="+rules, "--tickets=-"), Getenv: func(string) string { return "" }, Stdin: strings.NewReader(day), Stdout: &out, Stderr: &errs}
		code = Main(context.Background(), proc, search.Options{Expression: expression.Compile})
		return code, out.String(), errs.String()
	}
	code, out, errs := call("simulate", "--now=2026-01-01T09:00:00Z")
	if code != 0 || !strings.Contains(out, "1 of 2 tickets") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	for _, want := range []string{
		"1 ticket left out: the ticket comes again further down", "1 ticket left out: a player has a younger one",
		"1 ticket left out: it comes after --now", "1 ticket left out: it has ended before --now",
	} {
		if !strings.Contains(errs, "matchfunction simulate: -: warning: "+want+"\n") {
			t.Errorf("%q lacks %q", errs, want)
		}
	}
	// Without a time all are taken to wait.
	if code, out, errs = call("simulate"); code != 0 || !strings.Contains(out, "of 4 tickets") || strings.Contains(errs, "--now") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, out, errs = call("explain", "--ticket=c"); code != 0 || !strings.HasPrefix(out, "c has waited") {
		t.Errorf("%d %s %s", code, out, errs)
	}
}

// A ticket without a time, or far from the others, is left out of a day and counted:
// the others play.
func TestSimulateDayLeavesOutWhatIsFar(t *testing.T) {
	rules := writeTemp(t, pairRules)
	for name, far := range map[string]string{"year 1": `"0001-01-01T00:00:00Z"`, "1970": "0", "year 9999": `"9999-12-31T00:00:00Z"`, "a week ago": `"2025-12-24T23:59:59Z"`} {
		var text strings.Builder
		for id, at := range map[string]string{"a": far, "b": `"2026-01-01T00:00:00Z"`, "c": `"2026-01-01T00:00:01Z"`} {
			fmt.Fprintf(&text, `{"TicketId":%q,"StartTime":%s,"Players":[{"PlayerId":%q}]}`+"\n", id, at, id)
		}
		file := writeTemp(t, text.String())
		code, out, errs := call("simulate", "--day", "--rules="+rules, "--tickets="+file, "--json")
		var d dayJSON
		if err := json.Unmarshal([]byte(out), &d); code != 0 || err != nil || d.Tickets != 2 || d.Strategies[0].Matched != 2 {
			t.Errorf("%s: exit %d: %v %s", name, code, err, out)
		}
		want := "matchfunction simulate: " + file + ": warning: 1 ticket left out: its StartTime is not in the 168h in which most come, from 2026-01-01T00:00:00Z on\n"
		if errs != want {
			t.Errorf("%s: got %q, want %q", name, errs, want)
		}
	}
}

// A day is as long as its settings say, whatever they are.
func TestSimulateDayBounds(t *testing.T) {
	for _, setting := range []string{"--cycle=169h", "--give-up=169h", "--give-up=2562047h"} {
		code, out, errs := call("simulate", "--day", "--rules=testdata/duel.json", "--tickets=testdata/duel.jsonl", setting)
		if name, _, _ := strings.Cut(setting, "="); code != service.ExitUsage || !strings.Contains(errs, name+": must be") {
			t.Errorf("%s: exit %d: %s%s", setting, code, out, errs)
		}
	}
}

// pairRules are rules under which any two play.
const pairRules = `{"name":"n","ruleLanguageVersion":"1.0","teams":[{"name":"a","minPlayers":1,"maxPlayers":1},{"name":"b","minPlayers":1,"maxPlayers":1}]}`

func writeTemp(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
