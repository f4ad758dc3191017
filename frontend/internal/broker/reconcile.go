package broker

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

// reconcile reads the tickets of all searches from Open Match, one after the
// other and never faster than the rate: whenever news may have been missed, and
// now and then for what nobody announces. Only this goroutine makes tickets
// again, so no search gets two.
func (b *Broker) reconcile(ctx context.Context) {
	pace := time.NewTicker(time.Duration(float64(time.Second) / b.ReconcileRate))
	defer pace.Stop()
	backoff := rpc.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	idle := time.NewTimer(b.ReconcileEvery)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.again:
		case <-idle.C:
		}
		for b.sweep(ctx, pace) != nil {
			if backoff.Wait(ctx) != nil {
				return
			}
		}
		backoff.Reset()
		idle.Reset(b.ReconcileEvery)
	}
}

// soon asks for a reading of all searches.
func (b *Broker) soon() {
	select {
	case b.again <- struct{}{}:
	default:
	}
}

// sweep goes once through what is open. An error means that Open Match is out of
// reach, and the rest can wait.
func (b *Broker) sweep(ctx context.Context, pace *time.Ticker) error {
	for _, ref := range b.Store.Open() {
		// Most will have ended before their turn comes.
		s, ok := b.Store.Get(ref.ID)
		if !ok || s.Ended() {
			continue
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := b.check(ctx, s.ID, s.OpenMatchID); unreachable(err) {
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

// check brings one search up to date with Open Match.
func (b *Broker) check(ctx context.Context, id, ticket string) error {
	if ticket == "" {
		return b.remake(ctx, id)
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b.Metrics.reads.Inc()
	t, err := b.tickets.GetTicket(call, &openmatch.GetTicketRequest{TicketId: ticket})
	switch status.Code(err) {
	case codes.OK:
		b.read(ticket, t.GetAssignment())
		return nil
	case codes.NotFound:
		if !b.Store.Lose(id, ticket) {
			return nil
		}
		b.Logger.WarnContext(ctx, "ticket lost by Open Match, making another", "ticket", id)
		return b.remake(ctx, id)
	}
	b.Metrics.failed("get", err)
	return err
}

// read takes an assignment from a ticket. One by a foreign director has no
// details; one with details that cannot be read is no better.
func (b *Broker) read(ticket string, a *openmatch.Assignment) {
	if a.GetConnection() == "" {
		return
	}
	details := new(torikumiv1.AssignmentDetails)
	if err := contract.Get(a.GetExtensions(), contract.AssignmentExtension, details); err != nil {
		if !errors.Is(err, contract.ErrNoExtension) {
			b.Logger.Warn("assignment with unreadable details", "error", err)
		}
		details = nil
	}
	if b.assign(ticket, a.GetConnection(), details) {
		b.Metrics.found.Inc()
	}
}

// remake gives a search that Open Match has lost another ticket.
func (b *Broker) remake(ctx context.Context, id string) error {
	defer b.deletes.expect()()
	s, ok := b.Store.Get(id)
	if !ok || !b.Store.Retry(id) {
		return nil
	}
	// What has begun is brought to its end, so that no ticket is left behind.
	if err := b.bind(context.WithoutCancel(ctx), s); err != nil {
		b.Store.Defer(id)
		return err
	}
	b.Metrics.remade.Inc()
	return nil
}

// watchConnection reads everything when Open Match has come back: it may have
// lost its tickets. A connection may be back before it was seen to be gone.
func (b *Broker) watchConnection(ctx context.Context) {
	for {
		b.OpenMatch.Connect()
		now := b.OpenMatch.GetState()
		if now == connectivity.Ready {
			b.Metrics.up.Set(1)
			b.Logger.InfoContext(ctx, "connected to Open Match")
			b.soon()
		}
		if !b.OpenMatch.WaitForStateChange(ctx, now) {
			return
		}
		if now == connectivity.Ready {
			b.Metrics.up.Set(0)
			b.Logger.WarnContext(ctx, "connection to Open Match lost")
		}
	}
}
