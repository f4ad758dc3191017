// Package ledger remembers which tickets this director has in its hands or
// has just assigned. When Open Match's store fails at the wrong moment, the
// same ticket comes back in a second match; the ledger tells.
package ledger

import (
	"sync"
	"time"
)

// Ledger is safe for concurrent use.
type Ledger struct {
	keep time.Duration

	mu sync.Mutex
	// held maps a ticket to when it may be forgotten; never while it is in a
	// match that is being placed, which has the zero time.
	held map[string]time.Time
	// assigned are the tickets to forget, the earliest first.
	assigned []entry
}

type entry struct {
	until   time.Time
	tickets []string
}

// New makes an empty ledger, which knows assigned tickets for the time given.
func New(keep time.Duration) *Ledger {
	return &Ledger{keep: keep, held: make(map[string]time.Time)}
}

// Take puts the tickets of a match into the ledger, all or none. It returns
// true if it did, and otherwise which tickets are free and stay so; the others
// belong to another match.
func (l *Ledger) Take(tickets []string, now time.Time) (ok bool, free []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	for _, t := range tickets {
		if _, taken := l.held[t]; !taken {
			free = append(free, t)
		}
	}
	if len(free) < len(tickets) {
		return false, free
	}
	for _, t := range tickets {
		l.held[t] = time.Time{}
	}
	return true, nil
}

// Assigned keeps the tickets of a match for a while: it has a server.
func (l *Ledger) Assigned(tickets []string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := now.Add(l.keep)
	for _, t := range tickets {
		l.held[t] = until
	}
	l.assigned = append(l.assigned, entry{until: until, tickets: tickets})
}

// Return takes the tickets out: they may be matched again.
func (l *Ledger) Return(tickets []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range tickets {
		delete(l.held, t)
	}
}

func (l *Ledger) forget(now time.Time) {
	n := 0
	for ; n < len(l.assigned) && !l.assigned[n].until.After(now); n++ {
		for _, t := range l.assigned[n].tickets {
			if l.held[t].Equal(l.assigned[n].until) {
				delete(l.held, t)
			}
		}
	}
	l.assigned = l.assigned[n:]
}
