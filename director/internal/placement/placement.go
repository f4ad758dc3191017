// Package placement takes one match to a game server: it allocates the server,
// assigns it to the tickets and announces it, or else undoes what it has done
// and releases the tickets. What to do is decided by a pure function, Decide;
// the rest of the package does it.
package placement

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/director/internal/call"
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
	Allocator *servers.Allocator
	// GameServers is nil if servers can neither be listed nor deleted.
	GameServers servers.GameServers
	// Tickets is nil if tickets cannot be read.
	Tickets openmatch.FrontendServiceClient
	Publish func(*torikumiv1.Announcement)
	// Stopping is closed when no more servers are to be allocated.
	Stopping <-chan struct{}
	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Placer places matches. It is safe for concurrent use.
type Placer struct {
	opts                                    Options
	metrics                                 metrics
	allocator, supply, gameServers, backend *call.Link
}

// New makes a Placer and registers its metrics.
func New(o Options) *Placer {
	return &Placer{
		opts:        o,
		metrics:     newMetrics(o.Registry),
		allocator:   call.NewLink(o.Logger, "allocator lost", "allocator recovered"),
		supply:      call.NewLink(o.Logger, "no game server is ready", "game servers are ready again"),
		gameServers: call.NewLink(o.Logger, "game server list lost", "game server list recovered"),
		backend:     call.NewLink(o.Logger, "assignment of tickets lost", "assignment of tickets recovered"),
	}
}

// Job is one match to place.
type Job struct {
	Match   *match.Match
	Servers servers.Selector
	// Releasing is called before the tickets are released: from then on they
	// can come back in another match, even before the release is answered.
	Releasing func()
}

// Place does all there is to do for a match, and returns what became of it.
// work ends when the match's time is over, and cleanup when its tickets may be
// somebody else's or nothing may be called any more.
func (p *Placer) Place(work, cleanup context.Context, job Job) Outcome {
	t := &task{
		Placer: p, job: job, work: work, cleanup: cleanup,
		state: State{CanList: p.opts.GameServers != nil, CanRead: p.opts.Tickets != nil},
		log:   p.opts.Logger.With("match", job.Match.ID, "queue", job.Match.Queue),
	}
	for {
		t.state.Over = work.Err() != nil
		t.state.Stopping = p.stopping()
		step := Decide(t.state)
		if step == End {
			return t.end()
		}
		t.do(step)
	}
}

func (p *Placer) stopping() bool {
	select {
	case <-p.opts.Stopping:
		return true
	default:
		return false
	}
}

// task is one match on its way.
type task struct {
	*Placer
	job           Job
	work, cleanup context.Context
	log           *slog.Logger
	state         State
	server        servers.Server
	details       *torikumiv1.AssignmentDetails
	assignment    *openmatch.Assignment
	missing       map[string]bool
	released      bool
	backoff       rpc.Backoff
}

func (t *task) do(step Step) {
	switch step {
	case Adopt:
		t.adopt()
	case Allocate:
		t.allocate()
	case Assign:
		t.assign()
	case Verify:
		t.verify()
	case Announce:
		t.announce()
	case DeleteExtra:
		t.deleteExtra()
	case Deallocate:
		t.deallocate()
	case Release:
		t.release()
	case End:
	}
}

// pause waits before the next try, until the match's time is over; without a
// server, until the director stops.
func (t *task) pause() {
	stopping := t.opts.Stopping
	if t.state.Server {
		stopping = nil
	}
	timer := time.NewTimer(t.backoff.Next())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.work.Done():
	case <-stopping:
	}
}

func (t *task) end() Outcome {
	o := t.state.outcome(t.released)
	switch {
	case o == OutcomeAssigned:
		t.log.Debug("match assigned", "gameserver", t.server.ID(), "tickets", len(t.job.Match.Tickets)-len(t.missing))
	case o == OutcomeUnknown:
		t.log.Warn("unknown whether match is assigned; its game server is left running", "gameserver", t.server.ID())
	case t.state.Server && !t.state.Deallocated:
		t.log.Warn("game server left to its no-show time-out", "gameserver", t.server.ID(), "outcome", o)
	default:
		t.log.Debug("match not assigned", "outcome", o)
	}
	return o
}
