package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"torikumi/pkg/config"
)

// Exit codes of Main.
const (
	exitFailed = 1
	exitConfig = 2
)

// Main is the whole of a service's main function: it reads the settings
// (environment variables have the service's name in capitals as prefix), runs
// until SIGINT or SIGTERM, and exits with 0 after a stop, 1 after a failure, 2
// if the settings are wrong. Once everything listens it prints one line, with
// the real addresses, to standard output.
func Main[C any](name string, run func(ctx context.Context, cfg *C, started func(Addrs)) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	code := Start(ctx, name, run, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Start is Main without the process around it; it returns the exit code.
func Start[C any](ctx context.Context, name string, run func(context.Context, *C, func(Addrs)) error,
	args []string, getenv func(string) string, stdout, stderr io.Writer,
) int {
	cfg := new(C)
	err := config.Load(name, strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"_", cfg, args, getenv, stdout)
	switch {
	case errors.Is(err, config.ErrHelp):
		return 0
	case err != nil:
		config.Report(stderr, name, err)
		return exitConfig
	}
	err = run(ctx, cfg, func(a Addrs) {
		fmt.Fprintf(stdout, "listening service=%s grpc=%s http=%s\n", name, strings.Join(a.GRPCAll, ","), a.HTTP)
	})
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return exitFailed
	}
	return 0
}
