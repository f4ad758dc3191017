package fetch

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"torikumi/director/internal/match"
	"torikumi/director/internal/placement"
	"torikumi/director/internal/proposal"
	"torikumi/director/internal/servers"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// IntakeOptions are what an Intake needs.
type IntakeOptions struct {
	Placer *placement.Placer
	// MaxInFlight is how many matches look for a server at a time; as many more may have
	// one and be assigned.
	MaxInFlight int
	// MatchTimeout is the time for one match. PendingRelease is Open Match's
	// pendingReleaseTimeout, after which it shows the tickets to others.
	MatchTimeout, PendingRelease time.Duration
	// Ask is that of [proposal.Proposals]; nil if no queue has an AcceptTime.
	Ask func(context.Context, *torikumiv1.Proposal) (accepted bool, out []string)
	// Backfill takes a match whose players join one that is running; nil: whoever
	// has made the backfill sees to it alone.
	Backfill func(context.Context, *openmatch.Match)
	Metrics  *Metrics
	Logger   *slog.Logger
}

// Queue is what a queue says of its matches when they are fetched.
type Queue struct {
	Name    string
	Servers servers.Selector
	// Smallest is the size of the smallest match, whatever the match says; 0: what it
	// says, or else MinPlayers.
	Smallest, MinPlayers int
	// AcceptTime is how long players have to accept a match; 0: they are not asked.
	AcceptTime time.Duration
	// Bots fill teams up: at most so many in all.
	Bots  int
	Teams []queues.Team
}

// Intake receives the matches that were fetched: it bounds how many are placed
// at a time, rejects what cannot be played, and finishes all of them when the
// director stops. It is safe for concurrent use.
type Intake struct {
	opts   IntakeOptions
	claims *Claims
	// slots bounds the matches that look for a server, serving those that have one: while
	// one is assigned, the next is allocated.
	slots, serving chan struct{}
	// asking bounds the matches of which players are asked: while they are, those have no
	// slot.
	asking chan struct{}
	wg     sync.WaitGroup
	// failing holds the queues whose last match has failed.
	failing sync.Map
}

// NewIntake makes an Intake.
func NewIntake(o IntakeOptions) *Intake {
	return &Intake{
		opts: o, claims: NewClaims(o.PendingRelease),
		slots: make(chan struct{}, o.MaxInFlight), serving: make(chan struct{}, o.MaxInFlight), asking: make(chan struct{}, maxAsking),
	}
}

// maxAsking is how many matches wait for their players at a time.
const maxAsking = 256

// AskMargin is what a match takes besides the time that its players have to accept it, and
// the one that it has after that: to be claimed, and to hear of the answers.
const AskMargin = proposal.Grace + 1500*time.Millisecond

// PlaceBy is how long after it was fetched a match has to be placed, so that its tickets
// can be released while they are still ours.
func PlaceBy(pendingRelease time.Duration) time.Duration { return pendingRelease * 9 / 10 }

// Accept starts to place a match, after waiting until there is room for it. The
// match left Open Match at the earliest at since. Accept reports whether it had
// to wait. When work ends, the time of all matches is over, and a match that
// still waits here is dropped; when cleanup ends, nothing is called any more.
func (i *Intake) Accept(work, cleanup context.Context, q Queue, m *openmatch.Match, since time.Time) (waited bool) {
	places := seats{i.slots}
	if q.AcceptTime > 0 {
		places = seats{i.slots, i.asking}
	}
	for n := len(places) - 1; n >= 0; n-- {
		had, ok := take(work, places[n])
		waited = waited || had
		if !ok {
			places[n+1:].leave()
			i.count(q.Name, placement.OutcomePending)
			return waited
		}
	}
	end := i.opts.Metrics.begin()
	i.wg.Go(func() {
		defer func() {
			end()
			places.leave()
		}()
		i.count(q.Name, i.handle(work, cleanup, q, m, since, func() { places.move(work, i.serving) }))
	})
	return waited
}

// take takes a place, and reports whether it had to wait, and has one: none if ctx ends.
func take(ctx context.Context, place chan struct{}) (waited, ok bool) {
	select {
	case place <- struct{}{}:
		return false, true
	default:
	}
	select {
	case place <- struct{}{}:
		return true, true
	case <-ctx.Done():
		return true, false
	}
}

// seats are the places that a match has. The first is its slot, until it has a server.
type seats []chan struct{}

func (s seats) leave() {
	for _, place := range s {
		<-place
	}
}

