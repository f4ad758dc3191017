// Package runner serves openmatch.MatchFunction. On the player's path it is
// called by Open Match once per profile and cycle: it reads the profile's
// pools from the query service, has the engine of the queue's rules search
// them, and streams the proposals back. It keeps no state between calls, so
// any replica can serve any queue.
package runner

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/matchfunction/internal/engine"
	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/tickets"
	"torikumi/proto/openmatch"
)

const (
	// batch is the number of proposals that are sorted and sent together.
	batch = 512
	// poolsAtOnce bounds the queries of one call.
	poolsAtOnce = 4
	// smallPool is how many tickets are read again rather than kept.
	smallPool = 500
	// maxProposal is the most bytes that Open Match takes of a match function in
	// one message. One that is larger would end the run.
	maxProposal = 4 << 20
	// explainTimeout is about the longest time that explaining adds to a run.
	explainTimeout = 200 * time.Millisecond
)

// Options are what a Runner needs.
type Options struct {
	// Name stands in every proposal as its match function.
	Name  string
	Query openmatch.QueryServiceClient
	// Compiler understands the profiles.
	Compiler *engine.Compiler
	// RunTimeout bounds a call: what has been found by then is proposed. Open
	// Match drops what comes after its proposalCollectionInterval, and all
	// profiles wait for the slowest call.
	RunTimeout time.Duration
	// KeepTickets is how many tickets are kept from run to run.
	KeepTickets int
	// Explain has the tickets that frontends ask for; nil if there are none.
	Explain *explain.Server
	// QueryTimeout bounds reading all pools: one slow match function delays
	// every profile.
	QueryTimeout time.Duration
	Metrics      *Metrics
	Logger       *slog.Logger
	Now          func() time.Time
}

// Runner implements openmatch.MatchFunctionServer. It is safe for concurrent
// use.
type Runner struct {
	openmatch.UnimplementedMatchFunctionServer
	options Options

	tickets *tickets.Reader

	mu        sync.Mutex
	oversized sync.Once
	// complained is, by profile, the broken ticket last logged, so that one
	// that stays is not logged again in every cycle.
	complained map[string]string
}

// New makes a Runner.
func New(o Options) *Runner {
	r := &Runner{options: o, complained: make(map[string]string)}
	r.tickets = &tickets.Reader{Query: o.Query, Most: o.KeepTickets, Least: smallPool, Now: o.Now, Whole: o.Metrics.whole.Inc, TooLarge: r.pageTooLarge}
	return r
}

