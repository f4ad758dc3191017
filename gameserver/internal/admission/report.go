package admission

import (
	"context"
	"time"

	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/token"
)

// Reasons for not taking a player for present whom the game server names; beside them
// there are ReasonNotOnRoster, ReasonPlaceGiven and ReasonBanned. Their text never changes.
const (
	// ReasonSuperseded: the player has come in anew since; only the newer stay counts.
	ReasonSuperseded token.Reason = "superseded"
	// ReasonDeparted: the game server has said that this stay is over.
	ReasonDeparted token.Reason = "departed"
	// ReasonNotAdmitted: the gate has not let this player in.
	ReasonNotAdmitted token.Reason = "not_admitted"
)

// maxPresent bounds who is here by the word of the game server alone: it is more than a roster
// can name, and without one a fault in the game must not fill the gate's memory and disk.
const maxPresent = 8192

// Stay is a player's presence from one admission on.
type Stay struct {
	Player, Admission string
}

// RefusedStay is one that the game server names and that does not count.
type RefusedStay struct {
	Stay
	Reason token.Reason
}

// Reported is what became of a report.
type Reported struct {
	// Refused are in the order of the report.
	Refused []RefusedStay
	// Lapsed is how many stays have ended because the report does not name them.
	Lapsed int
}

// Report takes in who is there for a match, by the word of the game server. A stay
// lapses when reports have not named it for Policy.Presence, from the first that does
// not; a report that names it later brings it back. So no stay ends because nothing is
// heard: a server that has no time to report, or to read the gate's answers before it
// reports, or a gate that was away, costs nobody their place. The error is a [*Refusal].
func (c *Controller) Report(ctx context.Context, match string, stays []Stay) (Reported, error) {
	if err := c.Await(ctx); err != nil {
		return Reported{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, now := &c.state, c.o.Now()
	if s.Presence.Match == "" || s.Presence.Match != match {
		return Reported{}, refuse(token.ReasonWrongMatch, "the server is not, or no longer, there for this match", nil)
	}
	var r Reported
	named := make(map[string]bool, len(stays))
	for _, stay := range stays {
		if reason := c.confirm(stay, now); reason != "" {
			r.Refused = append(r.Refused, RefusedStay{Stay: stay, Reason: reason})
			continue
		}
		named[stay.Admission] = true
	}
	missing := make(map[string]time.Time)
	for name, p := range s.Presence.Present {
		if named[p.Admission] {
			continue
		}
		since, before := c.missing[p.Admission]
		if !before {
			since = now
		}
		if now.Sub(since) < c.o.Policy.Presence {
			missing[p.Admission] = since
			continue
		}
		r.Lapsed++
		c.recorded.Record(c.o.Journal.Depart(name, now, true))
		c.o.Logger.Warn("player has lapsed: the game server no longer names them, and has not said that they left", "player", name, "match", match)
	}
	c.missing = missing
	c.wake()
	return r, nil
}

// confirm takes a stay for one that goes on, or returns why it does not; mu is held.
func (c *Controller) confirm(stay Stay, now time.Time) token.Reason {
	s := &c.state
	here, present := s.Presence.Present[stay.Player]
	gone, departed := s.Presence.Departed[stay.Player]
	switch {
	case s.Presence.Banned[stay.Player]:
		return ReasonBanned
	case present && here.Admission == stay.Admission:
		return ""
	case present:
		return ReasonSuperseded
	case departed && gone.Lapsed && gone.Admission == stay.Admission:
		if s.given(stay.Player) {
			return ReasonPlaceGiven
		}
		gone.Since, gone.Lapsed = now, false
		c.bringBack(gone)
		return ""
	case departed:
		return ReasonDeparted
	}
	place, expected := s.Expected[stay.Player]
	switch {
	case s.given(stay.Player):
		return ReasonPlaceGiven
	case len(s.Expected) > 0 && !expected:
		return ReasonNotOnRoster
	case !c.o.Journal.Incomplete() || len(s.Presence.Present) >= maxPresent:
		return ReasonNotAdmitted
	}
	// An earlier gate has let them in, and its journal is lost.
	c.bringBack(journal.Player{Player: stay.Player, Team: place.Team, Since: now, Admission: stay.Admission, Joined: place.Joined})
	return ""
}

// bringBack makes a player present, by the word of the game server; mu is held.
func (c *Controller) bringBack(p journal.Player) {
	c.recorded.Record(c.o.Journal.Return(p))
	c.o.Logger.Info("player is here, says the game server", "player", p.Player, "match", c.state.Presence.Match)
}
