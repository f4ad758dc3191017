// Package cli is what the matchfunction program does beside serving: it tells
// designers what is wrong with a rule set, and what it would make of players.
// Nothing of it is on the player's path.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"torikumi/matchfunction/internal/search"
	"torikumi/pkg/config"
)

// Exit codes. exitFailed is also that of a command that found problems.
const (
	exitFailed = 1
	exitUsage  = 2
)

// Env is what a command has of the process around it.
type Env struct {
	// Args start with the command's name.
	Args           []string
	Getenv         func(string) string
	Stdout, Stderr io.Writer
	// Rules are what rule sets may name beside FlexMatch's rules: the same
	// that this match function serves with.
	Rules search.Options
}

// command is an entry of the table.
type command struct {
	name, summary string
	run           func(ctx context.Context, env Env) int
}

// commands is the table, in the order of the help. A run gets the arguments
// behind its name.
func commands() []command {
	return []command{
		{"lint", "say what is wrong with rule sets, and what is odd", runLint},
		{"explain", "say why a ticket is in no match", runExplain},
		{"simulate", "try a rule set with tickets, or for a whole day", runSimulate},
	}
}

// Has reports whether arguments start with a command, be it an unknown one.
// Settings are the service's.
func Has(args []string) bool { return len(args) > 0 && !strings.HasPrefix(args[0], "-") }

// Main runs a command and returns the exit code: 0, 1 if it failed or found
// problems, 2 if it was called wrongly.
func Main(ctx context.Context, env Env) int {
	if len(env.Args) == 0 {
		help(env.Stderr)
		return exitUsage
	}
	name := env.Args[0]
	env.Args = env.Args[1:]
	for _, c := range commands() {
		if c.name == name {
			return c.run(ctx, env)
		}
	}
	if name == "help" {
		help(env.Stdout)
		return 0
	}
	fmt.Fprintf(env.Stderr, "matchfunction: unknown command %q\n\n", name)
	help(env.Stderr)
	return exitUsage
}

func help(w io.Writer) {
	fmt.Fprint(w, `matchfunction serves Open Match's match function API.

Usage: matchfunction [--setting=value ...]           serve until it is told to stop
       matchfunction COMMAND [--setting=value ...]

`)
	for _, c := range append(commands(), command{name: "help", summary: "show this"}) {
		fmt.Fprintf(w, "  %-10s%s\n", c.name, c.summary)
	}
	fmt.Fprint(w, `
"matchfunction --help" shows the settings of the service, "matchfunction COMMAND --help" those of a command.
`)
}

// load reads a command's settings from env.Args; ok is false if the command is
// over. The variables of each command have a prefix of their own, so that
// those of the service never change what a command does.
func load(env Env, name, usage string, cfg any) (code int, ok bool) {
	prefix := "MATCHFUNCTION_" + strings.ToUpper(name) + "_"
	err := config.Load("matchfunction "+name+usage, prefix, cfg, env.Args, env.Getenv, env.Stdout)
	switch {
	case err == nil:
		return 0, true
	case errors.Is(err, config.ErrHelp):
		return 0, false
	}
	config.Report(env.Stderr, "matchfunction "+name, err)
	return exitUsage, false
}

// failed reports why a command could not do its work.
func failed(env Env, name string, err error) int {
	fmt.Fprintf(env.Stderr, "matchfunction %s: %v\n", name, err)
	return exitFailed
}

// plural is "1 match", "2 matches".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
