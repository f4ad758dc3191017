package admission

import (
	"context"
	"time"

	"torikumi/pkg/rpc"
)

// Tell writes on the game server that somebody has come for its match, until ctx
// ends; then it returns nil. A director gives a server back that nobody came to, and
// no other. It is not on a player's way: nobody waits for it to be written.
func (c *Controller) Tell(ctx context.Context) error {
	backoff := rpc.Backoff{Min: 200 * time.Millisecond, Max: 10 * time.Second}
	told := rpc.NewHealth(c.o.Logger, "the game server does not show that players have come, trying again", "the game server shows that players have come")
	for {
		var retry time.Time
		if match := c.untold(); match == "" {
			backoff.Reset()
		} else {
			// Until the view shows it: the SDK answers before it has written.
			if err := c.o.Server.SetAdmitted(ctx, match); ctx.Err() == nil {
				told.Record(err)
			}
			retry = c.o.Now().Add(backoff.Next())
		}
		if !c.wait(ctx, c.came, retry) {
			return nil
		}
	}
}

// untold is the match that somebody has come for, unless the server shows it.
func (c *Controller) untold() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	p := s.Presence
	if len(p.Present)+len(p.Departed) == 0 || s.Server.Ending() || s.Server.Admitted == p.Match {
		return ""
	}
	return p.Match
}
