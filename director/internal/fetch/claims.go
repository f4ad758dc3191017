package fetch

import (
	"context"
	"sync"
	"time"
)

// Claims are the tickets of matches that this director is placing or has just
// assigned. When Open Match's store fails at the wrong moment, the same ticket
// comes back in a second match; Claims detect that. Safe for concurrent use.
type Claims struct {
	// keepAssigned is how long an assigned ticket stays claimed.
	keepAssigned time.Duration

	mu      sync.Mutex
	claimed map[string]claim
	// assigned are the tickets to forget, the earliest first.
	assigned []entry
}

// claim says why a ticket is claimed.
type claim struct {
	// until is when an assigned ticket may be forgotten. A match that is being
	// placed claims its tickets without end and has the zero time.
	until time.Time
	// released is not nil while the match releases its tickets, and is closed
	// when they are dropped.
	released chan struct{}
}

type entry struct {
	until   time.Time
	tickets []string
}

// NewClaims makes empty Claims, which keep assigned tickets for the time given.
func NewClaims(keepAssigned time.Duration) *Claims {
	return &Claims{keepAssigned: keepAssigned, claimed: make(map[string]claim)}
}

// Acquire claims the tickets of a match, all or none. It returns true if it did,
// and otherwise which tickets are free and stay so; the others belong to another
// match. Tickets that another match is releasing can come back before the answer
// to their release: Acquire waits for that answer, until ctx ends.
func (c *Claims) Acquire(ctx context.Context, tickets []string, now time.Time) (ok bool, free []string) {
	for {
		c.mu.Lock()
		free, released := c.free(tickets, now)
		if len(free) == len(tickets) {
			for _, t := range tickets {
				c.claimed[t] = claim{}
			}
			c.mu.Unlock()
			return true, nil
		}
		c.mu.Unlock()
		if released == nil {
			return false, free
		}
		select {
		case <-released:
		case <-ctx.Done():
			return false, free
		}
	}
}

// Free returns those of the tickets that no match has.
func (c *Claims) Free(tickets []string, now time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	free, _ := c.free(tickets, now)
	return free
}

// free finds the tickets that no match has; mu is held. If some of the others are
// being released, released is closed when they have been.
func (c *Claims) free(tickets []string, now time.Time) (free []string, released <-chan struct{}) {
	c.forget(now)
	for _, t := range tickets {
		h, taken := c.claimed[t]
		switch {
		case !taken:
			free = append(free, t)
		case h.released != nil:
			released = h.released
		}
	}
	return free, released
}

// MarkReleasing notes that the tickets of a match are about to be released. Drop
// has to follow.
func (c *Claims) MarkReleasing(tickets []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	released := make(chan struct{})
	for _, t := range tickets {
		c.claimed[t] = claim{released: released}
	}
}

// MarkAssigned notes that a match has been assigned: its tickets stay claimed for
// a while.
func (c *Claims) MarkAssigned(tickets []string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := now.Add(c.keepAssigned)
	for _, t := range tickets {
		c.claimed[t] = claim{until: until}
	}
	c.assigned = append(c.assigned, entry{until: until, tickets: tickets})
}

// Drop ends the claim on the tickets: they may be matched again.
func (c *Claims) Drop(tickets []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var released chan struct{}
	for _, t := range tickets {
		if r := c.claimed[t].released; r != nil {
			released = r // one for all of them
		}
		delete(c.claimed, t)
	}
	if released != nil {
		close(released)
	}
}

func (c *Claims) forget(now time.Time) {
	n := 0
	for ; n < len(c.assigned) && !c.assigned[n].until.After(now); n++ {
		for _, t := range c.assigned[n].tickets {
			if c.claimed[t].until.Equal(c.assigned[n].until) {
				delete(c.claimed, t)
			}
		}
	}
	c.assigned = c.assigned[n:]
}
