package matchmaker

import (
	"context"
	"errors"
	"slices"
	"sync"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// maxMissed bounds the announcements that wait for the store: all tickets are read from Open
// Match when it is back, at the rate of that, and find what is more.
const maxMissed = 1 << 14

// missed are announcements that could not be applied, as the store was out of reach: the
// first of them, in the order in which they came. The zero value is ready to use.
type missed struct {
	mu      sync.Mutex
	all     []*torikumiv1.Announcement
	dropped int
}

func (m *missed) add(a *torikumiv1.Announcement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(append(m.all, a))
}

// putBack keeps what was taken and could not be applied, before what has come meanwhile.
func (m *missed) putBack(taken []*torikumiv1.Announcement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keep(slices.Concat(taken, m.all))
}

// keep drops the last that are too many.
func (m *missed) keep(all []*torikumiv1.Announcement) {
	kept := min(len(all), maxMissed)
	m.dropped += len(all) - kept
	m.all = all[:kept]
}

// take returns them all, and how many have been dropped since it was last called.
func (m *missed) take() (all []*torikumiv1.Announcement, dropped int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all, dropped = m.all, m.dropped
	m.all, m.dropped = nil, 0
	return all, dropped
}

// applyMissed applies what was missed, now that the store answers; what it still cannot
// take waits on. What another frontend has applied meanwhile changes nothing.
func (c *Client) applyMissed(ctx context.Context) {
	all, dropped := c.missed.take()
	if dropped > 0 {
		c.logger.WarnContext(ctx, "too many matches were announced while tickets could not be written: players of the last are told when their tickets are read from Open Match", "count", dropped)
		c.reconcileSoon()
	}
	for i, a := range all {
		_, err := c.apply(ctx, a.GetTicketIds(), a.GetConnection(), a.GetDetails())
		if errors.Is(err, errUnchecked) {
			c.missed.putBack(all[i:])
			return
		}
		if err != nil {
			c.reconcileSoon()
		}
	}
}
