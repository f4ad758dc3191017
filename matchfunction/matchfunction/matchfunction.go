// Package matchfunction starts the match function: the service that Open
// Match asks, for every profile, who could play with whom.
package matchfunction

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"torikumi/matchfunction/internal/engine"
	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/runner"
	"torikumi/matchfunction/internal/wasm"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Config holds the settings; the zero value is not valid, config.Default
// fills it.
type Config struct {
	service.Config
	rpc.GRPCTLS
	rpc.OpenMatchTLS

	GRPCListen   string        `flag:"grpc-listen" default:"127.0.0.1:50502" rule:"listen" help:"Address of the match function API; port 0 is any free one."`
	HTTPListen   string        `flag:"http-listen" default:"127.0.0.1:51502" rule:"listen" help:"Address for health and metrics; port 0 is any free one."`
	Query        string        `flag:"query" default:"127.0.0.1:50503" required:"tickets are read from it" help:"Open Match query service, host:port."`
	QueryTimeout time.Duration `flag:"query-timeout" default:"10s" rule:"positive" help:"Longest time for reading the pools of a profile."`
	RunTimeout   time.Duration `flag:"run-timeout" default:"15s" rule:"positive" help:"Longest time for one run; what has been found by then is proposed. Has to be below Open Match's proposalCollectionInterval (20s by default), which drops what comes later."`
	KeepTickets  int           `flag:"keep-tickets" default:"500000" rule:"not negative" help:"Most tickets to keep from run to run, of all pools together, about 1 kB of memory each: only new ones are then read from Open Match. 0 keeps none; a pool that is larger by itself is read whole in each run."`
	RuleModules  string        `flag:"rule-modules" help:"Folder of the WebAssembly modules (NAME.wasm) that rule sets may name as custom rules; it is followed. None when empty."`
	ModuleTime   time.Duration `flag:"rule-module-timeout" default:"1s" rule:"positive" help:"Longest time for a module to judge one match; then the match is refused."`
	ModuleMemory int           `flag:"rule-module-memory" default:"32" rule:"from 1 to 1024" help:"Most memory of one instance of a module, in MiB. As many instances run as runs of profiles do."`
	Name         string        `flag:"name" default:"torikumi" required:"proposals carry it" help:"Name of this match function in its proposals. Different match functions need different names, replicas of one the same."`

	// rules are those written in Go.
	rules rule.Registry
}

// Validate implements config.Validator.
func (c *Config) Validate() error { return c.CheckGRPCTLS() }

// With returns a Run for a match function that has custom rules, for the main
// function of a program of one's own:
//
//	service.Main("matchfunction", matchfunction.With(rule.Registry{"rivals": rivals.New}))
func With(rules rule.Registry) func(context.Context, *Config, func(service.Addrs)) error {
	return func(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
		own := *cfg
		own.rules = rules
		return Run(ctx, &own, started)
	}
}

// Run serves until ctx ends, and calls started once with the addresses.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) (err error) {
	conn, err := cfg.DialOpenMatch(cfg.Query, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxPage)))
	if err != nil {
		return fmt.Errorf("connect to the query service: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.Connect()

	registry := service.NewRegistry()
	logger := cfg.Logger(os.Stderr, "matchfunction")
	explainer := &explain.Server{Now: time.Now}
	metrics := runner.NewMetrics(registry)
	failures := &runner.Failures{Metrics: metrics, Logger: logger, Now: time.Now}
	compiler := &engine.Compiler{Options: options(cfg.rules), Failed: failures.Add}
	background, err := cfg.followModules(ctx, compiler, registry, logger)
	if err != nil {
		return err
	}
	function := runner.New(runner.Options{
		Explain:      explainer,
		Name:         cfg.Name,
		Query:        openmatch.NewQueryServiceClient(conn),
		QueryTimeout: cfg.QueryTimeout,
		RunTimeout:   cfg.RunTimeout,
		KeepTickets:  cfg.KeepTickets,
		Compiler:     compiler,
		Metrics:      metrics,
		Logger:       logger,
		Now:          time.Now,
	})
	return service.Run(ctx, service.Options{
		Name:       "matchfunction",
		Config:     cfg.Config,
		Logger:     logger,
		GRPCListen: []string{cfg.GRPCListen},
		GRPCTLS:    cfg.GRPCTLS,
		HTTPListen: []string{cfg.HTTPListen},
		Register: func(s grpc.ServiceRegistrar) {
			openmatch.RegisterMatchFunctionServer(s, function)
			torikumiv1.RegisterExplainServiceServer(s, explainer)
		},
		Ready:      map[string]func(context.Context) error{"query": connected(conn)},
		Background: background,
		Registry:   registry,
		Started:    started,
	})
}

// followModules lets rule sets name modules, if there is a folder of them, and
// returns what follows it.
func (c *Config) followModules(ctx context.Context, compiler *engine.Compiler, registry prometheus.Registerer, logger *slog.Logger) ([]func(context.Context) error, error) {
	if c.RuleModules == "" {
		return nil, nil
	}
	folder, err := wasm.NewFolder(ctx, wasm.FolderOptions{Path: c.RuleModules, Registry: registry, Logger: logger,
		Limits: wasm.Limits{Call: c.ModuleTime, MemoryMiB: c.ModuleMemory}})
	if err != nil {
		return nil, fmt.Errorf("--rule-modules: %w", err)
	}
	compiler.Options.Module, compiler.ModuleVersion = folder.Find, folder.Version
	compiler.NotReloaded = func(queue string, err error) {
		logger.Error("rule set not readied with changed modules: it stays as it was", "queue", queue, "error", err)
	}
	return []func(context.Context) error{folder.Run}, nil
}

// maxPage is the most bytes of a page of tickets, which Open Match cuts by their
// number alone: 10,000 of 26 kB. A pool with a larger one is read in parts.
const maxPage = 256 << 20

// connected is a check of readiness: without the query service a match
// function is of no use.
func connected(conn *grpc.ClientConn) func(context.Context) error {
	return func(context.Context) error {
		if s := conn.GetState(); s != connectivity.Ready {
			conn.Connect()
			return errors.New("no connection to the query service")
		}
		return nil
	}
}
