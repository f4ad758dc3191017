// Package miniagones is Agones on one machine: a fleet of game servers that are
// kept Ready, the allocation service that hands them out, and an SDK server for
// each of them. It stands where Agones stands on the player's path, for a laptop,
// for tests and for studios that run on one machine.
//
// Clients see what they see of Agones, except that it
//   - has no player tracking and no other clusters, and refuses requests for them;
//   - never has to answer an allocation with Aborted;
//   - refuses a label of the SDK at once that Kubernetes would refuse later;
//   - replaces a server whose program ends before it was Ready, where Agones
//     starts the program again.
package miniagones

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/fleet"
	"torikumi/miniagones/internal/process"
	"torikumi/miniagones/internal/virtual"
	"torikumi/pkg/service"
)

const name = "miniagones"

// What a Fleet shows of its servers.
type (
	// Fleet is a running fleet; see New.
	Fleet = fleet.Fleet
	// Server is one version of a game server.
	Server = fleet.Server
	// Event is one change of one server.
	Event = fleet.Event
	// Subscription delivers the changes of a fleet.
	Subscription = fleet.Subscription
	// Spec is what hooks get to know of a server that is about to start, Place
	// where players will reach it, and Port one of its ports.
	Spec  = fleet.Spec
	Place = fleet.Place
	Port  = fleet.Port
)

// Hooks are what a program adds to a fleet that runs inside it. The zero value
// adds nothing; a virtual fleet uses only Logger.
type Hooks struct {
	// Args are a program and its arguments; they replace Config.GameServer.
	Args []string
	// Env adds to the environment of a server's program.
	Env func(Spec) []string
	// Sidecar runs before a server's program is started, and may add to its
	// environment; its stop is called after the program has ended. The
	// server's SDK server is there by then. An error fails the start. The context
	// ends with the server.
	Sidecar func(ctx context.Context, spec Spec) (env []string, stop func(), err error)
	// Output gets what the programs write, line by line, each with the name of
	// its server before it.
	Output io.Writer
	// Logger gets the fleet's log; slog.Default() when nil.
	Logger *slog.Logger
}

// New makes a fleet that has no servers before its Run is called. The settings
// must be valid.
func New(cfg *Config, h Hooks) (*Fleet, error) {
	labels, err := cfg.labels()
	if err != nil {
		return nil, err
	}
	has, err := counts.Parse(cfg.Counters, cfg.Lists)
	if err != nil {
		return nil, err
	}
	o := fleet.Options{
		Name: cfg.Fleet, Namespace: cfg.Namespace, Ready: cfg.Ready, Max: cfg.Max, Labels: labels, Counts: has,
		Grace: cfg.Grace, Logger: h.Logger,
		Health: fleet.Health{InitialDelay: cfg.HealthDelay, Period: cfg.HealthPeriod, FailureThreshold: cfg.HealthFailures},
	}
	if cfg.Virtual > 0 {
		o.Ready, o.Max, o.Session = cfg.Virtual, cfg.Virtual, cfg.VirtualSession
		o.Backend = &virtual.Backend{}
		return fleet.New(o)
	}
	o.Env, o.Sidecar = h.Env, h.Sidecar
	p := process.Options{Command: cfg.GameServer, Address: cfg.Host, Protocol: cfg.PortProtocol, Output: h.Output}
	if len(h.Args) > 0 {
		p.Command, p.Args = "", h.Args
	}
	o.Backend, err = process.New(p)
	if err != nil {
		return nil, err
	}
	return fleet.New(o)
}

// Run serves until ctx ends, and then stops all game servers; see service.Run.
// started is called once, when everything listens. The settings must be valid.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	logger := cfg.Logger(os.Stderr, name)
	f, err := New(cfg, Hooks{Logger: logger, Output: os.Stderr})
	if err != nil {
		return fmt.Errorf("set up the fleet: %w", err)
	}
	return service.Run(ctx, service.Options{
		Name:       name,
		Config:     cfg.Config,
		Logger:     logger,
		GRPCListen: []string{cfg.GRPCListen},
		HTTPListen: []string{cfg.HTTPListen},
		Register:   f.Register,
		Background: []func(context.Context) error{f.Run},
		Started:    started,
	})
}
