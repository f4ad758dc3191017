package service

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// Main is the whole of a service's main function: it reads the settings
// (environment variables have the service's name in capitals as prefix), runs
// until SIGINT or SIGTERM, and exits with 0 after a stop, 1 after a failure, 2
// if the settings are wrong. Once everything listens it prints one line, with
// the real addresses, to standard output.
func Main[C any](name string, run func(ctx context.Context, cfg *C, started func(Addrs)) error) {
	Exit(func(ctx context.Context, p Process) int {
		return Start(ctx, name, run, p.Args, p.Getenv, p.Stdout, p.Stderr)
	})
}

// Exit runs a program in this process, with a context that ends with SIGINT or
// SIGTERM, and exits with the code that it returns. The second signal ends the
// process at once.
func Exit(program func(context.Context, Process) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := program(ctx, Process{Args: os.Args[1:], Getenv: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// Start is Main without the process around it; it returns the exit code.
func Start[C any](ctx context.Context, name string, run func(context.Context, *C, func(Addrs)) error,
	args []string, getenv func(string) string, stdout, stderr io.Writer,
) int {
	cfg, p := new(C), Process{Args: args, Getenv: getenv, Stdout: stdout, Stderr: stderr}
	if code, ok := p.Load(name, strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"_", cfg); !ok {
		return code
	}
	err := run(ctx, cfg, func(a Addrs) {
		more := ""
		if a.Admin != "" {
			more += " admin=" + a.Admin
		}
		if len(a.UDPAll) > 0 {
			more += " udp=" + strings.Join(a.UDPAll, ",")
		}
		fmt.Fprintf(stdout, "listening service=%s grpc=%s http=%s%s\n", name, strings.Join(a.GRPCAll, ","), a.HTTP, more)
	})
	if err != nil {
		return p.Fail(name, err)
	}
	return 0
}
