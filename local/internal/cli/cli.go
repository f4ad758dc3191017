// Package cli is the command line of torikumi: the suite on one machine for
// those who develop a game, and the demo for those who want to see it.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"torikumi/gameserver/server"
	"torikumi/local/demo"
	"torikumi/local/suite"
	"torikumi/pkg/service"
)

const (
	exitFailed = service.ExitFailed
	exitUsage  = service.ExitUsage
)

const about = `torikumi runs matchmaking on one machine: no Kubernetes, no Redis, no Docker.

Usage: torikumi COMMAND [--setting=value ...]
`

const notes = `"torikumi COMMAND --help" shows the settings of a command.
`

// shared is a writer for several goroutines.
type shared struct {
	mu  sync.Mutex
	out io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

// Main runs a command and returns the exit code: 0, 1 if it failed, 2 if it
// was called wrongly.
func Main(ctx context.Context, p service.Process) int {
	// Logs and game servers write at the same time.
	p.Stderr = &shared{out: p.Stderr}
	return service.Dispatch(ctx, service.Program{
		Name: "torikumi", About: about, Notes: notes,
		Commands: []service.Command{
			{Name: "up", Summary: "run the suite until Ctrl-C; game servers are processes", Run: runUp},
			{Name: "attach", Summary: "let the suite send matches to a server that you have started yourself", Run: runAttach},
			{Name: "demo", Summary: "start the suite, let players play, check everything, stop", Run: runDemo},
			{Name: "load", Summary: "make tickets at a fixed rate, and report latencies and losses", Run: runLoad},
			{Name: "server", Summary: `run the reference game server (what "up" starts for each match)`, Run: server.Main},
			{Name: "corpus", Summary: "have a verifier check the join tokens that it has to refuse", Run: runCorpus},
			{Name: "secrets", Summary: "print new Secrets for a cluster: join keys, certificates to the allocator", Run: runSecrets},
		},
	}, p)
}

// load reads a command's settings; ok is false if the command is over.
func load(name string, cfg any, p service.Process) (code int, ok bool) {
	return p.Load("torikumi "+name, "TORIKUMI_", cfg)
}

// self is the command line that runs a command of this very program.
func self(command string) ([]string, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find our own program: %w", err)
	}
	return []string{exe, command}, nil
}

type demoConfig struct {
	Players int    `flag:"players" default:"40" help:"Honest players, from 2 to 5000."`
	Seed    int    `flag:"seed" default:"1" help:"Decides who plays what; the same for the same number."`
	JSON    bool   `flag:"json" help:"Print one JSON object to standard output; progress goes to standard error."`
	Verbose bool   `flag:"verbose" help:"Show the logs of all services and game servers."`
	Queues  string `flag:"queues" help:"File with the queues (queues.yaml); players are spread over all of them. The built-in ones when not given."`

	OtherOpenMatch
}

// OtherOpenMatch are the settings of one that runs already.
type OtherOpenMatch struct {
	OpenMatch       string `flag:"open-match" rule:"IP address" help:"IP address of a running Open Match to use in place of minimatch, on its usual ports (50503 to 50505)."`
	EvaluatorListen string `flag:"evaluator-listen" default:"127.0.0.1:50508" rule:"listen" help:"With --open-match: where that Open Match looks for the evaluator."`
}

// suite is nil for minimatch.
func (c *OtherOpenMatch) suite() *suite.OpenMatch {
	h := c.OpenMatch
	if h == "" {
		return nil
	}
	return &suite.OpenMatch{
		Frontend: net.JoinHostPort(h, "50504"), Backend: net.JoinHostPort(h, "50505"), Query: net.JoinHostPort(h, "50503"),
		EvaluatorListen: c.EvaluatorListen,
	}
}

func (c *demoConfig) Validate() error {
	return (&demo.Options{Players: c.Players, Suite: suite.Options{Queues: c.Queues}}).Validate()
}

func runDemo(ctx context.Context, p service.Process) int {
	cfg := new(demoConfig)
	if code, ok := load("demo", cfg, p); !ok {
		return code
	}
	args, err := self("server")
	if err != nil {
		return p.Fail("torikumi demo", err)
	}
	o := demo.Options{Players: cfg.Players, Seed: uint64(cfg.Seed), Progress: p.Stdout, Suite: suite.Options{
		HTTPListen: "127.0.0.1:0", GRPCListen: "127.0.0.1:0", IssuerListen: "127.0.0.1:0",
		Queues: cfg.Queues, ServerArgs: args, RegistrationInterval: localRegistration,
		Log:       service.Config{LogLevel: slog.LevelError, LogFormat: "text", ShutdownTimeout: 5 * time.Second},
		LogOutput: p.Stderr,
	}}
	o.Suite.OpenMatch = cfg.suite()
	o.Refill = cfg.Queues == ""
	if cfg.JSON {
		o.Progress = p.Stderr
	}
	if cfg.Verbose {
		o.Suite.Log.LogLevel, o.Suite.ServerOutput = slog.LevelDebug, p.Stderr
	}
	r, err := demo.Run(ctx, o)
	if err != nil {
		r.OK = false
		r.Err = errors.Join(r.Err, err)
	}
	if cfg.JSON {
		r.Summary(p.Stderr)
		if err := json.NewEncoder(p.Stdout).Encode(r); err != nil {
			return exitFailed
		}
	} else {
		r.Summary(p.Stdout)
	}
	if !r.OK {
		return exitFailed
	}
	return 0
}
