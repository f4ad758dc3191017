// Package placement takes one match to a game server: it allocates the server,
// assigns it to the tickets and announces it, or else undoes what it has done
// and releases the tickets. What to do is decided by a pure function, Decide;
// the rest of the package does it.
package placement

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/director/internal/match"
	"torikumi/director/internal/servers"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Limits of single calls, so that one lost answer does not cost a match all
// of its time.
const (
	allocateTimeout = 10 * time.Second
	callTimeout     = 5 * time.Second
	// cleanupTimeout is for deallocating a server and releasing the tickets
	// after the match's own time has run out.
	cleanupTimeout = 5 * time.Second
)

// Options are what a Placer needs.
type Options struct {
	Backend   openmatch.BackendServiceClient
	Allocator servers.Allocator
	// Addresses say which address of a server players get.
	Addresses servers.Addresses
	// GameServers is nil if servers can neither be listed nor deleted.
	GameServers servers.GameServers
	// Tickets is nil if tickets cannot be read.
	Tickets openmatch.FrontendServiceClient
	// Claims is nil if this is the only director.
	Claims  Claims
	Publish func(*torikumiv1.Announcement)
	// Stopping is closed when no more servers are to be allocated.
	Stopping <-chan struct{}
	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Placer places matches. It is safe for concurrent use.
type Placer struct {
	opts                                            Options
	metrics                                         metrics
	allocator, supply, gameServers, backend, claims *rpc.Health
}

// New makes a Placer and registers its metrics.
func New(o Options) *Placer {
	return &Placer{
		opts:        o,
		metrics:     newMetrics(o.Registry),
		allocator:   rpc.NewHealth(o.Logger, "allocator lost", "allocator recovered"),
		supply:      rpc.NewHealth(o.Logger, "no game server is ready", "game servers are ready again"),
		gameServers: rpc.NewHealth(o.Logger, "game server list lost", "game server list recovered"),
		claims:      rpc.NewHealth(o.Logger, "claims of tickets lost", "claims of tickets recovered"),
		backend:     rpc.NewHealth(o.Logger, "assignment of tickets lost", "assignment of tickets recovered"),
	}
}

// Job is one match to place.
type Job struct {
	Match   *match.Match
	Servers servers.Selector
	// MinPlayers is the size of the smallest match; with fewer players left the
	// assignment is withdrawn. Any number will do when 0.
	MinPlayers int
	// Acceptance is nil if players are not asked.
	Acceptance *Acceptance
	// Allocated is called when the match has a server; it may make the match wait.
	Allocated func()
	// ReleaseBy is when Open Match may have the tickets matched again.
	ReleaseBy time.Time
	// Releasing is called before the tickets are released: from then on they
	// can come back in another match, even before the release is answered.
	Releasing func()
}

// Place does all there is to do for a match, and returns what became of it.
// work ends when the match's time is over, and cleanup when its tickets may be
// somebody else's or nothing may be called any more.
func (p *Placer) Place(work, cleanup context.Context, job Job) Outcome {
	t := &task{
		Placer: p, job: job, token: rand.Text(),
		log: p.opts.Logger.With("match", job.Match.ID, "queue", job.Match.Queue),
	}
	state := Start(p.opts.Claims != nil, job.Acceptance != nil, p.opts.GameServers != nil && !job.Servers.Shared(), p.opts.Tickets != nil)
	for {
		phase := p.phase(work)
		step := Decide(state, phase)
		if step == End {
			return t.end(state)
		}
		result := t.do(work, cleanup, step)
		next := Apply(state, step, result)
		if next.Stage == GivenUp {
			t.cause = cause(step, result, phase)
			if errors.Is(t.why, errNoTime) {
				t.cause = CauseTimeout
			}
		}
		if step == Ask && result == Done {
			// The stamp of the server says so.
			var cancel context.CancelFunc
			work, cancel = context.WithTimeout(work, job.Acceptance.Timeout)
			defer cancel()
		}
		wait := Waits(state, step, result)
		if state = next; wait {
			t.pause(work, state.Stage)
		}
	}
}

func (p *Placer) phase(work context.Context) Phase {
	if work.Err() != nil {
		return Over
	}
	select {
	case <-p.opts.Stopping:
		return Stopping
	default:
		return Open
	}
}

// task is one match that is being placed.
type task struct {
	*Placer
	job        Job
	log        *slog.Logger
	server     servers.Server
	endpoint   servers.Endpoint // of server
	allocating bool             // allocation has been tried
	details    *torikumiv1.AssignmentDetails
	assignment *openmatch.Assignment
	missing    map[string]bool
	// cause and why say why the match is given up; why is nil if there is no more to
	// say.
	cause   Cause
	why     error
	backoff rpc.Backoff
	// token names this try in claims. claimed says that the tickets are ours, others
	// which are not, or do not wait any more.
	token   string
	claimed bool
	others  []string
	// confirming says that the claim may be confirmed.
	confirming bool
	// proposal is what players were asked; nil: nothing.
	proposal *torikumiv1.Proposal
}

// do takes one step: on the match's own time, or afterwards to undo it.
func (t *task) do(work, cleanup context.Context, step Step) Result {
	switch step {
	case Claim:
		return t.claim(work)
	case Ask:
		return t.ask(work)
	case Adopt:
		return t.adopt(work)
	case Allocate:
		return t.allocate(work)
	case Assign:
		return t.assign(work)
	case GiveUp:
		return Done
	}
	ctx, cancel := context.WithTimeout(cleanup, cleanupTimeout)
	defer cancel()
	switch step {
	case Verify:
		return t.verify(ctx)
	case Announce:
		return t.announce(ctx)
	case Withdraw:
		return t.withdraw(ctx)
	case DeleteExtra:
		return t.deleteExtra(ctx)
	case Deallocate:
		return t.deallocate(ctx)
	default:
		return t.release(ctx)
	}
}

// pause waits before the next try, until the match's time is over; if only a server
// is wanted, until the director stops.
func (t *task) pause(work context.Context, s Stage) {
	stopping := t.opts.Stopping
	if s == Unclaimed || s == Allocated || s == AssignUnknown {
		stopping = nil
	}
	select {
	case <-time.After(t.backoff.Next()):
	case <-work.Done():
	case <-stopping:
	}
}

// end logs one line for each match that is not played.
func (t *task) end(s State) Outcome {
	o := s.Stage.outcome()
	if o == OutcomeReleased && t.cause == CauseNotAccepted {
		o = OutcomeNotAccepted
	}
	server := ""
	if t.server.Name != "" {
		server = t.server.ID()
	}
	log := t.log.With("gameserver", server, "tickets", t.job.Match.Tickets)
	switch {
	case o == OutcomeAssigned:
		log.Debug("match assigned")
	case o == OutcomeNotAccepted:
		log.Info("match not accepted", "out", t.others)
	case o == OutcomeAbandoned && t.why == nil:
		log.Debug("match abandoned: none of its tickets is there any more")
	case o == OutcomeAbandoned:
		log.Warn("match abandoned: none of its tickets is there any more", "error", t.why)
	case o == OutcomeWithdrawn:
		log.Info("too few players were left: assignment withdrawn", "left", t.left())
	case o == OutcomeSuperseded:
		log.Warn("another director has taken the match's tickets over")
	case o == OutcomeUnknown:
		log.Warn("unknown whether match is assigned; its game server is left running")
	default:
		log.Warn("match given up", "outcome", o, "cause", cmp.Or(t.cause, CauseTimeout), "others", t.others,
			"can_deallocate", s.CanList, "error", t.why)
	}
	return o
}
