// Package evaluator starts the evaluator: the service that Open Match asks
// which of the proposed matches may stand.
package evaluator

import (
	"context"
	"errors"
	"net"
	"os"

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
}

// Validate tells which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	for _, a := range []struct{ flag, value string }{{"grpc-listen", c.GRPCListen}, {"http-listen", c.HTTPListen}} {
		if _, _, err := net.SplitHostPort(a.value); err != nil {
			errs = append(errs, config.Invalid(a.flag, "must be host:port", a.value))
		}
	}
	if c.MaxProposals < 1 {
		errs = append(errs, config.Invalid("max-proposals", "must be at least 1", c.MaxProposals))
	}
	if c.MaxTickets < 1 {
		errs = append(errs, config.Invalid("max-tickets", "must be at least 1", c.MaxTickets))
	}
	return errors.Join(errs...)
}

// Run serves until ctx ends, and calls started once with the addresses.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	registry := service.NewRegistry()
	limits := server.Limits{Proposals: cfg.MaxProposals, Tickets: cfg.MaxTickets}
	evaluator := server.New(limits, server.NewMetrics(registry))
	return service.Run(ctx, service.Options{
		Name:       "evaluator",
		Config:     cfg.Config,
		Logger:     cfg.Logger(os.Stderr, "evaluator"),
		GRPCListen: []string{cfg.GRPCListen},
		HTTPListen: []string{cfg.HTTPListen},
		Register:   func(s grpc.ServiceRegistrar) { openmatch.RegisterEvaluatorServer(s, evaluator) },
		Registry:   registry,
		Started:    started,
	})
}
