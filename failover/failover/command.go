package failover

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"k8s.io/client-go/rest"

	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// Exit codes of the commands.
const (
	exitFailed = 1
	exitUsage  = 2
)

// commands is what the help says of them.
const commands = `
  status    print how far each failover is, and what comes next
  drill     rehearse the failover of a node
  help      show this
`

// Describe is what --help says besides the settings.
func (*Config) Describe() string {
	return "       failover COMMAND [--setting=value ...]\n" + commands + "\n\"failover COMMAND --help\" shows the settings of a command.\n"
}

// Main is the whole program: the controller, or the command that the arguments
// begin with. It ends the process.
func Main() {
	args := os.Args[1:]
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		service.Main(name, Run)
		return
	}
	interrupts := make(chan os.Signal, 2)
	if args[0] == "drill" { // the others have nothing to clear away
		signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	}
	os.Exit(Command(context.Background(), args, os.Getenv, os.Stdout, os.Stderr, interrupts))
}

// Command runs the command that args begin with, and returns the exit code.
func Command(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer, interrupts <-chan os.Signal) int {
	switch args[0] {
	case "status":
		return Status(ctx, args[1:], getenv, stdout, stderr)
	case "drill":
		return Drill(ctx, args[1:], getenv, stdout, stderr, interrupts)
	case "help":
		help(stdout)
		return 0
	}
	fmt.Fprintf(stderr, "failover: unknown command %q\n\n", args[0])
	help(stderr)
	return exitUsage
}

func help(w io.Writer) {
	fmt.Fprintf(w, `failover replaces on-premises nodes that die by machines of a cloud.

Usage: failover [--setting=value ...]           run the controller until it is told to stop
       failover COMMAND [--setting=value ...]
%s
"failover --help" shows the settings of the controller, "failover COMMAND --help" those of a command.
`, commands)
}

// command reads a command's settings and runs it with the operator's access to
// the cluster, as kubeconfig, one of the settings, says.
func command(which string, cfg any, kubeconfig *string, args []string, getenv func(string) string, stdout, stderr io.Writer, do func(*rest.Config) error) int {
	err := config.Load("failover "+which, envPrefix, cfg, args, getenv, stdout)
	var kube *rest.Config
	if err == nil {
		kube, err = userConfig(*kubeconfig)
	}
	switch {
	case errors.Is(err, config.ErrHelp):
		return 0
	case err != nil:
		config.Report(stderr, "failover "+which, err)
		return exitUsage
	}
	if err := do(kube); err != nil {
		fmt.Fprintf(stderr, "failover %s: %v\n", which, unreachable(kube, err))
		return exitFailed
	}
	return 0
}
