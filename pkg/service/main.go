package service

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"torikumi/pkg/config"
)

// Main is the whole of a service's main function: it reads the settings
// (environment variables have the service's name in capitals as prefix), runs
// until SIGINT or SIGTERM, and exits with 0 after a stop, 1 after a failure, 2
// if the settings are wrong. Once everything listens it prints one line, with
// the real addresses of each kind that there is, to standard output.
func Main[C any](name string, run func(ctx context.Context, cfg *C, started func(Addrs)) error) {
	Exit(func(ctx context.Context, p Process) int {
		return StartProcess(ctx, name, run, p)
	})
}

// Exit runs a program in this process, with a context that ends with SIGINT or
// SIGTERM, and exits with the code that it returns. The second signal ends the
// process at once.
func Exit(program func(context.Context, Process) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := program(ctx, Process{Args: os.Args[1:], Getenv: os.Getenv, Environ: os.Environ, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// Start is StartProcess with what tests set of the process.
func Start[C any](ctx context.Context, name string, run func(context.Context, *C, func(Addrs)) error,
	args []string, getenv func(string) string, stdout, stderr io.Writer,
) int {
	return StartProcess(ctx, name, run, Process{Args: args, Getenv: getenv, Stdout: stdout, Stderr: stderr})
}

// StartProcess is Main without the process around it; it returns the exit code. A variable
// of the environment that has the prefix and is no setting is in the log, or among the settings
// that are wrong, one of which it may have been meant for. Others may use the prefix too, so that
// it does not keep the service from starting by itself.
func StartProcess[C any](ctx context.Context, name string, run func(context.Context, *C, func(Addrs)) error, p Process) int {
	cfg, prefix := new(C), strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"_"
	var unknown []string
	if p.Environ != nil {
		unknown = config.Unknown(cfg, prefix, p.Environ())
	}
	if code, ok := p.Load(name, prefix, cfg); !ok {
		if code == ExitUsage {
			for _, variable := range unknown {
				fmt.Fprintf(p.Stderr, "  no such setting: $%s\n", variable)
			}
		}
		return code
	}
	if l, ok := any(cfg).(interface {
		Logger(w io.Writer, name string) *slog.Logger
	}); ok {
		for _, variable := range unknown {
			l.Logger(p.Stderr, name).Warn("the environment variable is no setting, and changes nothing", "variable", variable)
		}
	}
	err := run(ctx, cfg, func(a Addrs) {
		fmt.Fprintln(p.Stdout, listening(name, a))
	})
	if err != nil {
		return p.Fail(name, err)
	}
	return 0
}

func listening(name string, a Addrs) string {
	words := []string{"listening", "service=" + name}
	for _, of := range []struct{ kind, addrs string }{
		{"grpc", strings.Join(a.GRPCAll, ",")}, {"http", a.HTTP}, {"admin", a.Admin}, {"udp", strings.Join(a.UDPAll, ",")},
	} {
		if of.addrs != "" {
			words = append(words, of.kind+"="+of.addrs)
		}
	}
	return strings.Join(words, " ")
}