// Run implements openmatch.MatchFunctionServer. Codes: InvalidArgument for a
// profile that is not understood, Unavailable when the pools cannot be read.
func (r *Runner) Run(req *openmatch.RunRequest, stream grpc.ServerStreamingServer[openmatch.RunResponse]) error {
	profile, err := r.options.Compiler.Compile(req.GetProfile())
	if err != nil {
		return status.Error(codes.InvalidArgument, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	started := time.Now()
	defer func() {
		r.options.Metrics.runTime.WithLabelValues(profile.Queue).Observe(time.Since(started).Seconds())
	}()

	ctx := stream.Context()
	pool, err := r.read(ctx, profile)
	if err != nil {
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		r.options.Logger.WarnContext(ctx, "pools cannot be read", "queue", profile.Queue, "error", err)
		return status.Error(codes.Unavailable, "the query service cannot be read")
	}
	return r.propose(ctx, profile, pool, started.Add(r.options.RunTimeout), stream.Send)
}

// contents is what the pools of a profile hold.
type contents struct {
	tickets   []tickets.Read
	backfills []*openmatch.Backfill
}

func (r *Runner) read(ctx context.Context, p *engine.Profile) (*contents, error) {
	ctx, cancel := context.WithTimeout(ctx, r.options.QueryTimeout)
	defer cancel()
	read, backfills := make([][]tickets.Read, len(p.Pools)), make([][]*openmatch.Backfill, len(p.Pools))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(poolsAtOnce)
	for i, pool := range p.Pools {
		g.Go(func() error {
			var err error
			if read[i], err = r.tickets.Read(ctx, pool); err != nil {
				return fmt.Errorf("query pool %q: %w", pool.GetName(), err)
			}
			return nil
		})
		if !p.Engine.Fills() {
			continue
		}
		g.Go(func() error {
			var err error
			if backfills[i], err = r.tickets.Backfills(ctx, pool); err != nil {
				return fmt.Errorf("query the backfills of pool %q: %w", pool.GetName(), err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return &contents{slices.Concat(read...), slices.Concat(backfills...)}, nil
}

// propose searches and sends. Proposals leave in batches, each with the best
// first, while the search goes on, until the deadline.
func (r *Runner) propose(ctx context.Context, p *engine.Profile, of *contents, deadline time.Time, send func(*openmatch.RunResponse) error) error {
	now := r.options.Now()
	left := &leftOut{metrics: r.options.Metrics, queue: p.Queue}
	pool := engine.Pool{Tickets: p.Admit(of.tickets, now, left.add), Backfills: engine.AdmitBackfills(of.backfills)}
	r.options.Metrics.tickets.WithLabelValues(p.Queue).Add(float64(len(pool.Tickets) + left.count))
	searching, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()

	run := rand.Text() // never the same twice
	found := make([]engine.Match, 0, batch)
	flush := func() error {
		slices.SortStableFunc(found, func(a, b engine.Match) int { return cmp.Compare(b.Score, a.Score) })
		for _, m := range found {
			proposal, err := newProposal(run, r.options.Name, p, m)
			if err != nil {
				r.options.Logger.ErrorContext(ctx, "proposal cannot be packed", "queue", p.Queue, "error", err)
				return status.Error(codes.Internal, "internal error")
			}
			message := &openmatch.RunResponse{Proposal: proposal}
			if proto.Size(message) > maxProposal {
				for _, t := range m.Tickets {
					left.add(t, tooLarge)
				}
				continue
			}
			if err := send(message); err != nil {
				return err
			}
			r.options.Metrics.proposals.WithLabelValues(p.Queue).Inc()
		}
		found = found[:0]
		return nil
	}
	asked, matched := r.asked(), make(map[string]bool)
	for m := range p.Engine.Search(searching, pool, now, left.add) {
		if asked {
			for _, t := range m.Tickets {
				matched[t.GetId()] = true
			}
		}
		if found = append(found, m); len(found) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return status.FromContextError(err).Err()
	}
	if searching.Err() != nil {
		r.options.Metrics.cut.WithLabelValues(p.Queue).Inc()
		r.options.Logger.WarnContext(ctx, "the run was cut short; what had been found is proposed", "queue", p.Queue, "tickets", len(pool.Tickets), "after", r.options.RunTimeout)
	}
	if err := flush(); err != nil {
		return err
	}
	r.complain(ctx, p, left)
	if asked {
		r.explain(searching, p, pool, matched, now)
	}
	return nil
}

// asked reports whether a frontend wants to know why tickets wait.
func (r *Runner) asked() bool { return r.options.Explain != nil && r.options.Explain.Wanted() }

// explain looks why tickets that are asked for are in no match. The proposals
// are on their way by then; a run that has used up its time explains nothing.
func (r *Runner) explain(ctx context.Context, p *engine.Profile, pool engine.Pool, matched map[string]bool, now time.Time) {
	explainer, ok := p.Engine.(engine.Explainer)
	if !ok || ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	positions := r.options.Explain.Pick(len(pool.Tickets), func(i int) string {
		if id := pool.Tickets[i].Ticket.GetId(); !matched[id] {
			return id
		}
		return "" // no ticket's id
	})
	if len(positions) > 0 {
		r.options.Explain.Learn(explainer.Why(ctx, pool, positions, now))
	}
}
