package failover

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/client-go/rest"

	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// about and notes stand in the help of the program, notes in that of the
// controller's settings too.
const (
	about = `failover replaces on-premises nodes that die by machines of a cloud.

Usage: failover [--setting=value ...]           run the controller until it is told to stop
       failover COMMAND [--setting=value ...]
`
	notes = `"failover --help" shows the settings of the controller, "failover COMMAND --help" those of a command.
`
)

// program is failover with its commands. The first of interrupts breaks a drill
// off.
func program(interrupts <-chan os.Signal) service.Program {
	return service.Program{Name: name, About: about, Notes: notes, Commands: []service.Command{
		{Name: "status", Summary: "print how far each failover is, and what comes next", Run: Status},
		{Name: "drill", Summary: "rehearse the failover of a node", Run: func(ctx context.Context, p service.Process) int { return Drill(ctx, p, interrupts) }},
	}}
}

// Describe is what --help says besides the settings.
func (*Config) Describe() string {
	return "       failover COMMAND [--setting=value ...]\n\n" + program(nil).Table() + "\n\"failover COMMAND --help\" shows the settings of a command.\n"
}

// Main is the whole program: the controller, or the command that the arguments
// begin with. It ends the process.
func Main() {
	args := os.Args[1:]
	if !service.HasCommand(args) {
		service.Main(name, Run)
	}
	interrupts := make(chan os.Signal, 2)
	if args[0] == "drill" { // the others have nothing to clear away
		signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	}
	p := service.Process{Args: args, Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(Command(context.Background(), p, interrupts))
}

// Command runs the command that p's arguments begin with, and returns the exit
// code.
func Command(ctx context.Context, p service.Process, interrupts <-chan os.Signal) int {
	return service.Dispatch(ctx, program(interrupts), p)
}

// command reads a command's settings and runs it with the operator's access to
// the cluster, as kubeconfig, one of the settings, says.
func command(which string, cfg any, kubeconfig *string, p service.Process, do func(*rest.Config) error) int {
	which = name + " " + which
	if code, ok := p.Load(which, envPrefix, cfg); !ok {
		return code
	}
	kube, err := userConfig(*kubeconfig)
	if err != nil {
		config.Report(p.Stderr, which, err)
		return service.ExitUsage
	}
	if err := do(kube); err != nil {
		return p.Fail(which, unreachable(kube, err))
	}
	return 0
}
