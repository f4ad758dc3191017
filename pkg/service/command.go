package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"torikumi/pkg/config"
	"torikumi/pkg/version"
)

// Exit codes of programs and their commands; 0 is success.
const (
	ExitFailed = 1
	// ExitUsage is for wrong settings, and for a command that does not exist.
	ExitUsage = 2
)

// Process is what a program or a command has of the process around it.
type Process struct {
	Args   []string
	Getenv func(string) string
	// Environ are all variables, as os.Environ; it may be nil.
	Environ func() []string
	// Stdin may be nil: nothing to read.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Load reads the settings of a program or command into cfg, as config.Load
// does. ok is false if it is over, with the exit code: help or, as the only
// argument, --version was asked for and printed, or settings are wrong and
// reported. The usage shows operands, such as "FILE ...", behind the name.
func (p Process) Load(name, envPrefix string, cfg any, operands ...string) (code int, ok bool) {
	if p.wantsVersion() {
		p.printVersion(name)
		return 0, false
	}
	usage := strings.Join(append([]string{name}, operands...), " ")
	err := config.Load(usage, envPrefix, cfg, p.Args, p.Getenv, p.Stdout)
	switch {
	case err == nil:
		return 0, true
	case errors.Is(err, config.ErrHelp):
		return 0, false
	}
	config.Report(p.Stderr, name, err)
	return ExitUsage, false
}

func (p Process) wantsVersion() bool {
	return len(p.Args) == 1 && (p.Args[0] == "--version" || p.Args[0] == "-version")
}

func (p Process) printVersion(name string) { fmt.Fprintln(p.Stdout, name, version.String()) }

// Fail reports why a program or command could not do its work, and returns its
// exit code.
func (p Process) Fail(name string, err error) int {
	fmt.Fprintf(p.Stderr, "%s: %v\n", name, err)
	return ExitFailed
}

// Command is one of the commands of a program.
type Command struct {
	Name, Summary string
	// Run gets the arguments behind the name, and returns the exit code.
	Run func(ctx context.Context, p Process) int
}

// Program is a program that has commands.
type Program struct {
	Name string
	// About and Notes stand in the help before and behind the commands.
	About, Notes string
	Commands     []Command
}

// Table lists the commands with their summaries, each on a line.
func (p Program) Table() string {
	all := append(p.Commands[:len(p.Commands):len(p.Commands)], Command{Name: "help", Summary: "show this"})
	width := 8
	for _, c := range all {
		width = max(width, len(c.Name))
	}
	var table strings.Builder
	for _, c := range all {
		fmt.Fprintf(&table, "  %-*s  %s\n", width, c.Name, c.Summary)
	}
	return table.String()
}

// Dispatch runs the command that the arguments begin with, and returns its exit
// code. "help" prints the help; without a command, or with one that does not
// exist, the help goes to standard error and the code is ExitUsage. --version
// prints the version.
func Dispatch(ctx context.Context, program Program, p Process) int {
	help := fmt.Sprintf("%s\n%s\n%s", program.About, program.Table(), program.Notes)
	if len(p.Args) == 0 {
		fmt.Fprint(p.Stderr, help)
		return ExitUsage
	}
	if p.wantsVersion() {
		p.printVersion(program.Name)
		return 0
	}
	name := p.Args[0]
	p.Args = p.Args[1:]
	for _, c := range program.Commands {
		if c.Name == name {
			return c.Run(ctx, p)
		}
	}
	switch name {
	case "help", "--help", "-help", "-h":
		fmt.Fprint(p.Stdout, help)
		return 0
	}
	fmt.Fprintf(p.Stderr, "%s: unknown command %q\n\n%s", program.Name, name, help)
	return ExitUsage
}

// HasCommand reports whether arguments begin with a command, be it an unknown
// one, and not with a setting.
func HasCommand(args []string) bool { return len(args) > 0 && !strings.HasPrefix(args[0], "-") }
