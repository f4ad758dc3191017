// Package estimate says how long a ticket may have to wait, from how long others had
// to lately. It stands beside the player's path: one loop reads, players' calls take
// what is known.
package estimate

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
)

const (
	// every is the time between two readings.
	every = 2 * time.Second
	// least is how many tickets an estimate is made of: with fewer one of them would
	// decide.
	least = 5
)

// Store has the waits.
type Store interface {
	Waits(ctx context.Context, queue string) ([]ticket.Wait, error)
}

// Estimates are those of all queues. It is safe for concurrent use. Nil knows nothing.
type Estimates struct {
	store  Store
	queues queues.Source
	logger *slog.Logger
	now    func() time.Time

	mu    sync.Mutex
	waits map[string][]time.Duration // by queue, sorted
}

// New makes estimates that know nothing until Run runs. now is the clock; nil means
// time.Now.
func New(store Store, source queues.Source, logger *slog.Logger, now func() time.Time) *Estimates {
	if now == nil {
		now = time.Now
	}
	return &Estimates{store: store, queues: source, logger: logger, now: now}
}

// Run reads until ctx ends.
func (e *Estimates) Run(ctx context.Context) error {
	health := rpc.NewHealth(e.logger, "waits cannot be read, from which others are estimated", "waits are read again")
	for range rpc.Ticks(ctx, every) {
		if err := e.read(ctx); ctx.Err() == nil {
			health.Record(err)
		}
	}
	return nil
}

// read reads the waits of all queues. What was known is forgotten if that fails.
func (e *Estimates) read(ctx context.Context) error {
	waits := make(map[string][]time.Duration)
	var failed error
	for _, queue := range e.queues.Current().Names() {
		found, err := e.store.Waits(ctx, queue)
		if err != nil {
			failed = err
			if errors.Is(err, ticket.ErrUnavailable) {
				break // the next would fail too
			}
			continue
		}
		waits[queue] = recent(found, e.now())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waits = waits
	return failed
}

// recent are the waits that ended lately, sorted.
func recent(all []ticket.Wait, now time.Time) []time.Duration {
	var out []time.Duration
	for _, w := range all {
		if now.Sub(w.Ended) < ticket.WaitsAge {
			out = append(out, w.Length)
		}
	}
	slices.Sort(out)
	return out
}

// Of returns how long a ticket of a queue may have to wait in all that searches since
// a time; zero if too little is known.
func (e *Estimates) Of(queue string, since time.Time) time.Duration {
	if e == nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return median(e.waits[queue], e.now().Sub(since))
}

// median is that of the waits that were at least as long as a ticket has waited, zero if
// there are too few: half of those had a match by then. The waits are sorted.
func median(waits []time.Duration, waited time.Duration) time.Duration {
	i, _ := slices.BinarySearch(waits, waited)
	longer := waits[i:]
	if len(longer) < least {
		return 0
	}
	return longer[(len(longer)-1)/2]
}
