package matchfunction

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"torikumi/matchfunction/internal/cli"
	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/service"
)

// Main is the whole program of a match function that has custom rules, or nil:
// the service, and the commands lint, simulate and explain, which know the same
// rules. It ends the process.
func Main(rules rule.Registry) {
	if !cli.Has(os.Args[1:]) {
		service.Main("matchfunction", With(rules))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the process at once
	code := cli.Main(ctx, cli.Env{
		Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr, Rules: options(rules),
	})
	stop()
	os.Exit(code)
}

// options are what rule sets may name.
func options(rules rule.Registry) search.Options {
	return search.Options{Custom: rules, Expression: expression.Compile}
}
