package placement

import (
	"context"
	"errors"
	"time"

	"torikumi/pkg/claims"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Claims keep directors from placing the same tickets: see [claims.Store].
type Claims interface {
	Acquire(ctx context.Context, m claims.Match) error
	Confirm(ctx context.Context, token, connection string, d *torikumiv1.AssignmentDetails) error
	MarkAssigned(ctx context.Context, token string) error
	Revoke(ctx context.Context, token string) error
	Abandon(ctx context.Context, token string) error
	Drop(ctx context.Context, token string, tickets []string) error
}

const (
	// claimPatience is for a claim that ends when Open Match's pendingReleaseTimeout
	// does: Open Match's clock and Redis's do not agree to the millisecond.
	claimPatience = time.Second
	// claimAge is how much longer than its ticket a claim lives, or than its match's
	// time if the ticket does not say how long it lives: as long as Open Match keeps an
	// assigned ticket.
	claimAge = 10 * time.Minute
)

// claim makes the tickets this director's until Open Match may have them matched again.
func (t *task) claim(work context.Context) Result {
	ctx, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	err := t.acquire(ctx)
	var taken *claims.TakenError
	switch {
	case err == nil:
		t.claims.Up()
		return Done
	case errors.As(err, &taken) && taken.Wait >= 0 && taken.Wait <= claimPatience:
		return NotDone
	case errors.As(err, &taken):
		t.others = taken.Tickets
		return Refused
	case errors.Is(err, claims.ErrRevoked):
		t.others = t.job.Match.Tickets
		return Refused
	}
	if work.Err() == nil {
		t.claims.Down(err)
	}
	return NotDone
}

func (t *task) acquire(ctx context.Context) error {
	now := time.Now()
	hold := t.job.ReleaseBy.Sub(now)
	err := t.opts.Claims.Acquire(ctx, claims.Match{
		Token: t.token, Tickets: t.job.Match.Tickets, Hold: hold, Keep: max(hold, t.job.Match.Expires.Sub(now)) + claimAge,
	})
	t.claimed = t.claimed || err == nil
	return err
}

// confirm notes the server, before Open Match is told: Done, NotDone or Revoked. If
// Redis has come back empty, the tickets are claimed anew.
func (t *task) confirm(work, ctx context.Context) Result {
	if t.opts.Claims == nil {
		return Done
	}
	t.confirming = true
	note := func() error {
		return t.opts.Claims.Confirm(ctx, t.token, t.assignment.GetConnection(), t.details)
	}
	err := note()
	if errors.Is(err, claims.ErrGone) {
		if err = t.acquire(ctx); err == nil {
			err = note()
		}
	}
	var taken *claims.TakenError
	switch {
	case err == nil:
		t.claims.Up()
		return Done
	case errors.Is(err, claims.ErrRevoked), errors.As(err, &taken):
		return Revoked
	}
	if work.Err() == nil {
		t.claims.Down(err)
	}
	return NotDone
}

// markAssigned makes the claim final. Without an answer a frontend that delivers the
// match does the same.
func (t *task) markAssigned(ctx context.Context) {
	if t.opts.Claims == nil {
		return
	}
	if err := t.opts.Claims.MarkAssigned(ctx, t.token); err != nil {
		t.log.Warn("claim not marked as assigned", "error", err)
	}
}

func (t *task) revoke(ctx context.Context) error {
	if t.opts.Claims == nil {
		return nil
	}
	return t.opts.Claims.Revoke(ctx, t.token)
}

// abandon has no frontend send anybody to the match any more. A claim whose confirmation
// was given up may be confirmed all the same, and one that is confirmed delivers an earlier
// assignment of the same match to the same server.
func (t *task) abandon(ctx context.Context) error {
	if !t.confirming {
		return nil
	}
	err := t.opts.Claims.Abandon(ctx, t.token)
	if errors.Is(err, claims.ErrGone) {
		return nil // Redis came back empty, or the claim was dropped
	}
	return err
}

// drop lets others claim the tickets.
func (t *task) drop(ctx context.Context) error {
	if !t.claimed {
		return nil
	}
	return t.opts.Claims.Drop(ctx, t.token, t.job.Match.Tickets)
}
