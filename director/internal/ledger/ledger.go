// Package ledger remembers which tickets this director has in its hands or
// has just assigned. When Open Match's store fails at the wrong moment, the
// same ticket comes back in a second match; the ledger tells.
package ledger

import (
	"context"
	"sync"
	"time"
)

// Ledger is safe for concurrent use.
type Ledger struct {
	keep time.Duration

	mu   sync.Mutex
	held map[string]hold
	// assigned are the tickets to forget, the earliest first.
	assigned []entry
}

// hold says why a ticket is held.
type hold struct {
	// until is when an assigned ticket may be forgotten. A match that is being
	// placed holds its tickets without end and has the zero time.
	until time.Time
	// released is not nil while the match releases its tickets, and is closed
	// when they are returned.
	released chan struct{}
}

type entry struct {
	until   time.Time
	tickets []string
}

// New makes an empty ledger, which knows assigned tickets for the time given.
func New(keep time.Duration) *Ledger {
	return &Ledger{keep: keep, held: make(map[string]hold)}
}

// Take puts the tickets of a match into the ledger, all or none. It returns
// true if it did, and otherwise which tickets are free and stay so; the others
// belong to another match. Tickets that another match is releasing may be here
// before the answer to the release is: Take waits for it, until ctx ends.
func (l *Ledger) Take(ctx context.Context, tickets []string, now time.Time) (ok bool, free []string) {
	for {
		free, released := l.take(tickets, now)
		switch {
		case len(free) == len(tickets):
			return true, nil
		case released == nil:
			return false, free
		}
		select {
		case <-released:
		case <-ctx.Done():
			return false, free
		}
	}
}

// take tries once. If some of the tickets are being released, released is closed
// when they have been.
func (l *Ledger) take(tickets []string, now time.Time) (free []string, released <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	free, released = l.free(tickets, now)
	if len(free) == len(tickets) {
		for _, t := range tickets {
			l.held[t] = hold{}
		}
	}
	return free, released
}

// Free returns those of the tickets that no match has.
func (l *Ledger) Free(tickets []string, now time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	free, _ := l.free(tickets, now)
	return free
}

// free is take without taking; mu is held.
func (l *Ledger) free(tickets []string, now time.Time) (free []string, released <-chan struct{}) {
	l.forget(now)
	for _, t := range tickets {
		h, taken := l.held[t]
		switch {
		case !taken:
			free = append(free, t)
		case h.released != nil:
			released = h.released
		}
	}
	return free, released
}

// Releasing notes that the tickets of a match are about to be released. Return
// has to follow.
func (l *Ledger) Releasing(tickets []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	released := make(chan struct{})
	for _, t := range tickets {
		l.held[t] = hold{released: released}
	}
}

// Assigned keeps the tickets of a match for a while: it has a server.
func (l *Ledger) Assigned(tickets []string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := now.Add(l.keep)
	for _, t := range tickets {
		l.held[t] = hold{until: until}
	}
	l.assigned = append(l.assigned, entry{until: until, tickets: tickets})
}

// Return takes the tickets out: they may be matched again.
func (l *Ledger) Return(tickets []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var released chan struct{}
	for _, t := range tickets {
		if c := l.held[t].released; c != nil {
			released = c // one for all of them
		}
		delete(l.held, t)
	}
	if released != nil {
		close(released)
	}
}

func (l *Ledger) forget(now time.Time) {
	n := 0
	for ; n < len(l.assigned) && !l.assigned[n].until.After(now); n++ {
		for _, t := range l.assigned[n].tickets {
			if l.held[t].until.Equal(l.assigned[n].until) {
				delete(l.held, t)
			}
		}
	}
	l.assigned = l.assigned[n:]
}
