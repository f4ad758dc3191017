package place

import (
	"context"
	"fmt"

	"torikumi/director/internal/call"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

// ReleaseTickets lets tickets be matched again, trying until ctx ends. Open Match
// releases a ticket whoever holds it: ctx has to end before the tickets can be in
// another match, and a try that may have had its effect is the last. If it had
// none, the tickets come back by themselves after the pendingReleaseTimeout.
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
		effect := sent.Effect(err)
		switch {
		case effect == call.Done:
			return nil
		case effect == call.Refused, effect == call.Unclear, backoff.Wait(ctx) != nil:
			return fmt.Errorf("release %d tickets: %w", len(tickets), err)
		}
	}
}
