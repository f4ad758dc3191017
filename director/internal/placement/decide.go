package placement

import "torikumi/director/internal/call"

// Step is what to do next with a match.
type Step int

const (
	// Adopt for a server that carries the match already.
	Adopt Step = iota
	// Allocate a server.
	Allocate
	// Assign the server to the tickets.
	Assign
	// Verify asks Open Match whether the tickets are assigned.
	Verify
	// Announce the assignment.
	Announce
	// DeleteExtra gives back further servers that carry the match.
	DeleteExtra
	// Deallocate gives back every server that carries the match.
	Deallocate
	// Release the tickets.
	Release
	// End: there is nothing left to do.
	End
)

// State is what is known of a match. The zero value is a match that has just
// been fetched.
type State struct {
	// CanList says that game servers can be listed and given back, CanRead
	// that tickets can be read.
	CanList, CanRead bool

	// Over says that the time for the match has run out, Stopping that the
	// director ends: then no server is allocated any more.
	Over, Stopping bool

	// SoughtServer says that a first look has been tried.
	SoughtServer bool
	// AllocUnknown says that a server may have been allocated that no look since
	// then has shown; Extra, that there was such a time.
	AllocUnknown, Extra bool
	// AllocRefused says that no try will ever get a server.
	AllocRefused bool
	// Server says that the match has a server; Unreachable, one without address.
	Server, Unreachable bool

	// AssignUnknown says that the tickets may have been assigned: players may
	// know the address.
	AssignUnknown bool
	// AssignRefused says that no try will ever assign the tickets.
	AssignRefused bool
	// Abandoned says that none of the tickets exists any more.
	Abandoned bool
	// Assigned says that at least one ticket has been assigned.
	Assigned bool
	// Verified says that Verify has been tried.
	Verified bool

	Announced, ExtraDeleted bool
	// Deallocated says that Deallocate has been tried; DeallocateUnknown, that a
	// server may yet be deleted because of it.
	Deallocated, DeallocateUnknown bool
	// Released says that Release has been tried.
	Released bool
}

// Decide says what to do next. It is pure, and what it says is all there is
// to the promises: one server for one match, no live server under a player's
// feet given back, no ticket stranded that could be released.
func Decide(s State) Step {
	switch {
	case s.Assigned:
		return afterAssign(s)
	case !s.Server && (s.Over || s.Stopping || s.AllocRefused || (s.AllocUnknown && !s.CanList)):
		return giveUp(s)
	case !s.Server && s.CanList && (!s.SoughtServer || s.AllocUnknown):
		return Adopt
	case !s.Server:
		return Allocate
	case s.Unreachable:
		return giveUp(s)
	case s.Over || s.AssignRefused || s.Abandoned:
		return unassigned(s)
	default:
		return Assign
	}
}

func afterAssign(s State) Step {
	switch {
	case !s.Announced:
		return Announce
	case s.Extra && s.CanList && !s.ExtraDeleted:
		return DeleteExtra
	default:
		return End
	}
}

// unassigned ends a match that has a server and could not be assigned.
func unassigned(s State) Step {
	switch {
	case !s.AssignUnknown:
		return giveUp(s)
	case s.CanRead && !s.Verified:
		return Verify
	default:
		// Players may be on their way to the server: neither it nor the
		// tickets can be touched. If nobody comes, the server's no-show
		// time-out ends it, and Open Match shows the tickets again by itself.
		return End
	}
}

// giveUp undoes what was done. Servers go first: once released, the tickets
// can come back in a match of the same id, which looks for a server and has to
// find none that is about to be deleted.
func giveUp(s State) Step {
	switch {
	case (s.Server || s.Extra) && s.CanList && !s.Deallocated:
		return Deallocate
	case !s.Released && !s.Abandoned && !s.DeallocateUnknown:
		return Release
	default:
		return End
	}
}

// Outcome is what became of a match.
type Outcome string

const (
	// OutcomeAssigned: players know where to go.
	OutcomeAssigned Outcome = "assigned"
	// OutcomeReleased: the tickets can be matched again.
	OutcomeReleased Outcome = "released"
	// OutcomeAbandoned: nobody is waiting any more.
	OutcomeAbandoned Outcome = "abandoned"
	// OutcomeUnknown: nobody knows whether the tickets are assigned; the server is kept
	// for those who might come.
	OutcomeUnknown Outcome = "unknown"
	// OutcomePending: the tickets could not be released; Open Match shows them again
	// after its pendingReleaseTimeout.
	OutcomePending Outcome = "pending"
	// OutcomeInvalid: the match could not be played, or held tickets of another.
	OutcomeInvalid Outcome = "invalid"
	// OutcomeBackfill: the tickets join a server that is running.
	OutcomeBackfill Outcome = "backfill"
)

// outcome reads the final state.
func (s State) outcome(released bool) Outcome {
	switch {
	case s.Assigned:
		return OutcomeAssigned
	case s.AssignUnknown:
		return OutcomeUnknown
	case s.Abandoned:
		return OutcomeAbandoned
	case released:
		return OutcomeReleased
	default:
		return OutcomePending
	}
}

// allocated notes what came of a try to allocate.
func (s *State) allocated(e call.Effect) {
	switch e {
	case call.Done:
		s.Server, s.AllocUnknown = true, false
	case call.Refused:
		s.AllocRefused = true
	case call.Unknown:
		s.AllocUnknown, s.Extra = true, true
	case call.NotSent, call.Busy:
	}
}

// assigned notes what came of a try to assign the tickets, of which missing no
// longer exist.
func (s *State) assigned(e call.Effect, tickets, missing int) {
	switch {
	case e == call.Done && missing < tickets:
		s.Assigned = true
	case e == call.Done:
		s.Abandoned = true
	case e == call.Refused:
		s.AssignRefused = true
	case e == call.Unknown || e == call.Busy:
		s.AssignUnknown = true
	}
}
