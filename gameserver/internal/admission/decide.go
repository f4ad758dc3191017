package admission

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/pkg/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Policy says how long a server waits.
type Policy struct {
	// NoShow is how long after its allocation a server waits for players.
	NoShow time.Duration
	// Empty is how long it stays after the last player has left.
	Empty time.Duration
	// Presence is how long a player may be missing from what the game server reports.
	Presence time.Duration
	// Longest is how long a match may last; zero: for ever. It is what is left to end a
	// server that does not say that a player has gone.
	Longest time.Duration
	// Backfill says that there is a director to ask for players.
	Backfill bool
}

// within is the policy for a match that has limits of its own.
func (p Policy) within(l *torikumiv1.TimeLimits) Policy {
	for _, of := range []struct {
		limit *durationpb.Duration
		to    *time.Duration
	}{{l.GetNoShow(), &p.NoShow}, {l.GetEmpty(), &p.Empty}, {l.GetLongestMatch(), &p.Longest}} {
		if d := of.limit.AsDuration(); of.limit.IsValid() && d > 0 {
			*of.to = d
		}
	}
	return p
}

// Why a server ends.
const (
	EndNoShow = "no_show"
	EndEmpty  = "empty"
	// EndLongest: players may be there.
	EndLongest = "longest_match"
)

// Plan is what to do about the server.
type Plan struct {
	// End says why the server is to be shut down now; empty: not now.
	End string
	// At is when to decide again; zero: when the state changes.
	At time.Time
}

// Decide reports whether the server is to be shut down. It ends if nobody was
// admitted within Policy.NoShow of the allocation; or once nobody is present and
// either everybody on the roster has come and left, or that time has passed: a
// first player who leaves early must not end the server under the second.
// Without a roster nobody knows who may still come, so that time counts unless the match is
// closed. A match that is closed before anybody has come waits too: it may be opened again.
// Who was found for the running match is waited for as long as their place is kept, and
// the end of a search for players for stopWait. Whoever is there, it ends after Policy.Longest. What the roster says of these times
// comes before the policy. A server that may have several matches is not ended here:
// their players do not come through the gate.
func Decide(s *State, p Policy, now time.Time) Plan {
	p = p.within(s.Roster.GetTimeLimits())
	if !s.Phase.allocated() || s.Server.State != agones.Allocated || s.Server.Deleted || s.Server.Shared {
		return Plan{}
	}
	why, at := whenEmpty(s, p)
	if longest := s.Presence.Since.Add(p.Longest); p.Longest > 0 && (why == "" || longest.Before(at)) {
		why, at = EndLongest, longest
	}
	switch {
	case why == "":
		return Plan{}
	case now.Before(at):
		return Plan{At: at}
	}
	return Plan{End: why}
}

// whenEmpty returns why and when a server ends that nobody is on; why is empty while
// somebody is.
func whenEmpty(s *State, p Policy) (why string, at time.Time) {
	if len(s.Presence.Present) > 0 {
		return "", time.Time{}
	}
	why, at = EndNoShow, s.Presence.Since.Add(p.NoShow)
	if len(s.Presence.Departed) > 0 {
		why = EndEmpty
		empty := s.Presence.LastLeft().Add(p.Empty)
		if everybodyLeft(s) || empty.After(at) {
			at = empty
		}
	}
	for player, place := range s.Expected {
		if until := place.Seen.Add(s.reserve()); joining(s, player, place) && until.After(at) {
			at = until
		}
	}
	if stopped := s.Presence.LastLeft().Add(stopWait); s.filling(p) && stopped.After(at) {
		at = stopped
	}
	return why, at
}

// stopWait is how long the end of an empty server waits for the answer to the request that
// nobody be searched for any more: who is found before is on the roster then.
const stopWait = 3 * time.Second

// mayCome reports whether a player who has not come may still do so.
func (s *State) mayCome(player string) bool {
	return !s.given(player) && !s.Presence.Closed && !s.Presence.Banned[player]
}

// joining reports whether a player was found for the running match and is still to come.
func joining(s *State, player string, place Place) bool {
	return !place.Joined.IsZero() && !s.came(player, place) && s.mayCome(player)
}

// everybodyLeft reports whether all who are in the match from its beginning have come and left,
// or cannot come any more. Without a roster that is known of a closed match alone.
func everybodyLeft(s *State) bool {
	for player, place := range s.Expected {
		if place.Joined.IsZero() && !s.came(player, place) && s.mayCome(player) {
			return false
		}
	}
	return len(s.Expected) > 0 || s.Presence.Closed
}
