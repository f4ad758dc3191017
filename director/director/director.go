// Package director runs the director: for each queue it fetches matches from
// Open Match, gets each a game server from Agones, assigns the server to the
// match's tickets and announces that to the frontends. What it cannot place,
// it releases at once. Several directors may run on the same queues.
package director

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"torikumi/director/internal/announce"
	"torikumi/director/internal/backfill"
	"torikumi/director/internal/fetch"
	"torikumi/director/internal/placement"
	"torikumi/director/internal/played"
	"torikumi/director/internal/proposal"
	"torikumi/director/internal/servers"
	"torikumi/pkg/queues"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Run is that of a Program without Kubernetes.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	return Program{}.Run(ctx, cfg, started)
}

// Program is a director with what not every program that runs one links.
type Program struct {
	// Kubernetes is for --allocator and --gameservers; nil if they cannot be
	// "kubernetes".
	Kubernetes servers.Kubernetes
}

// Run serves until ctx ends. Then it fetches no more, finishes the matches
// that have a game server and releases the others, within the shutdown
// timeout. started is called once everything listens. Any number of directors
// may run in one process.
func (p Program) Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	function, err := cfg.function()
	if err != nil {
		return err
	}
	log := cfg.Logger(os.Stderr, "director")
	registry := service.NewRegistry()
	accept := new(acceptance)
	live, err := queues.NewLive(queues.LiveOptions{
		Path: cfg.Queues, Checks: cfg.checks(), Accept: accept.check, Registry: registry, Logger: log,
	})
	if err != nil {
		return err
	}
	others, err := connect(cfg, p.Kubernetes, live.Current(), registry, log)
	if err != nil {
		return err
	}
	defer others.close()
	accept.only(cfg, live.Current())

	gates, err := listenForGates(ctx, cfg, registry, log)
	if err != nil {
		return err
	}
	broadcaster := announce.New(cfg.AnnounceBuffer, registry)
	d := &director{
		cfg: cfg, queues: live, function: function, others: others, gates: gates,
		registry: registry, broadcaster: broadcaster, proposals: proposal.New(broadcaster.Send), log: log,
	}
	background := append(others.background, live.Run, d.run)
	if gates != nil {
		defer func() { _ = gates.lis.Close() }() // if it was never served
		if d.fills, err = d.filler(); err != nil {
			return err
		}
		background = append(background, gates.run)
	}
	return service.Run(ctx, service.Options{
		Name:       "director",
		Config:     cfg.Config,
		Logger:     d.log,
		GRPCListen: []string{cfg.GRPCListen}, GRPCTLS: cfg.GRPCTLS,
		HTTPListen: []string{cfg.HTTPListen},
		Register: func(r grpc.ServiceRegistrar) {
			torikumiv1.RegisterAnnouncementServiceServer(r, broadcaster)
			torikumiv1.RegisterAcceptanceServiceServer(r, d.proposals)
			torikumiv1.RegisterMatchServiceServer(r, &played.Server{GameServers: others.gameServers, Queues: live, Logger: log})
		},
		Ready:      others.ready,
		Background: background,
		Registry:   registry,
		Started:    started,
	})
}

// director is one running director.
type director struct {
	cfg      *Config
	queues   queues.Source
	function *openmatch.FunctionConfig
	others   *others
	// gates and fills are nil if no match is filled up.
	gates       *gateServer
	fills       *backfill.Filler
	registry    *prometheus.Registry
	broadcaster *announce.Broadcaster
	proposals   *proposal.Proposals
	log         *slog.Logger
}

// run fetches and places matches until ctx ends, and then drains. The drain has
// three quarters of the shutdown timeout to finish matches and the rest to
// release what is left, so that the streams of announcements can end in time.
func (d *director) run(ctx context.Context) error {
	defer d.broadcaster.Close()
	work, endWork := context.WithCancel(context.WithoutCancel(ctx))
	defer endWork()
	cleanup, endCleanup := context.WithCancel(context.WithoutCancel(ctx))
	defer endCleanup()
	limit := d.cfg.ShutdownTimeout
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(limit*3/4, endWork)
		time.AfterFunc(limit*9/10, endCleanup)
	})()

	backend := openmatch.NewBackendServiceClient(d.others.backend)
	metrics := fetch.NewMetrics(d.registry)
	intake := d.intake(ctx.Done(), backend, metrics)
	loops := loops{
		cfg: d.cfg, log: d.log, running: make(map[string]*loop),
		start: func(ctx context.Context, l *loop) {
			fetch.Loop(ctx, work, fetch.LoopOptions{
				Queue: l.name, Backend: backend, Function: d.function, Profile: func() *openmatch.MatchProfile { return l.current.Load().profile },
				Accept: func(m *openmatch.Match, since time.Time) bool {
					return intake.Accept(work, cleanup, l.current.Load().queue, m, since)
				},
				Failing:      func() bool { return intake.Failing(l.name) },
				IdleInterval: d.cfg.IdleInterval,
				Silence:      d.cfg.FetchSilence,
				Metrics:      metrics,
				Logger:       d.log,
			})
		},
	}
	loops.follow(ctx, d.queues)
	intake.Drain()
	return nil
}

func (d *director) intake(stopping <-chan struct{}, backend openmatch.BackendServiceClient, m *fetch.Metrics) *fetch.Intake {
	o := placement.Options{
		Backend:     backend,
		Allocator:   d.others.allocator,
		Addresses:   d.others.addresses,
		GameServers: d.others.gameServers,
		Publish:     d.broadcaster.Publish,
		Stopping:    stopping,
		Registry:    d.registry,
		Logger:      d.log,
	}
	if d.others.frontend != nil {
		o.Tickets = openmatch.NewFrontendServiceClient(d.others.frontend)
	}
	if d.others.claims != nil {
		o.Claims = d.others.claims
	}
	intake := fetch.IntakeOptions{
		Placer:         placement.New(o),
		Ask:            d.proposals.Ask,
		MaxInFlight:    d.cfg.MaxInFlight,
		MatchTimeout:   d.cfg.MatchTimeout,
		PendingRelease: d.cfg.PendingReleaseTimeout,
		Metrics:        m,
		Logger:         d.log,
	}
	if d.fills != nil {
		intake.Backfill = d.fills.Join
	}
	return fetch.NewIntake(intake)
}
