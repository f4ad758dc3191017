package api

import (
	"context"
	"time"

	"golang.org/x/sync/singleflight"

	"torikumi/frontend/internal/ratelimit"
	"torikumi/frontend/internal/ticket"
)

const (
	// playingInterval and playingBurst limit how often directors are asked for a player.
	playingInterval = time.Second
	playingBurst    = 10
	// playingFor is how long what directors say of a player is told to those who ask more
	// often: longer than playingInterval.
	playingFor = 2 * playingInterval
)

// playingChecks ask the directors whether players still play, who may ask as often as they
// like: one call at a time for each player and ticket. Who asks more often than directors are to
// be asked is told the last answer, who does not is told what is so now. They are safe for
// concurrent use.
type playingChecks struct {
	ask   func(ctx context.Context, t *ticket.Ticket, player string) (playing, known bool)
	limit *ratelimit.Limiter
	calls singleflight.Group
	last  *recent[playingAnswer]
}

// playingAnswer is what the directors have said.
type playingAnswer struct{ playing, known bool }

func newPlayingChecks(ask func(ctx context.Context, t *ticket.Ticket, player string) (playing, known bool)) *playingChecks {
	return &playingChecks{ask: ask, limit: ratelimit.New(playingInterval, playingBurst, nil), last: newRecent[playingAnswer](playingFor)}
}

// plays reports whether a player plays the match of an assigned ticket, and whether that is
// known.
func (c *playingChecks) plays(ctx context.Context, t *ticket.Ticket, player string) (playing, known bool) {
	key := t.ID + " " + player
	shared := c.calls.DoChan(key, func() (any, error) {
		if ok, _ := c.limit.Allow(ctx, key); !ok {
			if a, ok := c.last.get(key); ok {
				return a, nil
			}
		}
		// It goes on for the others when the first caller has gone. It is short.
		var a playingAnswer
		a.playing, a.known = c.ask(context.WithoutCancel(ctx), t, player)
		c.last.put(key, a)
		return a, nil
	})
	select {
	case r := <-shared:
		a, _ := r.Val.(playingAnswer) // it is nothing else
		return a.playing, a.known
	case <-ctx.Done():
		return false, false
	}
}
