package matchmaker

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// reconcile reads the tickets of all tickets from Open Match, one after the
// other and never faster than the rate: whenever news may have been missed, and
// now and then for what nobody announces. Only this goroutine makes tickets
// again, so no ticket gets two.
func (c *Client) reconcile(ctx context.Context) {
	pace := time.NewTicker(time.Duration(float64(time.Second) / c.ReconcileRate))
	defer pace.Stop()
	backoff := rpc.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	idle := time.NewTimer(c.ReconcileEvery)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.again:
		case <-idle.C:
		}
		for c.sweep(ctx, pace) != nil {
			if backoff.Wait(ctx) != nil {
				return
			}
		}
		backoff.Reset()
		idle.Reset(c.ReconcileEvery)
	}
}

// soon asks for a reading of all tickets.
func (c *Client) soon() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// sweep goes once through what is open. An error means that Open Match is out of
// reach, and the rest can wait.
func (c *Client) sweep(ctx context.Context, pace *time.Ticker) error {
	for _, ref := range c.Store.Open() {
		// Most will have ended before their turn comes.
		s, ok := c.Store.Get(ref.ID)
		if !ok || s.Ended() {
			continue
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := c.check(ctx, s.ID, s.OpenMatchID); unreachable(err) {
			return err
		}
	}
	return nil
}

// unreachable tells errors that the next ticket would meet too from those of one
// ticket.
func unreachable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted:
		return true
	}
	return false
}

// check brings one ticket up to date with Open Match.
func (c *Client) check(ctx context.Context, id, ticket string) error {
	if ticket == "" {
		return c.recreate(ctx, id)
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c.Metrics.reads.Inc()
	t, err := c.tickets.GetTicket(call, &openmatch.GetTicketRequest{TicketId: ticket})
	switch status.Code(err) {
	case codes.OK:
		c.read(ticket, t.GetAssignment())
		return nil
	case codes.NotFound:
		if !c.Store.MarkLost(id, ticket) {
			return nil
		}
		c.Logger.WarnContext(ctx, "Open Match lost the ticket, creating another", "ticket", id)
		return c.recreate(ctx, id)
	}
	c.Metrics.failed("get", err)
	return err
}

// read takes an assignment from a ticket. One by a foreign director has no
// details; one with details that cannot be read is no better.
func (c *Client) read(ticket string, a *openmatch.Assignment) {
	if a.GetConnection() == "" {
		return
	}
	details := new(torikumiv1.AssignmentDetails)
	if err := contract.Get(a.GetExtensions(), contract.AssignmentExtension, details); err != nil {
		if !errors.Is(err, contract.ErrNoExtension) {
			c.Logger.Warn("assignment with unreadable details", "error", err)
		}
		details = nil
	}
	if c.assign(ticket, a.GetConnection(), details) {
		c.Metrics.found.Inc()
	}
}

// recreate gives a ticket that Open Match has lost another ticket.
func (c *Client) recreate(ctx context.Context, id string) error {
	defer c.deletes.expect()()
	s, ok := c.Store.Get(id)
	if !ok || !c.Store.BeginRetry(id) {
		return nil
	}
	// What has begun is brought to its end, so that no ticket is left behind.
	if err := c.bind(context.WithoutCancel(ctx), s); err != nil {
		c.Store.AbortRetry(id)
		return err
	}
	c.Metrics.recreated.Inc()
	return nil
}

// watchConnection reads everything when Open Match has come back: it may have
// lost its tickets. A connection may be back before it was seen to be gone.
func (c *Client) watchConnection(ctx context.Context) {
	for {
		c.OpenMatch.Connect()
		now := c.OpenMatch.GetState()
		if now == connectivity.Ready {
			c.Metrics.up.Set(1)
			c.Logger.InfoContext(ctx, "connected to Open Match")
			c.soon()
		}
		if !c.OpenMatch.WaitForStateChange(ctx, now) {
			return
		}
		if now == connectivity.Ready {
			c.Metrics.up.Set(0)
			c.Logger.WarnContext(ctx, "connection to Open Match lost")
		}
	}
}
