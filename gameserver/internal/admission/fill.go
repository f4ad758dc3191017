package admission

import (
	"maps"
	"slices"
	"time"

	"torikumi/gameserver/internal/journal"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// fillSpacing is the least time between two calls to a director, whatever the game
	// server and its players do.
	fillSpacing = time.Second
	// fillSlow is the time between two calls while no place is free, and the longest there
	// is: somebody's leaving causes a call of its own.
	fillSlow = 30 * time.Second
	// mostBanned is how many players a director may be told not to find. Who is beyond that
	// is refused by the gate alone.
	mostBanned = 200
)

// Fill is the request for players, as this gate has made it.
type Fill struct {
	// Open: a director may be searching for players.
	Open bool
	// Sent is who had a place in the last call that was answered, in order, and Banned who
	// was not to be found.
	Sent, Banned []string
	// Due is when to call again, although nothing has changed.
	Due time.Time
	// NotBefore is before when no call is made, whatever has changed.
	NotBefore time.Time
	// Answer is the last one; nil before the first.
	Answer *torikumiv1.FillResponse
	// Failure names the code of the last call; empty if it was answered.
	Failure string
}

// FillPlan is what to ask of a director.
type FillPlan struct {
	// Call: ask now.
	Call bool
	// Stop: nobody is to be searched for any more.
	Stop bool
	// Players have a place, in order.
	Players []string
	// Banned are not to be found, in order: the first mostBanned of all.
	Banned []string
	// Give are those whose places the call gives away.
	Give []string
	// Seen is when the last of the roster has joined; zero: all are in it from its beginning.
	Seen time.Time
	// At is when to decide again, if there is no call; zero: when the state changes.
	At time.Time
}

// DecideFill decides whether to ask a director for players, and who has a place. Players
// are searched for while the game server wants them, or the queue without its saying so, and
// somebody is there to play with. Who has left keeps the place for the time that
// the queue says; so does who was found and does not come, from when the gate saw their
// place. Who is in the match from its beginning and has not come keeps it for
// Policy.NoShow after the allocation.
func DecideFill(s *State, p Policy, now time.Time) FillPlan {
	p = p.within(s.Roster.GetTimeLimits())
	f := &s.Fill
	if !s.wanted(p) {
		if !s.filling(p) {
			return FillPlan{}
		}
		players, _, _ := s.holders(p, time.Time{})
		return f.at(f.NotBefore, now, FillPlan{Call: true, Stop: true, Players: players, Seen: s.lastJoined()})
	}
	players, give, next := s.holders(p, now)
	banned := s.banned()
	due := f.Due
	if len(give) > 0 || !slices.Equal(players, f.Sent) || !slices.Equal(banned, f.Banned) {
		due = f.NotBefore
	}
	plan := f.at(due, now, FillPlan{Call: true, Players: players, Banned: banned, Give: give, Seen: s.lastJoined()})
	if !plan.Call && !next.IsZero() && next.Before(plan.At) {
		plan.At = next
	}
	return plan
}

// at returns the call if it is due, else when it is.
func (f *Fill) at(due, now time.Time, call FillPlan) FillPlan {
	if due.Before(f.NotBefore) {
		due = f.NotBefore
	}
	if now.Before(due) {
		return FillPlan{At: due}
	}
	return call
}

// mayFill reports whether the match can be filled up.
func (s *State) mayFill(p Policy) bool { return p.Backfill && s.Roster.GetBackfill() != nil }

// asked reports whether the game server, or its queue, wants more players.
func (s *State) asked(p Policy) bool {
	if !s.mayFill(p) || s.Presence.Backfill == journal.BackfillStopped || s.Presence.Closed {
		return false
	}
	return s.Presence.Backfill == journal.BackfillAsked || s.Roster.GetBackfill().GetAutomatic()
}

// wanted reports whether players are to be searched for now: nobody is sent to a server
// on which nobody is.
func (s *State) wanted(p Policy) bool {
	return s.asked(p) && s.open() && len(s.Presence.Present) > 0
}

// filling reports whether a director may be searching for players, also by the word of an
// earlier gate.
func (s *State) filling(p Policy) bool {
	return s.Fill.Open && s.mayFill(p) && (s.Presence.Backfill != journal.BackfillUnset || s.Roster.GetBackfill().GetAutomatic())
}

// searching reports whether somebody may be found whom no view shows yet.
func (s *State) searching(p Policy) bool { return s.filling(p) || s.wanted(p) }

// reserve is how long a place is kept.
func (s *State) reserve() time.Duration {
	d := s.Roster.GetBackfill().GetReserve()
	if !d.IsValid() {
		return 0
	}
	return max(d.AsDuration(), 0)
}

// holders returns, in order, who has a place at a time, and whose place is to be given
// away; next is when the next place will be. A zero time gives none away.
func (s *State) holders(p Policy, now time.Time) (players, give []string, next time.Time) {
	for player, place := range s.Expected {
		if s.given(player) {
			continue
		}
		until := s.keptUntil(player, place, p)
		switch {
		case until.IsZero() || now.Before(until):
			players = append(players, player)
		default:
			give = append(give, player)
			continue
		}
		if !until.IsZero() && (next.IsZero() || until.Before(next)) {
			next = until
		}
	}
	slices.Sort(players)
	slices.Sort(give)
	return players, give, next
}

// banned are those whom a director is not to find, in order.
func (s *State) banned() []string {
	all := slices.Sorted(maps.Keys(s.Presence.Banned))
	return all[:min(len(all), mostBanned)]
}

// lastJoined is when the last of the roster has joined.
func (s *State) lastJoined() (last time.Time) {
	for _, place := range s.Expected {
		if place.Joined.After(last) {
			last = place.Joined
		}
	}
	return last
}

// keptUntil is when a place is given away; zero: not while the player is there.
func (s *State) keptUntil(player string, place Place, p Policy) time.Time {
	if _, present := s.Presence.Present[player]; present {
		return time.Time{}
	}
	left, departed := s.Presence.Departed[player]
	switch {
	case s.Presence.Banned[player]:
		return s.Presence.Since // at once
	case departed && left.Joined.Equal(place.Joined):
		return left.Since.Add(s.reserve())
	case !place.Joined.IsZero():
		return place.Seen.Add(s.reserve())
	}
	return s.Presence.Since.Add(p.NoShow)
}

// answered takes the answer to a call in; jitter, from 0 to 1, spreads the calls of many
// gates.
func (f *Fill) answered(plan FillPlan, answer *torikumiv1.FillResponse, now time.Time, jitter float64) {
	if plan.Stop {
		*f = Fill{NotBefore: now.Add(fillSpacing)}
		return
	}
	f.Answer, f.Failure, f.Sent, f.Banned = answer, "", plan.Players, plan.Banned
	wait := min(max(answer.GetNext().AsDuration(), fillSpacing), fillSlow)
	if !answer.GetNext().IsValid() {
		wait = 2 * fillSpacing
	}
	if answer.GetState() != torikumiv1.FillResponse_SEARCHING {
		wait = fillSlow
	}
	// Up to a tenth earlier: Open Match forgets who is late.
	f.Due = now.Add(wait - time.Duration(jitter*float64(wait)/10))
	f.NotBefore = now.Add(fillSpacing)
}
