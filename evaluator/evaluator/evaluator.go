// Package evaluator starts the evaluator: the service that Open Match asks
// which of the proposed matches may stand.
package evaluator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"

	"torikumi/evaluator/internal/server"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

// Config holds the settings; the zero value is not valid, config.Default
// fills it.
type Config struct {
	service.Config

	GRPCListen   string `flag:"grpc-listen" default:"127.0.0.1:50508" help:"Address of the evaluator API, host:port; port 0 is any free one."`
	HTTPListen   string `flag:"http-listen" default:"127.0.0.1:51508" help:"Address for health and metrics, host:port; port 0 is any free one."`
	MaxProposals int    `flag:"max-proposals" default:"1000000" help:"Most proposals in one cycle; with more the cycle fails, which bounds the memory."`
	MaxTickets   int    `flag:"max-tickets" default:"10000000" help:"Most tickets in all proposals of one cycle together; with more the cycle fails."`

	Effort     int           `flag:"effort" default:"100" help:"Steps of search for each ticket of a proposal, some nanoseconds each: more finds a higher sum of scores where collisions spread wide, and takes longer; 0 is the choice of Open Match's own evaluator."`
	ChooseTime time.Duration `flag:"choose-time" default:"2s" help:"Longest search in one cycle, a guard for slow machines: what it cuts may differ from run to run. An evaluator called over REST has 3s in all."`
}

const (
	// mostTickets keeps the numbers of proposals, tickets and backfills within 32
	// bits, all together.
	mostTickets = 1 << 29
	// mostEffort is hours of search.
	mostEffort = 1_000_000
)

// Validate tells which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	for _, a := range []struct{ flag, value string }{{"grpc-listen", c.GRPCListen}, {"http-listen", c.HTTPListen}} {
		if _, _, err := net.SplitHostPort(a.value); err != nil {
			errs = append(errs, config.Invalid(a.flag, "must be host:port", a.value))
		}
	}
	if c.MaxProposals < 1 || c.MaxProposals > mostTickets {
		errs = append(errs, config.Invalid("max-proposals", fmt.Sprintf("must be from 1 to %d", mostTickets), c.MaxProposals))
	}
	if c.MaxTickets < 1 || c.MaxTickets > mostTickets {
		errs = append(errs, config.Invalid("max-tickets", fmt.Sprintf("must be from 1 to %d", mostTickets), c.MaxTickets))
	}
	if c.Effort < 0 || c.Effort > mostEffort {
		errs = append(errs, config.Invalid("effort", fmt.Sprintf("must be from 0 to %d", mostEffort), c.Effort))
	}
	if c.ChooseTime <= 0 {
		errs = append(errs, config.Invalid("choose-time", "must be above 0", c.ChooseTime))
	}
	return errors.Join(errs...)
}

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
		HTTPListen: []string{cfg.HTTPListen},
		Register:   func(s grpc.ServiceRegistrar) { openmatch.RegisterEvaluatorServer(s, evaluator) },
		Registry:   registry,
		Started:    started,
	})
}
