// Package intake receives the matches that were fetched: it bounds how many
// are placed at a time, turns away what cannot be played, and sees all of them
// through when the director stops.
package intake

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"torikumi/director/internal/bout"
	"torikumi/director/internal/ledger"
	"torikumi/director/internal/metrics"
	"torikumi/director/internal/place"
	"torikumi/director/internal/servers"
	"torikumi/proto/openmatch"
)

// Options are what an Intake needs.
type Options struct {
	Placer  *place.Placer
	Backend openmatch.BackendServiceClient
	Ledger  *ledger.Ledger
	// MaxInFlight is how many matches are placed at a time.
	MaxInFlight int
	// MatchTimeout is the time for one match. PendingRelease is Open Match's
	// pendingReleaseTimeout, after which it shows the tickets to others.
	MatchTimeout, PendingRelease time.Duration
	// Work ends when the time of all matches is over, Cleanup when nothing is
	// called any more.
	Work, Cleanup context.Context
	Metrics       *metrics.Metrics
	Logger        *slog.Logger
	Now           func() time.Time
}

// Intake is safe for concurrent use.
type Intake struct {
	Options
	slots chan struct{}
	wg    sync.WaitGroup
	// troubled holds the queues whose last match has failed.
	troubled sync.Map
}

// New makes an Intake.
func New(o Options) *Intake {
	return &Intake{Options: o, slots: make(chan struct{}, o.MaxInFlight)}
}

// Accept takes a match over, after waiting until there is room for it. The
// match left Open Match at the earliest at since. It tells whether it had to
// wait; when Work ends meanwhile, the match is dropped.
func (i *Intake) Accept(queue string, where servers.Where, m *openmatch.Match, since time.Time) (waited bool) {
	select {
	case i.slots <- struct{}{}:
	default:
		waited = true
		select {
		case i.slots <- struct{}{}:
		case <-i.Work.Done():
			i.count(queue, place.OutcomeHeld)
			return waited
		}
	}
	i.Metrics.InFlight.Inc()
	received := i.Now()
	i.wg.Go(func() {
		defer func() {
			i.Metrics.PlaceSeconds.Observe(i.Now().Sub(received).Seconds())
			i.Metrics.InFlight.Dec()
			<-i.slots
		}()
		i.handle(queue, where, m, since)
	})
	return waited
}

// Drain waits for all matches. Accept must not be called any more.
func (i *Intake) Drain() { i.wg.Wait() }

// Troubled tells whether the queue's last match has failed, so that fetching
// the same tickets again at once would only spin.
func (i *Intake) Troubled(queue string) bool {
	_, ok := i.troubled.Load(queue)
	return ok
}

func (i *Intake) count(queue string, o place.Outcome) {
	i.Metrics.Matches.WithLabelValues(queue, string(o)).Inc()
	switch o {
	case place.OutcomeAssigned, place.OutcomeGone:
		i.troubled.Delete(queue)
	default:
		i.troubled.Store(queue, true)
	}
}

func (i *Intake) handle(queue string, where servers.Where, m *openmatch.Match, since time.Time) {
	releaseBy := since.Add(i.PendingRelease)
	b, err := bout.Parse(queue, m)
	var invalid *bout.InvalidError
	switch {
	case errors.Is(err, bout.ErrBackfill):
		i.Metrics.Matches.WithLabelValues(queue, string(place.OutcomeBackfill)).Inc()
		return
	case errors.As(err, &invalid):
		i.Logger.Warn("invalid match", "match", m.GetMatchId(), "queue", queue, "error", err)
		i.turnAway(queue, i.Ledger.Free(invalid.Tickets, i.Now()), releaseBy)
		return
	}
	if ok, free := i.take(b.Tickets, releaseBy); !ok {
		i.Logger.Warn("match holds tickets of another match", "match", b.ID, "queue", queue)
		i.turnAway(queue, free, releaseBy)
		return
	}

	// A match that has waited here for long is stopped in time for its
	// tickets to be released while they are still ours.
	deadline := i.Now().Add(i.MatchTimeout)
	if limit := since.Add(i.PendingRelease * 9 / 10); limit.Before(deadline) {
		deadline = limit
	}
	o := i.Placer.Place(i.Work, i.Cleanup, place.Job{
		Bout: b, Where: where, Deadline: deadline, ReleaseBy: releaseBy,
		Releasing: func() { i.Ledger.Releasing(b.Tickets) },
	})
	if o == place.OutcomeAssigned {
		i.Ledger.Assigned(b.Tickets, i.Now())
	} else {
		i.Ledger.Return(b.Tickets)
	}
	i.count(queue, o)
}

// take waits for tickets that another match is releasing at most until they
// are somebody else's.
func (i *Intake) take(tickets []string, releaseBy time.Time) (ok bool, free []string) {
	ctx, cancel := context.WithDeadline(i.Cleanup, releaseBy)
	defer cancel()
	return i.Ledger.Take(ctx, tickets, i.Now())
}

// turnAway releases the tickets of a match that is not played.
func (i *Intake) turnAway(queue string, tickets []string, releaseBy time.Time) {
	ctx, cancel := context.WithDeadline(i.Cleanup, releaseBy)
	defer cancel()
	if len(tickets) > 0 {
		if err := place.ReleaseTickets(ctx, i.Backend, tickets); err != nil {
			i.Logger.Warn("tickets perhaps not released; if not, they are matched again after Open Match's pendingReleaseTimeout", "queue", queue, "error", err)
		} else {
			i.Metrics.Released.Add(float64(len(tickets)))
		}
	}
	i.count(queue, place.OutcomeInvalid)
}
