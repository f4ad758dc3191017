// Command loadgen makes tickets at a fixed rate at the front of a matchmaker and reports latencies and losses.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"torikumi/loadgen/loadgen"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	code := loadgen.Command{Name: "loadgen", EnvPrefix: "LOADGEN_"}.Main(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
