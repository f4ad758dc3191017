package director

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"torikumi/director/internal/backfill"
	"torikumi/director/internal/review"
	"torikumi/pkg/config"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// GateConfig is where gates ask for players.
type GateConfig struct {
	GateListen   string `flag:"gate-listen" rule:"listen" help:"Address where gates ask for players for running matches (torikumi.v1.BackfillService), and nothing else is served; none: no match is filled up."`
	GateCert     string `flag:"gate-cert" help:"PEM file with the certificate of --gate-listen, and those of the authorities between. This file and the next are read again for each new connection."`
	GateKey      string `flag:"gate-key" help:"PEM file with the key of that certificate."`
	GateInsecure bool   `flag:"gate-insecure" default:"false" help:"Serve gates in plain text: whoever is between sees their tokens. For one machine only."`
}

// checkGate reports what is missing for gates, or contradicts.
func (c *Config) checkGate() error {
	var errs []error
	for _, f := range []struct{ name, value string }{{"gate-cert", c.GateCert}, {"gate-key", c.GateKey}} {
		switch {
		case c.GateListen == "" && f.value != "":
			errs = append(errs, config.Invalid(f.name, "must not be given without --gate-listen", f.value))
		case c.GateInsecure && f.value != "":
			errs = append(errs, config.Invalid(f.name, "must not be given together with --gate-insecure", f.value))
		case c.GateListen != "" && !c.GateInsecure && f.value == "":
			errs = append(errs, config.Missing(f.name, "gates are served over TLS, unless --gate-insecure is set"))
		}
	}
	if c.GateListen == "" {
		if c.GateInsecure {
			errs = append(errs, config.Invalid("gate-insecure", "must not be given without --gate-listen", true))
		}
		return errors.Join(errs...)
	}
	if c.GameServers == "" {
		errs = append(errs, config.Missing("gameservers", "with --gate-listen: who was found is written into the roster of the game server"))
	}
	if c.Frontend == "" {
		errs = append(errs, config.Missing("open-match-frontend", "with --gate-listen: it has the backfills"))
	}
	return errors.Join(errs...)
}

// checkBackfill refuses queues that fill matches up if no gate can ask for it.
func (c *Config) checkBackfill(set *queues.Set) error {
	var errs []error
	for i, q := range set.Queues {
		if q.Backfill != nil && c.GateListen == "" {
			errs = append(errs, fmt.Errorf("queues[%d].backfill: must not be there without --gate-listen, by which gates ask for players", i))
		}
	}
	return errors.Join(errs...)
}

// Limits of what a gate may send and keep open.
const (
	maxGateRequest = 64 << 10
	maxGateCalls   = 16
	gateIdle       = 5 * time.Minute
	gateHandshake  = 10 * time.Second
)

// gateServer serves gates on a listener of its own.
type gateServer struct {
	lis  net.Listener
	grpc *grpc.Server
	cfg  *Config
	log  *slog.Logger
}

// listenForGates opens the listener; nil if there is none.
func listenForGates(ctx context.Context, cfg *Config, registry prometheus.Registerer, log *slog.Logger) (*gateServer, error) {
	if cfg.GateListen == "" {
		return nil, nil
	}
	log = log.With("listener", "gate")
	opts := append(rpc.ServerOptions(prometheus.WrapRegistererWithPrefix("torikumi_director_gate_", registry), log),
		grpc.MaxRecvMsgSize(maxGateRequest), grpc.MaxConcurrentStreams(maxGateCalls), grpc.ConnectionTimeout(gateHandshake), rpc.EndIdle(gateIdle))
	if !cfg.GateInsecure {
		c, err := rpc.ServerTLS(cfg.GateCert, cfg.GateKey, "")
		if err != nil {
			return nil, fmt.Errorf("--gate-cert, --gate-key: %w", err)
		}
		opts = append(opts, grpc.Creds(credentials.NewTLS(c)))
	}
	lis, err := service.Listen(ctx, cfg.GateListen)
	if err != nil {
		return nil, fmt.Errorf("listen for gates: %w", err)
	}
	return &gateServer{lis: lis, grpc: grpc.NewServer(opts...), cfg: cfg, log: log}, nil
}

// run serves until ctx ends, and then lets calls under way end.
func (g *gateServer) run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- g.grpc.Serve(g.lis) }()
	g.log.Info("gates are served", "address", g.lis.Addr().String())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	limit := time.AfterFunc(g.cfg.ShutdownTimeout, g.grpc.Stop)
	defer limit.Stop()
	g.grpc.GracefulStop()
	return <-ended
}

// filler fills matches up, and answers gates.
func (d *director) filler() (*backfill.Filler, error) {
	reviewer, err := d.others.reviewer()
	if err != nil {
		return nil, err
	}
	o := backfill.Options{
		Frontend: openmatch.NewFrontendServiceClient(d.others.frontend), Backend: openmatch.NewBackendServiceClient(d.others.backend),
		GameServers: d.others.gameServers, Addresses: d.others.addresses, Queues: d.queues, Reviewer: reviewer, PendingRelease: d.cfg.PendingReleaseTimeout,
		Publish: d.broadcaster.Publish, Registry: d.registry, Logger: d.log,
	}
	if d.others.claims != nil {
		o.Claims = d.others.claims
	}
	f := backfill.New(o)
	torikumiv1.RegisterBackfillServiceServer(d.gates.grpc, f)
	return f, nil
}

// reviewer looks at the tokens of gates: the API server of each cluster, or what lists
// the game servers.
func (o *others) reviewer() (review.Reviewer, error) {
	if o.fleet != nil {
		return review.NewCached(review.NewRemote(o.fleet)), nil
	}
	var all review.Clusters
	for _, c := range o.clusters {
		r, err := c.Reviewer()
		if err != nil {
			return nil, err
		}
		all = append(all, review.Cluster{Name: c.file, Reviewer: r})
	}
	if len(all) == 1 {
		all[0].Name = "" // so that its servers are called
	}
	return review.NewCached(all), nil
}
