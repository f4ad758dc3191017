// Package place takes one match to a game server: it allocates the server,
// assigns it to the tickets and announces it, or else undoes what it has done
// and releases the tickets. What to do is decided by a pure function, Decide;
// the rest of the package does it.
package place

import (
	"context"
	"log/slog"
	"time"

	"torikumi/director/internal/bout"
	"torikumi/director/internal/call"
	"torikumi/director/internal/metrics"
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
	// cleanupTimeout is for giving a server back and releasing the tickets
	// after the match's own time has run out.
	cleanupTimeout = 5 * time.Second
)

// Options are what a Placer needs.
type Options struct {
	Backend   openmatch.BackendServiceClient
	Allocator *servers.Allocator
	// GameServers is nil if servers can neither be listed nor given back.
	GameServers servers.GameServers
	// Tickets is nil if tickets cannot be read.
	Tickets openmatch.FrontendServiceClient
	Publish func(*torikumiv1.Announcement)
	// Running ends when no more servers are to be allocated.
	Running context.Context
	Metrics *metrics.Metrics
	Logger  *slog.Logger
	Now     func() time.Time
}

// Placer places matches. It is safe for concurrent use.
type Placer struct {
	Options
	allocator, supply, gameServers, backend *call.Link
}

// New makes a Placer.
func New(o Options) *Placer {
	return &Placer{
		Options:     o,
		allocator:   call.NewLink(o.Logger, "allocator lost", "allocator recovered"),
		supply:      call.NewLink(o.Logger, "no game server is ready", "game servers are ready again"),
		gameServers: call.NewLink(o.Logger, "game server list lost", "game server list recovered"),
		backend:     call.NewLink(o.Logger, "assignment of tickets lost", "assignment of tickets recovered"),
	}
}

// Job is one match to place.
type Job struct {
	Bout  *bout.Bout
	Where servers.Where
	// Deadline is when the match has to be assigned, ReleaseBy when Open Match
	// shows its tickets to others: from then on they are not ours to release.
	Deadline, ReleaseBy time.Time
	// Releasing is called before the tickets are released: from then on they
	// can come back in another match, even before the release is answered.
	Releasing func()
}

// Place does all there is to do for a match, and returns what became of it.
// When work ends, the match's time is over, as at its deadline; when cleanup
// ends, nothing is called any more.
func (p *Placer) Place(work, cleanup context.Context, job Job) Outcome {
	work, cancel := context.WithDeadline(work, job.Deadline)
	defer cancel()
	t := &task{
		Placer: p, Job: job, work: work, cleanup: cleanup,
		state: State{CanLook: p.GameServers != nil, CanVerify: p.Tickets != nil},
		log:   p.Logger.With("match", job.Bout.ID, "queue", job.Bout.Queue),
	}
	for {
		t.state.Over = work.Err() != nil
		t.state.Stopping = p.Running.Err() != nil
		step := Decide(t.state)
		if step == End {
			return t.end()
		}
		t.do(step)
	}
}

// task is one match on its way.
type task struct {
	*Placer
	Job
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
	case Look:
		t.look()
	case Allocate:
		t.allocate()
	case Assign:
		t.assign()
	case Verify:
		t.verify()
	case Announce:
		t.announce()
	case Sweep:
		t.sweep()
	case GiveBack:
		t.giveBack()
	case Release:
		t.release()
	case End:
	}
}

// pause waits before the next try, until the match's time is over; without a
// server, until the director stops.
func (t *task) pause() {
	ctx, cancel := context.WithCancel(t.work)
	defer cancel()
	if !t.state.Server {
		defer context.AfterFunc(t.Running, cancel)()
	}
	_ = t.backoff.Wait(ctx) // the next step sees why it has ended
}

// afterwards is the time for undoing: it begins when the match's own is over,
// and ends before the tickets are somebody else's.
func (t *task) afterwards() (context.Context, context.CancelFunc) {
	by := t.Now().Add(cleanupTimeout)
	if t.ReleaseBy.Before(by) {
		by = t.ReleaseBy
	}
	return context.WithDeadline(t.cleanup, by)
}

func (t *task) end() Outcome {
	o := t.state.outcome(t.released)
	switch {
	case o == OutcomeAssigned:
		t.log.Debug("match assigned", "gameserver", t.server.ID(), "tickets", len(t.Bout.Tickets)-len(t.missing))
	case o == OutcomeKept:
		t.log.Warn("unclear whether match is assigned; its game server is kept", "gameserver", t.server.ID())
	case t.state.Server && !t.state.GivenBack:
		t.log.Warn("game server left to its no-show time-out", "gameserver", t.server.ID(), "outcome", o)
	default:
		t.log.Debug("match not assigned", "outcome", o)
	}
	return o
}
