package matchmaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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

// inARow is after how many tickets that could not be read, one after the other, a reading
// pauses after each of them. Those that have ended meanwhile count for nothing.
const inARow = 3

// reconcile reads the open tickets from Open Match, one after the other and never
// faster than the rate: whenever news may have been missed, and now and then for
// what nobody announces. Those that could not be read are read again, with pauses.
func (c *Client) reconcile(ctx context.Context) {
	var pause rpc.Backoff
	idle := time.NewTimer(c.options.ReconcileEvery)
	defer idle.Stop()
	for left := []string(nil); ; {
		all := true
		switch {
		case len(left) == 0:
			pause.Reset()
			select {
			case <-ctx.Done():
				return
			case <-c.again:
			case <-idle.C:
			}
		case pause.Wait(ctx) != nil:
			return
		default:
			select {
			case <-c.again:
			case <-idle.C:
			default:
				all = false
			}
		}
		if all {
			if left = c.open(ctx); ctx.Err() != nil {
				return
			}
		}
		left = c.sweep(ctx, left)
		if all {
			idle.Reset(c.options.ReconcileEvery)
		}
	}
}

// reconcileSoon asks for a reading of all tickets.
func (c *Client) reconcileSoon() { say(c.again) }

// open returns the tickets that wait, the oldest first, as soon as the store has told them;
// none if ctx ends before.
func (c *Client) open(ctx context.Context) []string {
	for pause := (rpc.Backoff{}); ; {
		ids, err := c.store.Open(ctx)
		if err == nil {
			return ids
		}
		if pause.Wait(ctx) != nil {
			return nil
		}
	}
}

// sweep brings tickets up to date, one after the other, until ctx ends. It returns those that
// could not be, as the store, Open Match or claims were out of reach. It goes on with the
// next, and does not begin again, or the newest would have no turn while calls fail now and
// then.
func (c *Client) sweep(ctx context.Context, ids []string) (left []string) {
	var pause rpc.Backoff
	failed, failing := 0, false
	for _, id := range ids {
		if failing && failed >= inARow && pause.Wait(ctx) != nil {
			return left
		}
		read, err := c.bringUpToDate(ctx, id)
		failing = unreachable(err) || errors.Is(err, errUnchecked)
		switch {
		case ctx.Err() != nil:
			return left
		case failing:
			left = append(left, id)
			failed++
		case read:
			failed = 0
			pause.Reset()
		}
	}
	return left
}

// bringUpToDate brings one ticket up to date, and reports whether it had to be: most will have
// ended before their turn comes.
func (c *Client) bringUpToDate(ctx context.Context, id string) (read bool, err error) {
	t, err := c.store.Get(ctx, id)
	if err != nil || t.Ended() {
		return false, storeAway(err)
	}
	if err := c.pace.Wait(ctx); err != nil {
		return false, err
	}
	if c.leaveLate(ctx, &t) {
		return true, nil
	}
	return true, c.check(ctx, t)
}

// storeAway returns an errUnchecked if a store is out of reach, and nil for all other errors:
// with those the ticket has ended.
func storeAway(err error) error {
	if errors.Is(err, ticket.ErrUnavailable) {
		return fmt.Errorf("%w: %w", errUnchecked, err)
	}
	return nil
}

// unreachable reports whether Open Match is out of reach: the next ticket would most likely
// meet the error too.
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
			return storeAway(err)
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
// the one that was assigned out of its pools for good. A director may have fetched another
// match with that one before. If it has claimed the ticket, the player is that match's;
// else it can't any more. Final says that the match that has no place for the ticket was
// assigned.
func (c *Client) withdrawn(ctx context.Context, openMatchID string, final bool) error {
	if c.options.Claims != nil {
		free, err := c.options.Claims.Retire(ctx, openMatchID, final, c.options.Timeout+fetchedAge)
		if err != nil {
			c.claims.Down(err)
			return fmt.Errorf("%w: %w", errUnchecked, err)
		}
		if !free {
			return nil
		}
	}
	change, err := c.store.UpdateOpenMatch(ctx, openMatchID, ticket.Event{Kind: ticket.MarkLost})
	if err != nil || !change.Changed() {
		return storeAway(err) // else it is not ours, or nobody waits
	}
	c.logger.InfoContext(ctx, "match not played, creating another ticket", "ticket", change.Ticket.ID)
	return c.recreate(ctx, change.Ticket.ID)
}

// recreate gives a ticket that Open Match has lost another one there. The error is that of
// Open Match, or an errUnchecked.
func (c *Client) recreate(ctx context.Context, id string) error {
	defer c.deletes.expect()()
	// Once begun it is finished, so that no Open Match ticket is left behind.
	ctx = context.WithoutCancel(ctx)
	change, err := c.store.Update(ctx, id, ticket.Event{Kind: ticket.BeginRetry})
	if errors.Is(err, ticket.ErrUnavailable) {
		c.aborts.add(id, aborted{kind: ticket.AbortRetry}) // it may have begun all the same
	}
	if err != nil || change.Effect != ticket.CreateOpenMatch {
		return storeAway(err)
	}
	if _, err := c.createOpenMatch(ctx, change.Ticket, true); err != nil {
		_, _ = c.abort(ctx, id, aborted{kind: ticket.AbortRetry}) // it is tried again
		return cmp.Or(storeAway(err), err)
	}
	c.metrics.recreated.Inc()
	return nil
}

// watchConnection reads everything when Open Match has come back: it may have
// lost its tickets. A connection may be back before it was seen to be gone.
func (c *Client) watchConnection(ctx context.Context) {
	conn := c.options.OpenMatch
	logger := c.logger.With("setting", "--open-match", "address", conn.Target())
	for away := false; ; {
		conn.Connect()
		now := conn.GetState()
		switch {
		case now == connectivity.Ready:
			away = false
			c.metrics.up.Set(1)
			logger.InfoContext(ctx, "connected to Open Match")
			c.reconcileSoon()
		case now == connectivity.TransientFailure && !away:
			away = true
			logger.WarnContext(ctx, "Open Match cannot be reached: no ticket is created until it is")
		}
		if !conn.WaitForStateChange(ctx, now) {
			return
		}
		if now == connectivity.Ready {
			away = true
			c.metrics.up.Set(0)
			logger.WarnContext(ctx, "connection to Open Match lost: no ticket is created until it is back")
		}
	}
}