// move takes another place instead of the first, as soon as there is one.
func (s seats) move(ctx context.Context, to chan struct{}) {
	if s[0] == to {
		return
	}
	if _, ok := take(ctx, to); ok {
		<-s[0]
		s[0] = to
	}
}

// acceptance asks players without a slot; nil if they are not asked.
func (i *Intake) acceptance(limit time.Duration) *placement.Acceptance {
	if limit == 0 {
		return nil
	}
	return &placement.Acceptance{
		TimeLimit: limit, Timeout: i.opts.MatchTimeout,
		Ask: func(ctx context.Context, p *torikumiv1.Proposal) (accepted bool, out []string) {
			<-i.slots
			defer func() { i.slots <- struct{}{} }()
			return i.opts.Ask(ctx, p)
		},
	}
}

// Drain waits for all matches. Accept must not be called any more.
func (i *Intake) Drain() { i.wg.Wait() }

// Failing reports whether the queue's last match has failed, so that fetching
// the same tickets again at once would only spin.
func (i *Intake) Failing(queue string) bool {
	_, ok := i.failing.Load(queue)
	return ok
}

func (i *Intake) count(queue string, o placement.Outcome) {
	i.opts.Metrics.matches.WithLabelValues(queue, string(o)).Inc()
	switch o {
	case placement.OutcomeBackfill: // says nothing of the queue
	case placement.OutcomeAssigned, placement.OutcomeAbandoned, placement.OutcomeWithdrawn, placement.OutcomeNotAccepted:
		i.failing.Delete(queue)
	default:
		i.failing.Store(queue, true)
	}
}

// handle calls allocated once the match has a server.
func (i *Intake) handle(work, cleanup context.Context, q Queue, from *openmatch.Match, since time.Time, allocated func()) placement.Outcome {
	log := i.opts.Logger.With("match", from.GetMatchId(), "queue", q.Name)
	releaseBy := since.Add(i.opts.PendingRelease)
	// From releaseBy on the tickets may be somebody else's.
	cleanup, cancel := context.WithDeadline(cleanup, releaseBy)
	defer cancel()
	m, err := match.Parse(q.Name, from)
	var invalid *match.InvalidError
	switch {
	case errors.Is(err, match.ErrBackfill):
		if i.opts.Backfill != nil {
			ctx, cancel := context.WithTimeout(work, i.opts.MatchTimeout)
			defer cancel()
			i.opts.Backfill(ctx, from)
		}
		return placement.OutcomeBackfill
	case errors.As(err, &invalid):
		return i.reject(cleanup, log.With("error", err), placement.CauseInvalid, i.claims.Free(invalid.Tickets, time.Now()))
	}
	m.AddBots(q.Teams, q.Bots)
	if ok, free := i.claims.Acquire(cleanup, m.Tickets, time.Now()); !ok {
		return i.reject(cleanup, log.With("error", errTaken), placement.CauseTaken, free)
	}

	// A match that has waited here for long is stopped in time for its
	// tickets to be released while they are still ours.
	deadline := since.Add(PlaceBy(i.opts.PendingRelease))
	// Whose players are asked has its time from then on.
	if limit := time.Now().Add(i.opts.MatchTimeout); q.AcceptTime == 0 && limit.Before(deadline) {
		deadline = limit
	}
	work, cancelWork := context.WithDeadline(work, deadline)
	defer cancelWork()
	o := i.opts.Placer.Place(work, cleanup, placement.Job{
		Match: m, Servers: q.Servers, MinPlayers: cmp.Or(q.Smallest, m.MinPlayers, q.MinPlayers), ReleaseBy: releaseBy,
		Acceptance: i.acceptance(q.AcceptTime), Allocated: allocated,
		Releasing: func() { i.claims.MarkReleasing(m.Tickets) },
	})
	if o == placement.OutcomeAssigned || o == placement.OutcomeWithdrawn {
		i.claims.MarkAssigned(m.Tickets, time.Now())
	} else {
		i.claims.Drop(m.Tickets)
	}
	return o
}

var errTaken = errors.New("the match holds tickets of another match")

// reject releases the tickets of a match that is not played; log says why.
func (i *Intake) reject(cleanup context.Context, log *slog.Logger, cause placement.Cause, tickets []string) placement.Outcome {
	var err error
	if len(tickets) > 0 {
		err = i.opts.Placer.Release(cleanup, tickets, cause)
	}
	log.Warn("match refused", "cause", cause, "tickets", tickets, "release", err)
	return placement.OutcomeInvalid
}
