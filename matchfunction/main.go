// Command matchfunction serves Open Match's match function API, and tells
// designers of rule sets what these are worth: "matchfunction help".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"torikumi/matchfunction/internal/cli"
	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/matchfunction"
	"torikumi/pkg/service"
)

func main() {
	if !cli.Has(os.Args[1:]) {
		service.Main("matchfunction", matchfunction.Run)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends the process at once
	code := cli.Main(ctx, cli.Env{
		Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr,
		Rules: search.Options{Expression: expression.Compile}, // as matchfunction.Run has them
	})
	stop()
	os.Exit(code)
}
