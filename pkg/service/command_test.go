package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"torikumi/pkg/service"
	"torikumi/pkg/version"
)

const commandsHelp = `svc does things.

  run       run it
  inspect   look at it
  help      show this

That is all.
`

func TestDispatch(t *testing.T) {
	program := service.Program{
		Name: "svc", About: "svc does things.\n", Notes: "That is all.\n",
		Commands: []service.Command{
			{"run", "run it", func(_ context.Context, p service.Process) int {
				var cfg settings
				if code, ok := p.Load("svc run", "SVC_", &cfg); !ok {
					return code
				}
				fmt.Fprintln(p.Stdout, "level", cfg.Level)
				return 0
			}},
			{"inspect", "look at it", func(_ context.Context, p service.Process) int {
				return p.Fail("svc inspect", errors.New("too dark"))
			}},
		},
	}
	for _, tt := range []struct {
		args           string
		code           int
		stdout, stderr string
	}{
		{"run --level=3", 0, "level 3\n", ""},
		{"run --level=-1", service.ExitUsage, "", "svc run: wrong settings (--help shows all):\n  --level: must not be negative, got \"-1\"\n"},
		{"inspect", service.ExitFailed, "", "svc inspect: too dark\n"},
		{"help", 0, commandsHelp, ""},
		{"--help", 0, commandsHelp, ""},
		{"", service.ExitUsage, "", commandsHelp},
		{"--version", 0, "svc " + version.String() + "\n", ""},
		{"run --version", 0, "svc run " + version.String() + "\n", ""},
		{"run --version --level=3", service.ExitUsage, "", "svc run: wrong settings (--help shows all):\n  --version: no such setting\n"},
		{"fly", service.ExitUsage, "", "svc: unknown command \"fly\"\n\n" + commandsHelp},
	} {
		var stdout, stderr bytes.Buffer
		p := service.Process{Args: strings.Fields(tt.args), Getenv: func(string) string { return "" }, Stdout: &stdout, Stderr: &stderr}
		code := service.Dispatch(t.Context(), program, p)
		if code != tt.code || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("%q: exit %d\nstdout %q\nstderr %q", tt.args, code, &stdout, &stderr)
		}
	}
	for args, want := range map[string]bool{"": false, "--level=1 run": false, "run": true, "fly --level=1": true} {
		if got := service.HasCommand(strings.Fields(args)); got != want {
			t.Errorf("%q has a command: %v", args, got)
		}
	}
}
