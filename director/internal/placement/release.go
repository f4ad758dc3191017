package placement

import (
	"context"
	"fmt"
	"log/slog"

	"torikumi/director/internal/call"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// Release lets tickets be matched again, trying until ctx ends; it logs what it
// cannot do. Open Match releases a ticket whoever holds it: ctx has to end before
// the tickets can be in another match, and a try that may have had its effect is
// the last. If it had none, the tickets come back by themselves after the
// pendingReleaseTimeout.
func (p *Placer) Release(ctx context.Context, log *slog.Logger, tickets []string) error {
	err := p.release(ctx, tickets)
	if err != nil {
		log.Warn("tickets perhaps not released; if not, they are matched again after Open Match's pendingReleaseTimeout", "error", err)
		return err
	}
	p.metrics.released.Add(float64(len(tickets)))
	return nil
}

func (p *Placer) release(ctx context.Context, tickets []string) error {
	var backoff rpc.Backoff
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("release %d tickets: %w", len(tickets), err)
		}
		try, cancel := context.WithTimeout(ctx, callTimeout)
		var sent call.Sent
		_, err := p.opts.Backend.ReleaseTickets(try, &openmatch.ReleaseTicketsRequest{TicketIds: tickets}, sent.Option())
		cancel()
		effect := sent.Effect(err)
		switch {
		case effect == call.Done:
			return nil
		case effect == call.Refused, effect == call.Unknown, backoff.Wait(ctx) != nil:
			return fmt.Errorf("release %d tickets: %w", len(tickets), err)
		}
	}
}
