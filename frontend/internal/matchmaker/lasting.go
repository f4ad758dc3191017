package matchmaker

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/rpc"
)

// looks is how many times directors are asked for a match before its tickets would be
// forgotten: they may be away for a moment.
const looks = 2

// longestMatch is for how long after its assignment a ticket is kept because nobody says whether
// its match lives: gates end matches by then (--longest-match), if they are not told otherwise.
const longestMatch = 24 * time.Hour

// keepPlayed has tickets whose match lives be remembered for as long as it does, until
// ctx ends: players ask where they are, and are not to be matched again.
func (c *Client) keepPlayed(ctx context.Context) {
	before := ticket.KeepBefore(c.options.Retention)
	every := before / looks
	health := rpc.NewHealth(c.logger, "tickets of long matches cannot be kept", "tickets of long matches are kept again")
	for range rpc.Ticks(ctx, every) {
		if err := c.keepOnce(ctx, c.options.Retention-before); ctx.Err() == nil {
			health.Record(err)
		}
	}
}

// keepOnce asks for the matches of the tickets that were assigned, or kept, that long ago.
func (c *Client) keepOnce(ctx context.Context, age time.Duration) error {
	old, err := c.store.AssignedBefore(ctx, age)
	if err != nil {
		return err
	}
	var asking errgroup.Group // an error of one is none of the others'
	asking.SetLimit(checks)
	for i := range old {
		asking.Go(func() error {
			if !c.lives(ctx, &old[i]) {
				return nil
			}
			if err := c.store.Keep(ctx, &old[i]); err != nil && !errors.Is(err, ticket.ErrNotFound) {
				return err
			}
			return nil
		})
	}
	return asking.Wait()
}

// lives reports whether a player of a ticket plays its match. It does if nobody says so who
// may know, and somebody does not answer, but not for longer than matches last.
func (c *Client) lives(ctx context.Context, t *ticket.Ticket) bool {
	for _, p := range t.Players {
		playing, known, away := c.askPlaying(ctx, t, p.GetId())
		if playing || !known && away && time.Since(t.Updated) < longestMatch {
			return true
		}
	}
	return false
}
