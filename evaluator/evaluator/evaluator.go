// Package evaluator starts the evaluator: the service that Open Match asks
// which of the proposed matches may stand.
package evaluator

import (
	"context"
	"os"
	"time"

	"google.golang.org/grpc"

	"torikumi/evaluator/internal/server"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

// Config holds the settings; the zero value is not valid, config.Default
// fills it.
type Config struct {
	service.Config
	rpc.GRPCTLS

	GRPCListen string `flag:"grpc-listen" default:"127.0.0.1:50508" rule:"listen" help:"Address of the evaluator API; port 0 is any free one."`
	HTTPListen string `flag:"http-listen" default:"127.0.0.1:51508" rule:"listen" help:"Address for health and metrics; port 0 is any free one."`
	// The limits keep the numbers of proposals, tickets and backfills within 32
	// bits, all together.
	MaxProposals int `flag:"max-proposals" default:"1000000" rule:"from 1 to 536870912" help:"Most proposals in one cycle; with more the cycle fails, which bounds the memory."`
	MaxTickets   int `flag:"max-tickets" default:"10000000" rule:"from 1 to 536870912" help:"Most tickets in all proposals of one cycle together; with more the cycle fails."`

	// The largest effort is hours of search.
	Effort     int           `flag:"effort" default:"100" rule:"from 0 to 1000000" help:"Steps of search for each ticket of a proposal, some nanoseconds each: more finds a higher sum of scores where collisions spread wide, and takes longer; 0 is the choice of Open Match's own evaluator."`
	ChooseTime time.Duration `flag:"choose-time" default:"2s" rule:"positive" help:"Longest search in one cycle, a guard for slow machines: what it cuts may differ from run to run. An evaluator called over REST has 3s in all."`
}

// Validate implements config.Validator.
func (c *Config) Validate() error { return c.CheckGRPCTLS() }

// Run serves until ctx ends, and calls started once with the addresses.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	registry := service.NewRegistry()
	logger := cfg.Logger(os.Stderr, "evaluator")
	evaluator := server.New(server.Options{
		Limits:  server.Limits{Proposals: cfg.MaxProposals, Tickets: cfg.MaxTickets, Effort: cfg.Effort, ChooseTime: cfg.ChooseTime},
		Metrics: server.NewMetrics(registry),
		Logger:  logger,
	})
	return service.Run(ctx, service.Options{
		Name:       "evaluator",
		Config:     cfg.Config,
		Logger:     logger,
		GRPCListen: []string{cfg.GRPCListen},
		GRPCTLS:    cfg.GRPCTLS,
		HTTPListen: []string{cfg.HTTPListen},
		Register:   func(s grpc.ServiceRegistrar) { openmatch.RegisterEvaluatorServer(s, evaluator) },
		Registry:   registry,
		Started:    started,
	})
}
