package admission

import (
	"time"

	"torikumi/pkg/agones"
)

// Policy says how long a server waits.
type Policy struct {
	// NoShow is how long after its allocation a server waits for players.
	NoShow time.Duration
	// Empty is how long it stays after the last player has left.
	Empty time.Duration
}

// Why a server ends.
const (
	EndNoShow = "no_show"
	EndEmpty  = "empty"
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
// Without a roster nobody knows who may still come, so that time always counts.
func Decide(s *State, p Policy, now time.Time) Plan {
	if !s.Phase.allocated() || s.Server.State != agones.Allocated || s.Server.Deleted || len(s.Presence.Present) > 0 {
		return Plan{}
	}
	why, at := EndNoShow, s.Presence.Since.Add(p.NoShow)
	if len(s.Presence.Departed) > 0 {
		why = EndEmpty
		empty := s.Presence.LastLeft().Add(p.Empty)
		if everybodyLeft(s) || empty.After(at) {
			at = empty
		}
	}
	if now.Before(at) {
		return Plan{At: at}
	}
	return Plan{End: why}
}

func everybodyLeft(s *State) bool {
	for player := range s.Expected {
		if _, ok := s.Presence.Departed[player]; !ok {
			return false
		}
	}
	return len(s.Expected) > 0
}
