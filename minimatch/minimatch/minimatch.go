// Package minimatch is Open Match's API in one process, in memory: the frontend,
// backend and query services and the synchronizer between them. It stands where
// Open Match 1.8 stands on the player's path, for a laptop, for tests and for
// studios that run on one machine. Nothing is written to disk: its tickets end
// with it.
//
// Clients see what they see of Open Match 1.8.1, codes included, except that:
//   - An assignment reaches its watchers at once, and waiting costs nothing.
//   - A failed evaluation is heard by its callers at once. Open Match tells them
//     when their match functions have ended by themselves.
//   - When one match function uses a match_id twice, the matches that were
//     accepted still reach the caller, before the error.
//   - Stopping ends streams with Unavailable.
//   - A ticket that joins a backfill twice is assigned once; Open Match fails
//     every later acknowledgement. A match for an expired backfill always fails
//     its call, and a forgotten backfill is removed without cycles too.
//   - GetTicket knows no backfills.
//   - Match functions over REST have no 3 s limit, and the one of evaluators
//     counts from the last proposal on.
//   - Extensions of unknown types are printed over REST; see package anyjson.
//   - The tickets of accepted matches that do not reach their caller wait again
//     at once. Neither they nor a backfill's end release a ticket of another match.
//   - Proposals are bounded in number and in bytes: ResourceExhausted. So is
//     what would make a ticket or backfill too large for a page or a message.
//   - A match function's address that can be none is InvalidArgument.
//   - A page of a query has at most 4 MiB.
//   - A page size out of bounds stops the start and is not clamped.
package minimatch

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"torikumi/minimatch/internal/backend"
	"torikumi/minimatch/internal/clock"
	"torikumi/minimatch/internal/frontend"
	"torikumi/minimatch/internal/query"
	"torikumi/minimatch/internal/store"
	"torikumi/minimatch/internal/synchronizer"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

const name = "minimatch"

// Run serves until ctx ends, and then stops; see service.Run. started is called
// once, when everything listens. The settings must be valid.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	logger := cfg.Logger(os.Stderr, name)
	m, err := open(cfg, logger)
	if err != nil {
		return err
	}
	defer m.close()
	registry := service.NewRegistry()
	registry.MustRegister(sizes(m.store))
	return service.Run(ctx, service.Options{
		Name:       name,
		Config:     cfg.Config,
		Logger:     logger,
		GRPCListen: cfg.grpcListen(), GRPCTLS: cfg.GRPCTLS,
		HTTPListen: cfg.httpListen(),
		HTTP:       rest,
		WrapHTTP:   protect(cfg.httpListen()),
		Register:   m.register,
		Background: []func(context.Context) error{m.endStreams},
		Registry:   registry,
		Started:    started,
	})
}

type services struct {
	store        *store.Store
	synchronizer *synchronizer.Synchronizer
	functions    *backend.Functions
	evaluator    io.Closer
	stopping     chan struct{}
	pageSize     int
	logger       *slog.Logger
}

func open(cfg *Config, logger *slog.Logger) (*services, error) {
	now := cfg.Clock
	if now == nil {
		now = clock.Real{}
	}
	evaluator, connection, err := openEvaluator(cfg, logger)
	if err != nil {
		return nil, fmt.Errorf("connect to the evaluator: %w", err)
	}
	st := store.New(store.Options{
		Clock:           now,
		PendingTimeout:  cfg.PendingReleaseTimeout,
		AssignedTimeout: cfg.AssignedDeleteTimeout,
	})
	return &services{
		store: st,
		synchronizer: synchronizer.New(synchronizer.Options{
			Clock:        now,
			Evaluator:    evaluator,
			Pending:      st,
			Registration: cfg.RegistrationInterval,
			Collection:   cfg.ProposalCollectionInterval,
			MaxProposals: cfg.MaxProposals, MaxProposalBytes: cfg.MaxProposalBytes,
		}),
		functions: backend.NewFunctions(cfg.dialFunction, logger),
		evaluator: connection,
		stopping:  make(chan struct{}),
		pageSize:  cfg.QueryPageSize,
		logger:    logger,
	}, nil
}

func openEvaluator(cfg *Config, logger *slog.Logger) (synchronizer.Evaluator, io.Closer, error) {
	if cfg.EvaluatorREST != "" {
		r := synchronizer.NewREST(cfg.EvaluatorREST, logger)
		return r, r, nil
	}
	conn, err := cfg.DialPeer("dns:///"+cfg.Evaluator, "")
	if err != nil {
		return nil, nil, err
	}
	return synchronizer.NewRemote(openmatch.NewEvaluatorClient(conn), logger), conn, nil
}

// functionIdle is how long a connection to a match function lasts without calls.
// An address that is used no more is then not dialled for ever.
const functionIdle = 5 * time.Minute

// dialFunction names the resolver: a host may have the name of one, such as dns.
func (c *Config) dialFunction(target string) (*grpc.ClientConn, error) {
	return c.DialPeer("dns:///"+target, "", grpc.WithIdleTimeout(functionIdle))
}

func (m *services) register(r grpc.ServiceRegistrar) {
	openmatch.RegisterFrontendServiceServer(r, frontend.New(m.store, m.stopping))
	openmatch.RegisterBackendServiceServer(r, backend.New(m.store, m.synchronizer, m.functions))
	openmatch.RegisterQueryServiceServer(r, query.New(m.store, m.pageSize))
}

// endStreams ends the watches and the cycle when the service stops: they would
// otherwise last as long as their callers like.
func (m *services) endStreams(ctx context.Context) error {
	<-ctx.Done()
	close(m.stopping)
	m.synchronizer.Close()
	return nil
}

func (m *services) close() {
	m.synchronizer.Close()
	m.store.Close()
	if err := m.functions.Close(); err != nil {
		m.logger.Warn("match function connections did not close", "error", err)
	}
	if err := m.evaluator.Close(); err != nil {
		m.logger.Warn("evaluator connection did not close", "error", err)
	}
}

func sizes(s *store.Store) prometheus.Collector {
	tickets := prometheus.NewDesc("minimatch_tickets", "Tickets in memory by state.", []string{"state"}, nil)
	backfills := prometheus.NewDesc("minimatch_backfills", "Backfills in memory.", nil, nil)
	return prometheus.CollectorFunc(func(ch chan<- prometheus.Metric) {
		size := s.Size()
		for state, n := range map[string]int{"waiting": size.Waiting, "pending": size.Pending, "assigned": size.Assigned} {
			ch <- prometheus.MustNewConstMetric(tickets, prometheus.GaugeValue, float64(n), state)
		}
		ch <- prometheus.MustNewConstMetric(backfills, prometheus.GaugeValue, float64(size.Backfills))
	})
}
