package ticket

import (
	"slices"
	"time"
)

// Why a ticket ends that has not accepted a match.
const (
	Declined    = "a player has declined the match"
	notAccepted = "the match was not accepted in time"
)

// Acceptance is what the players of a ticket are asked: whether they play a match that
// was found. It is never changed; events make another one.
type Acceptance struct {
	// ID names the proposal: the same match found again is another one.
	ID string `json:"id"`
	// Players is how many the match has, in all its tickets.
	Players int `json:"players"`
	// AskTime is when the ticket has heard of it.
	AskTime time.Time `json:"ask_time"`
	// ExpireTime is until when they may accept. At ReleaseTime Open Match shows the ticket
	// to others, whatever has become of the match: then it searches on.
	ExpireTime  time.Time `json:"expire_time"`
	ReleaseTime time.Time `json:"release_time"`
	// Accepted are those of the ticket who have.
	Accepted []string `json:"accepted,omitempty"`
}

// HasAccepted reports whether a player has; empty: whether all of the ticket have. It is
// about the current proposal alone.
func (t *Ticket) HasAccepted(player string) bool {
	if t.State != Accepting {
		return false
	}
	if player != "" {
		return slices.Contains(t.Acceptance.Accepted, player)
	}
	for _, p := range t.Players {
		if !slices.Contains(t.Acceptance.Accepted, p.GetId()) {
			return false
		}
	}
	return true
}

// Due is when Lapse or Recall changes the ticket, if nothing else does; zero if nobody is
// asked.
func (t *Ticket) Due() time.Time {
	switch {
	case t.State != Accepting:
		return time.Time{}
	case t.HasAccepted(""):
		return t.Acceptance.ReleaseTime
	}
	return t.Acceptance.ExpireTime
}

// ask applies an event of an acceptance to the change, and returns what it comes to. Its
// kind is 0 if that is nothing.
func (t *Ticket) ask(e Event, c Change, now time.Time) (Event, Change) {
	applies := false
	switch a := t.Acceptance; {
	case e.Kind == Propose:
		// A proposal is repeated for those who have not heard it, also after its end.
		if applies = t.State == Waiting && (a == nil || a.ID != e.Acceptance.ID) && now.Before(e.Acceptance.ExpireTime); applies {
			asked := *e.Acceptance
			asked.AskTime = now
			c.Ticket.Acceptance, c.Acceptance = &asked, true
		}
	case t.State != Accepting, e.Proposal != "" && e.Proposal != a.ID:
	case e.Kind == Accept:
		if applies = now.Before(a.ExpireTime) && !t.HasAccepted(e.By) && (e.By == "" || t.Has(e.By)); applies {
			c.Ticket.Acceptance, c.Acceptance = t.accept(e.By), true
		}
	case e.Kind == Decline:
		applies, e.Reason = e.By == "" || t.Has(e.By), Declined
	case e.Kind == Lapse:
		applies, e.Reason = !t.HasAccepted("") && !now.Before(a.ExpireTime) && !a.AskTime.Before(e.Away), notAccepted
	case e.Kind == Recall:
		applies = e.Proposal != "" || !now.Before(a.ReleaseTime)
	}
	if !applies {
		e.Kind = 0
	}
	return e, c
}

// accept is the acceptance after a player has accepted, or with an empty one all have.
func (t *Ticket) accept(player string) *Acceptance {
	a := *t.Acceptance
	a.Accepted = slices.Clone(a.Accepted)
	for _, p := range t.Players {
		if id := p.GetId(); (player == "" || id == player) && !slices.Contains(a.Accepted, id) {
			a.Accepted = append(a.Accepted, id)
		}
	}
	return &a
}
