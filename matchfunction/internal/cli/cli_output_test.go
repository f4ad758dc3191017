package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/pkg/service"
)

// full is a disk on which there is room for so many bytes.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	if n < len(p) {
		return n, errors.New("no space left")
	}
	return n, nil
}

// A command whose output can't be written fails, and says so once.
func TestOutputThatIsLost(t *testing.T) {
	const rules, tickets = "--rules=testdata/duel.json", "--tickets=testdata/duel.jsonl"
	for _, args := range []string{
		"help", "--version", "simulate --help",
		"lint testdata/duel.json", "lint testdata/broken.json", "lint --json testdata/duel.json",
		"explain --ticket=t1 " + rules + " " + tickets, "explain --json --ticket=t1 " + rules + " " + tickets,
		"simulate " + rules + " " + tickets, "simulate --json " + rules + " " + tickets,
		"simulate --day " + rules + " " + tickets, "simulate --day --json " + rules + " " + tickets,
	} {
		for _, room := range []int{0, 10} {
			var errs bytes.Buffer
			proc := service.Process{Args: strings.Fields(args), Getenv: func(string) string { return "" }, Stdout: &full{room}, Stderr: &errs}
			code := Main(context.Background(), proc, search.Options{Expression: expression.Compile})
			if want := "matchfunction: write the output: no space left\n"; code != service.ExitFailed || errs.String() != want {
				t.Errorf("%s, room for %d: exit %d: %q, want %q", args, room, code, errs.String(), want)
			}
		}
	}
}
