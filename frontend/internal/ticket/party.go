package ticket

import (
	"slices"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Party is how the players of a ticket come together: each joins with their own
// token, until as many are there as are waited for. It is never changed; events
// make another one.
type Party struct {
	// Leader has created the ticket, and may remove others.
	Leader string `json:"leader"`
	// Size is how many players are waited for, the leader among them.
	Size int `json:"size"`
	// Invited are those who have a place for them alone. Places beyond those are for
	// whoever has the code.
	Invited []string `json:"invited,omitempty"`
	// Removed may not come back.
	Removed []string `json:"removed,omitempty"`
	// Code is the secret to join by.
	Code string `json:"code"`
	// Revision counts the changes of the party.
	Revision int `json:"revision"`
	// Completed is when all were there, zero before.
	Completed time.Time `json:"completed,omitzero"`
}

// Searching is since when the ticket waits for a match.
func (t *Ticket) Searching() time.Time {
	if t.Party != nil && !t.Party.Completed.IsZero() {
		return t.Party.Completed
	}
	return t.Created
}

// Admits reports whether a player may join a ticket that is gathering.
func (t *Ticket) Admits(player string) bool {
	p := t.Party
	if p == nil || t.State != Gathering || slices.Contains(p.Removed, player) {
		return false
	}
	return slices.Contains(p.Invited, player) || p.Size-len(t.Players)-len(t.Missing()) > 0
}

// Missing are those who are invited and have not joined.
func (t *Ticket) Missing() []string {
	if t.Party == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(t.Party.Invited), t.Has)
}

// join adds a player to the change, and returns the kind that the event comes to.
func (t *Ticket) join(e Event, c Change) (Kind, Change) {
	id := e.Player.GetId()
	if t.Has(id) || !t.Admits(id) || t.Party.Revision != e.Revision {
		return 0, c
	}
	c.Ticket.Players = append(slices.Clone(t.Players), e.Player)
	c.Ticket.Party, c.Joined, c.Party = t.Party.next(), id, true
	return c.completes(Join), c
}

// remove takes a player out, or an invitation back. A ticket without its leader,
// or without anybody, is cancelled.
func (t *Ticket) remove(e Event, c Change) (Kind, Change) {
	if _, _, ok := Transition(t.State, Remove); !ok {
		return 0, c
	}
	in := t.Has(e.Removed)
	invited := t.Party != nil && t.State == Gathering && slices.Contains(t.Party.Invited, e.Removed)
	if !in && !invited {
		return 0, c
	}
	if in && (len(t.Players) == 1 || t.Party != nil && t.Party.Leader == e.Removed) {
		return Cancel, c
	}
	if in {
		c.Ticket.Players = slices.DeleteFunc(slices.Clone(t.Players), func(p *torikumiv1.Player) bool { return p.GetId() == e.Removed })
		c.Left = e.Removed
	}
	c.Party = true
	if t.Party != nil {
		c.Ticket.Party = t.Party.without(e.Removed, e.Removed != e.By)
	}
	return c.completes(Remove), c
}

// completes is the kind of an event after which nobody is missing.
func (c *Change) completes(k Kind) Kind {
	if t := &c.Ticket; t.State == Gathering && len(t.Players) >= t.Party.Size {
		return Complete
	}
	return k
}

func (p *Party) next() *Party {
	n := *p
	n.Revision++
	return &n
}

// complete is the party once so many are all that are waited for.
func (p *Party) complete(players int, now time.Time) *Party {
	n := p.next()
	n.Completed, n.Size = now, players
	return n
}

// without is the party after a player has left; one who was turned out may not
// come back, and is not waited for if they were invited.
func (p *Party) without(player string, turnedOut bool) *Party {
	n := p.next()
	if !turnedOut {
		return n
	}
	n.Removed = append(slices.Clone(p.Removed), player)
	if i := slices.Index(p.Invited, player); i >= 0 {
		n.Invited = slices.Delete(slices.Clone(p.Invited), i, i+1)
		n.Size--
	}
	return n
}
