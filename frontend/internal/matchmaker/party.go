package matchmaker

import (
	"context"
	"errors"

	"torikumi/frontend/internal/ticket"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Join puts a player into a party of this revision. Who is missing in the answer has
// not joined, as the party has changed. The error is a *ticket.ConflictError, a
// *PlayingError, ticket.ErrNotFound, ticket.ErrClosed or ticket.ErrUnavailable.
func (c *Client) Join(ctx context.Context, id string, player *torikumiv1.Player, revision int) (ticket.Ticket, error) {
	t, err := c.store.Get(ctx, id)
	if err != nil {
		return ticket.Ticket{}, err
	}
	e := ticket.Event{Kind: ticket.Join, Player: player, Revision: revision}
	if c.options.WhilePlaying(t.Queue) {
		change, err := c.changeParty(ctx, id, e)
		return change.Ticket, err
	}
	before, err := c.mustNotPlay(ctx, player.GetId())
	if err != nil {
		return ticket.Ticket{}, err
	}
	change, err := c.changeParty(ctx, id, e)
	if err != nil {
		return ticket.Ticket{}, err
	}
	// Who has got a match in between has not left this ticket, and has to.
	if now, err := c.lastAssigned(ctx, player.GetId()); err == nil && now.ID != before.ID && now.ID != id {
		c.leave(ctx, id, []*torikumiv1.Player{player})
		return ticket.Ticket{}, &PlayingError{Player: player.GetId(), ID: now.ID}
	}
	return change.Ticket, nil
}

// Complete lets a party of this revision search with those who are there. The
// errors are those of Join, but for the first.
func (c *Client) Complete(ctx context.Context, id string, revision int) (ticket.Ticket, error) {
	change, err := c.changeParty(ctx, id, ticket.Event{Kind: ticket.Complete, Revision: revision})
	return change.Ticket, err
}

// Remove takes a player out of a ticket, or their invitation back; by is who wants
// it. Nothing changes while Open Match is asked for a ticket. The errors are those
// of Complete.
func (c *Client) Remove(ctx context.Context, id, player, by string) (ticket.Change, error) {
	return c.changeParty(ctx, id, ticket.Event{Kind: ticket.Remove, Removed: player, By: by})
}

// changeParty applies an event, and brings Open Match up to date with it.
func (c *Client) changeParty(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
	defer c.deletes.expect()()
	change, err := c.store.Update(ctx, id, e)
	if errors.Is(err, ticket.ErrUnavailable) {
		c.aborts.add(id, aborted{kind: ticket.AbortRetry}) // it may be complete all the same
	}
	if err != nil || !change.Changed() {
		return change, err
	}
	// What is begun is finished, so that no Open Match ticket is left behind.
	ctx = context.WithoutCancel(ctx)
	t := &change.Ticket
	switch {
	case t.Ended():
		c.ended(ctx, change, "ticket cancelled, as its leader, or its last player, has left")
		return change, nil
	case change.Effect == ticket.CreateOpenMatch:
		c.logger.InfoContext(ctx, "party is complete", "ticket", id, "queue", t.Queue, "players", len(t.Players))
		if made, err := c.createOpenMatch(ctx, *t, false); err == nil {
			t.State, t.OpenMatchID, t.Assignment, t.Updated = made.Ticket.State, made.Ticket.OpenMatchID, made.Ticket.Assignment, made.Ticket.Updated
			return change, nil
		}
		// The party stays, and is tried again.
		if lost, err := c.abort(ctx, id, aborted{kind: ticket.AbortRetry}); err == nil {
			t.State, t.Reason = lost.Ticket.State, lost.Ticket.Reason
		}
		c.reconcileSoon()
	case change.Effect == ticket.DeleteOpenMatch:
		// The others search on.
		c.deletes.addThen(change.FromOpenMatchID, func() { c.out(&change) })
		if c.recreate(ctx, id) != nil {
			c.reconcileSoon()
		}
	}
	return change, nil
}
