package matchmaker

import (
	"context"
	"errors"
	"sync"

	"torikumi/frontend/internal/ticket"
)

// maxAborts bounds what is kept for a store that is away: the store itself ends what is
// beyond, later.
const maxAborts = 10_000

// aborts are tickets for which Open Match has none, and which the store, which was away,
// has as if it were being asked. Nobody else does anything for such a ticket, and its
// players can make no other. The zero value is ready to use, by several at once.
type aborts struct {
	mu   sync.Mutex
	left map[string]aborted
}

// aborted says by which event a ticket goes on, and whether it is counted as waiting.
type aborted struct {
	kind    ticket.Kind
	counted bool
}

func (a *aborts) add(id string, of aborted) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left == nil {
		a.left = make(map[string]aborted)
	}
	if len(a.left) < maxAborts {
		a.left[id] = of
	}
}

// take returns them all, and keeps none.
func (a *aborts) take() map[string]aborted {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := a.left
	a.left = nil
	return left
}

// abort says that Open Match has not created a ticket, again later if the store is away.
func (c *Client) abort(ctx context.Context, id string, of aborted) (ticket.Change, error) {
	change, err := c.store.Update(ctx, id, ticket.Event{Kind: of.kind})
	switch {
	case errors.Is(err, ticket.ErrUnavailable):
		c.aborts.add(id, of)
	case err == nil && change.Changed() && of.kind == ticket.AbortCreate && of.counted:
		c.metrics.left(change.Ticket.Queue)
	}
	return change, err
}

// abortAgain does what could not be done. What has been created after all, or has
// ended, stays as it is. A ticket that is Lost is tried again, also if nobody had begun to.
func (c *Client) abortAgain(ctx context.Context) {
	for id, of := range c.aborts.take() {
		if change, err := c.abort(ctx, id, of); err == nil && change.Ticket.State == ticket.Lost {
			c.reconcileSoon()
		}
	}
}
