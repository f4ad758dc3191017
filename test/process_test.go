//go:build unix

package test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"torikumi/local/demo"
	"torikumi/local/suite"
	"torikumi/pkg/token"
)

// TestProcesses plays the whole path with every service, every gate and every
// game server as a process of its own, and stops them as a supervisor does:
// each ends with exit code 0.
func TestProcesses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	keysFile := filepath.Join(t.TempDir(), "keys-url")
	l := &launcher{started: func(p *process) {
		if p.name != suite.Frontend {
			return
		}
		if err := os.WriteFile(keysFile, []byte("http://"+p.Addrs().HTTP+token.JWKSPath), 0o600); err != nil {
			t.Error(err)
		}
	}}
	o := quiet(l, new(output))
	pods := new(output)
	o.ServerOutput = pods
	o.ServerArgs = []string{self, podCommand, builtIn, suite.Issuer, keysFile}
	play(t, demo.Options{Players: 13, Seed: 3, Suite: o})

	// A pod says nothing unless its gate or its server ended badly.
	if strings.Contains(pods.String(), "] pod: ") {
		t.Error(pods)
	}
	var names []string
	for _, p := range l.processes() {
		names = append(names, p.name)
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s ended with %d: %s", p.name, code, p.out)
		}
		if strings.Contains(p.out.String(), "panic") {
			t.Errorf("%s panicked: %s", p.name, p.out)
		}
	}
	slices.Sort(names)
	want := []string{suite.Director, suite.Evaluator, suite.Frontend, suite.MatchFunction, suite.Minimatch}
	if !slices.Equal(names, want) {
		t.Errorf("processes %v, want %v", names, want)
	}
	empty(t, os.TempDir())
	noChildren(t)
}

// TestWrongSettings: a service that is set up wrongly does not start, exits
// with 2, and names all that is wrong at once.
func TestWrongSettings(t *testing.T) {
	for name, c := range map[string]struct{ args, want []string }{
		"frontend": {
			[]string{"--log-format=xml", "--join-token-lifetime=1h", "--retention=0s", "--no-such=1"},
			[]string{"--log-format", "--join-token-lifetime", "--retention", "-no-such", "--keys-dir", "--issuer", "--player-issuer", "--player-audience"},
		},
		"director": {
			[]string{"--log-level=loud", "--allocator=nowhere", "--max-in-flight=0", "--match-timeout=2h"},
			[]string{"--log-level", "--allocator", "--allocator-ca", "--max-in-flight", "--match-timeout"},
		},
		"matchfunction": {
			[]string{"--query-timeout=soon", "--name=", "--shutdown-timeout=-1s"},
			[]string{"--query-timeout", "--name", "--shutdown-timeout"},
		},
		"evaluator": {
			[]string{"--max-proposals=0", "--max-tickets=many", "--log-format=xml"},
			[]string{"--max-proposals", "--max-tickets", "--log-format"},
		},
		"minimatch": {
			[]string{"--query-page-size=1", "--pending-release-timeout=0s", "--registration-interval=x"},
			[]string{"--query-page-size", "--pending-release-timeout", "--registration-interval"},
		},
		"gate": {
			[]string{"--capacity=-1", "--no-show-timeout=-1s", "--http-listen=0.0.0.0:0"},
			[]string{"--capacity", "--no-show-timeout", "--http-listen", "--issuer", "--jwks-url"},
		},
		"server": {
			[]string{"--max-pending=0", "--idle-timeout=-1s", "--gate=nowhere"},
			[]string{"--max-pending", "--idle-timeout", "--gate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			cmd := command(name, c.args...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Errorf("ended with %v, want exit code 2", err)
			}
			if stdout.Len() > 0 {
				t.Errorf("printed %q as if it listened", stdout.String())
			}
			for _, w := range c.want {
				if !strings.Contains(stderr.String(), w+":") && !strings.Contains(stderr.String(), w+"\n") {
					t.Errorf("does not name %s:\n%s", w, stderr.String())
				}
			}
		})
	}
}

// TestHelp: every program explains its settings and takes no other action.
func TestHelp(t *testing.T) {
	for _, name := range []string{"frontend", "director", "matchfunction", "evaluator", "minimatch", "gate", "server"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := command(name, "--help").CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--log-level") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
