package backfill

import (
	"context"
	"errors"
	"time"

	"torikumi/pkg/claims"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// claimAge is how much longer than its hold a claim lives: as long as Open Match keeps an
// assigned ticket.
const claimAge = 10 * time.Minute

// token names the claim on a ticket that joins by a backfill. It is the same in each
// step, so that the next director has it too.
func token(backfill, ticket string) string { return "backfill:" + backfill + ":" + ticket }

// ticketsOf are the tickets of those who join, each once.
func ticketsOf(joining []*torikumiv1.TeamMember) []string {
	var ids []string
	seen := make(map[string]bool)
	for _, m := range joining {
		if id := m.GetTicketId(); !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// claim claims the tickets of those who join. It reports false if one is in another
// match.
func (t *task) claim(ctx context.Context, backfill string, joining []*torikumiv1.TeamMember) (bool, error) {
	if t.o.Claims == nil {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, id := range ticketsOf(joining) {
		err := t.o.Claims.Acquire(ctx, claims.Match{
			Token: token(backfill, id), Tickets: []string{id}, Hold: t.o.PendingRelease, Keep: t.o.PendingRelease + claimAge,
		})
		var taken *claims.TakenError
		switch {
		case errors.As(err, &taken), errors.Is(err, claims.ErrRevoked):
			return false, nil
		case err != nil:
			t.claims.Down(err)
			return false, err
		}
	}
	t.claims.Up()
	return true, nil
}

// confirm notes where they play, before Open Match is told. It reports false if one is in
// another match since.
func (t *task) confirm(ctx context.Context, backfill string, a *openmatch.Assignment, d *torikumiv1.AssignmentDetails, joining []*torikumiv1.TeamMember) (bool, error) {
	if t.o.Claims == nil {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, id := range ticketsOf(joining) {
		switch err := t.o.Claims.Confirm(ctx, token(backfill, id), a.GetConnection(), d); {
		case errors.Is(err, claims.ErrRevoked):
			return false, nil
		case err != nil: // if Redis is back empty, the next step claims anew
			t.claims.Down(err)
			return false, err
		}
	}
	return true, nil
}

// markAssigned makes the claims final. Without an answer a frontend that delivers does
// the same.
func (t *task) markAssigned(ctx context.Context, backfill string, tickets []string) {
	if t.o.Claims == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, id := range tickets {
		if err := t.o.Claims.MarkAssigned(ctx, token(backfill, id)); err != nil {
			t.log.Warn("claim not marked as assigned", "error", err)
		}
	}
}

// dropClaims lets others claim the tickets.
func (t *task) dropClaims(ctx context.Context, backfill string, joining []*torikumiv1.TeamMember) {
	if t.o.Claims == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, id := range ticketsOf(joining) {
		if err := t.o.Claims.Drop(ctx, token(backfill, id), []string{id}); err != nil {
			t.log.Warn("claim of a ticket not dropped; it can be matched again later", "error", err)
		}
	}
}
