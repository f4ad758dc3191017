// Package cli is what the matchfunction program does beside serving: it tells
// designers what is wrong with a rule set, and what it would make of players.
// Nothing of it is on the player's path.
package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"torikumi/matchfunction/internal/search"
	"torikumi/pkg/service"
)

const about = `matchfunction serves Open Match's match function API.

Usage: matchfunction [--setting=value ...]           serve until it is told to stop
       matchfunction COMMAND [--setting=value ...]
`

const notes = `"matchfunction --help" shows the settings of the service, "matchfunction COMMAND --help" those of a command.
`

// Main runs a command and returns the exit code: 0, 1 if it failed or found
// problems, 2 if it was called wrongly. Rules are what rule sets may name beside
// FlexMatch's rules: the same that this match function serves with.
func Main(ctx context.Context, proc service.Process, rules search.Options) int {
	command := func(name, summary string, run func(context.Context, service.Process, search.Options) int) service.Command {
		return service.Command{Name: name, Summary: summary, Run: func(ctx context.Context, proc service.Process) int { return run(ctx, proc, rules) }}
	}
	out := &output{w: proc.Stdout}
	proc.Stdout = out
	code := service.Dispatch(ctx, service.Program{
		Name: "matchfunction", About: about, Notes: notes,
		Commands: []service.Command{
			command("lint", "say what is wrong with rule sets, and what is odd", runLint),
			command("explain", "say why a ticket is in no match", runExplain),
			command("frontier", "compare the search with simpler ones over simulated days", runFrontier),
			command("simulate", "try a rule set with tickets, or for a whole day", runSimulate),
		},
	}, proc)
	if out.err != nil {
		return proc.Fail("matchfunction", fmt.Errorf("write the output: %w", out.err))
	}
	return code
}

// output is the standard output of a command. It keeps the first error of a write,
// after which it writes no more, so that commands can print without a look at each:
// Main fails for all of them, once.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err == nil {
		_, o.err = o.w.Write(p)
	}
	return len(p), nil
}

// load reads a command's settings; ok is false if the command is over. The
// variables of each command have a prefix of their own, so that those of the
// service never change what a command does.
func load(proc service.Process, name string, cfg any, operands ...string) (code int, ok bool) {
	return proc.Load("matchfunction "+name, "MATCHFUNCTION_"+strings.ToUpper(name)+"_", cfg, operands...)
}

func failed(proc service.Process, name string, err error) int {
	return proc.Fail("matchfunction "+name, err)
}
