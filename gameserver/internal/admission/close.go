package admission

import (
	"context"
	"fmt"

	"torikumi/pkg/token"
)

// maxStrangers bounds the bans once one is of a player whom the gate has never heard of, as
// in a match without a roster: nobody's game bans so many, and a fault in it must not fill
// the gate's memory and journal.
const maxStrangers = 1024

// SetClosed closes the match to newcomers, or opens it again, until it is over. Who has
// been here comes back as before; nobody else is waited or searched for. It may be repeated;
// that it is closed also when the server has begun to end for it. The error is a [*Refusal].
func (c *Controller) SetClosed(ctx context.Context, closed bool) (match string, err error) {
	if err := c.Await(ctx); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	switch {
	case s.Presence.Match != "" && s.Presence.Closed && closed:
		return s.Presence.Match, nil
	case !s.open():
		return "", notAllocated()
	case s.Presence.Closed == closed:
		return s.Presence.Match, nil
	}
	if err := c.o.Journal.SetClosed(closed); err != nil {
		return "", refuse(token.ReasonJournalUnavailable, "it cannot be recorded", err)
	}
	c.o.Logger.Info("newcomers", "closed", closed, "match", s.Presence.Match)
	c.wake()
	return s.Presence.Match, nil
}

// Ban keeps a player of the match out until it is over, and takes them for departed if they
// are here. It may be repeated, also when the server has begun to end for it, or the place is
// somebody else's. The error is a [*Refusal].
func (c *Controller) Ban(ctx context.Context, player string) error {
	if err := c.Await(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.state
	_, expected := s.Expected[player]
	known := expected || s.Presence.Knows(player)
	switch {
	case s.Presence.Banned[player]:
		return nil
	case !s.open():
		return notAllocated()
	case len(s.Expected) > 0 && !known:
		return refuse(ReasonNotOnRoster, "the player is not one of this match", nil)
	case !known && len(s.Presence.Banned) >= maxStrangers:
		return refuse(ReasonTooManyBans, fmt.Sprintf("%d players are banned, and this one has not been here", maxStrangers), nil)
	}
	if err := c.o.Journal.Ban(player, c.o.Now()); err != nil {
		return refuse(token.ReasonJournalUnavailable, "the ban cannot be recorded", err)
	}
	c.wake()
	c.o.Logger.Info("player banned", "player", player, "match", s.Presence.Match)
	return nil
}
