package place

import (
	"context"
	"fmt"

	"torikumi/director/internal/call"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// ReleaseTickets lets tickets be matched again, trying until ctx ends. It is
// idempotent, but Open Match releases a ticket whoever holds it: ctx has to end
// before the tickets can be in another match.
func ReleaseTickets(ctx context.Context, backend openmatch.BackendServiceClient, tickets []string) error {
	var backoff rpc.Backoff
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("release %d tickets: %w", len(tickets), err)
		}
		try, cancel := context.WithTimeout(ctx, callTimeout)
		var sent call.Sent
		_, err := backend.ReleaseTickets(try, &openmatch.ReleaseTicketsRequest{TicketIds: tickets}, sent.Option())
		cancel()
		switch {
		case err == nil:
			return nil
		case sent.Effect(err) == call.Refused, backoff.Wait(ctx) != nil:
			return fmt.Errorf("release %d tickets: %w", len(tickets), err)
		}
	}
}
