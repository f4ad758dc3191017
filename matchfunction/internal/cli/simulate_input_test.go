package cli

import (
	"bytes"
	"context"
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
