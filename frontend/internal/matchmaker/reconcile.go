package matchmaker

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// reconcile reads the open tickets from Open Match, one after the other and never
// faster than the rate: whenever news may have been missed, and now and then for
// what nobody announces.
func (c *Client) reconcile(ctx context.Context) {
	backoff := rpc.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	idle := time.NewTimer(c.options.ReconcileEvery)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.again:
		case <-idle.C:
		}
		for c.sweep(ctx) != nil {
			if backoff.Wait(ctx) != nil {
				return
			}
		}
		backoff.Reset()
		idle.Reset(c.options.ReconcileEvery)
	}
}

// reconcileSoon asks for a reading of all tickets.
func (c *Client) reconcileSoon() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// sweep goes once through what is open. An error means that Open Match or the
// store is out of reach, and the rest can wait, or that claims could not be checked.
func (c *Client) sweep(ctx context.Context) error {
	ids, err := c.store.Open(ctx)
	if err != nil {
		return err
	}
	var unchecked error
	for _, id := range ids {
		// Most will have ended before their turn comes.
		t, err := c.store.Get(ctx, id)
		if err != nil || t.Ended() {
			continue
		}
		if err := c.pace.Wait(ctx); err != nil {
			return err
		}
		if c.leaveLate(ctx, &t) {
			continue
		}
		err = c.check(ctx, t)
		switch {
		case unreachable(err):
			return err
		case errors.Is(err, errUnchecked):
			unchecked = err // those of the next ticket may be read all the same
		}
	}
	return unchecked
}

// unreachable reports whether the next ticket would meet the error too.
func unreachable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		return true
	}
	return false
}

// check brings one ticket up to date with Open Match.
func (c *Client) check(ctx context.Context, t ticket.Ticket) error {
	if t.OpenMatchID == "" {
		return c.recreate(ctx, t.ID)
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c.metrics.reads.Inc()
	found, err := c.tickets.GetTicket(call, &openmatch.GetTicketRequest{TicketId: t.OpenMatchID})
	switch status.Code(err) {
	case codes.OK:
		return c.read(ctx, t.OpenMatchID, found.GetAssignment())
	case codes.NotFound:
		change, err := c.store.Update(ctx, t.ID, ticket.Event{Kind: ticket.MarkLost, OpenMatchID: t.OpenMatchID})
		if err != nil || !change.Changed() {
			return nil
		}
		c.out(&change)
		c.logger.WarnContext(ctx, "Open Match lost the ticket, creating another", "ticket", t.ID)
		return c.recreate(ctx, t.ID)
	}
	c.metrics.failed("get", err)
	return err
}

// read takes an assignment from a ticket. One by a foreign director has no
// details; one with details that cannot be read is no better. One with details and
// without a connection was withdrawn.
func (c *Client) read(ctx context.Context, openMatchID string, a *openmatch.Assignment) error {
	details := new(torikumiv1.AssignmentDetails)
	err := contract.Get(a.GetExtensions(), contract.AssignmentExtension, details)
	switch {
	case a.GetConnection() == "" && err != nil:
		return nil
	case err != nil:
		if !errors.Is(err, contract.ErrNoExtension) {
			c.logger.WarnContext(ctx, "assignment with unreadable details", "error", err)
		}
		details = nil
	}
	assigned, err := c.apply(ctx, []string{openMatchID}, a.GetConnection(), details)
	c.metrics.found.Add(float64(assigned))
	return err
}

// withdrawn creates a ticket anew whose match is not played: Open Match has taken
// the one that was assigned out of its pools for good.
func (c *Client) withdrawn(ctx context.Context, openMatchID string) error {
	change, err := c.store.UpdateOpenMatch(ctx, openMatchID, ticket.Event{Kind: ticket.MarkLost})
	if err != nil || !change.Changed() {
		return nil // not ours, or nobody waits
	}
	c.logger.InfoContext(ctx, "match not played, creating another ticket", "ticket", change.Ticket.ID)
	return c.recreate(ctx, change.Ticket.ID)
}

// recreate gives a ticket that Open Match has lost another one there.
func (c *Client) recreate(ctx context.Context, id string) error {
	defer c.deletes.expect()()
	// Once begun it is finished, so that no Open Match ticket is left behind.
	ctx = context.WithoutCancel(ctx)
	change, err := c.store.Update(ctx, id, ticket.Event{Kind: ticket.BeginRetry})
	if errors.Is(err, ticket.ErrUnavailable) {
		c.aborts.add(id, aborted{kind: ticket.AbortRetry}) // it may have begun all the same
	}
	if err != nil || change.Effect != ticket.CreateOpenMatch {
		return nil
	}
	if _, err := c.createOpenMatch(ctx, change.Ticket); err != nil {
		_, _ = c.abort(ctx, id, aborted{kind: ticket.AbortRetry}) // it is tried again
		return err
	}
	c.metrics.recreated.Inc()
	return nil
}

// watchConnection reads everything when Open Match has come back: it may have
// lost its tickets. A connection may be back before it was seen to be gone.
func (c *Client) watchConnection(ctx context.Context) {
	for {
		c.options.OpenMatch.Connect()
		now := c.options.OpenMatch.GetState()
		if now == connectivity.Ready {
			c.metrics.up.Set(1)
			c.logger.InfoContext(ctx, "connected to Open Match")
			c.reconcileSoon()
		}
		if !c.options.OpenMatch.WaitForStateChange(ctx, now) {
			return
		}
		if now == connectivity.Ready {
			c.metrics.up.Set(0)
			c.logger.WarnContext(ctx, "connection to Open Match lost")
		}
	}
}
