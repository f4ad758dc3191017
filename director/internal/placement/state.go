package placement

// Stage is how far a match has come.
type Stage int

const (
	// Unclaimed: another director may have the tickets.
	Unclaimed Stage = iota
	// Unasked: the players have not said that they play the match.
	Unasked
	// Fetched: a server that an earlier director has allocated may carry the match.
	Fetched
	// NoServer carries the match.
	NoServer
	// AllocUnknown: a server may carry the match, as an allocation's answer was lost.
	AllocUnknown
	// Allocated: the match has a server, and its tickets are not assigned.
	Allocated
	// AssignUnknown: the tickets may be assigned, as an answer was lost. Another
	// try may tell.
	AssignUnknown
	// AssignUnverified: the tickets may be assigned, and no further try will tell.
	AssignUnverified
	// AssignUnresolved: the tickets may be assigned, and reading them did not tell.
	AssignUnresolved
	// Assigned: at least one ticket is assigned.
	Assigned
	// Announced: the frontends have been told.
	Announced
	// TooFew: tickets are assigned, but fewer than are worth a match.
	TooFew
	// Withdrawn: the assignment of too few was taken back.
	Withdrawn
	// Superseded: another director has taken over tickets of the match. Frontends
	// deliver nothing of it.
	Superseded
	// NoTickets of the match exist any more, and none was assigned.
	NoTickets
	// GivenUp: the tickets are not assigned, and will not be.
	GivenUp
	// Deallocated: no server will be deleted any more because of this match.
	Deallocated
	// Abandoned: there is neither a ticket nor a server left.
	Abandoned
	// Released: the tickets can be matched again.
	Released
	// Pending: a server may yet be deleted, or a release's answer was lost. The
	// tickets can be matched again after Open Match's pendingReleaseTimeout.
	Pending
)

// State is what is known of a match. Only Apply changes it.
type State struct {
	Stage Stage
	// Extra says that servers besides the one of Allocated and later may carry the
	// match, and that their deletion has not been tried.
	Extra bool
	// CanList says that game servers can be listed and deleted, CanRead that
	// tickets can be read.
	CanList, CanRead bool
	// Asks says that players are asked before there is a server.
	Asks bool
}

// Start returns the state of a match that has just been fetched; canClaim says that
// directors claim tickets, asks that players are asked.
func Start(canClaim, asks, canList, canRead bool) State {
	s := State{CanList: canList, CanRead: canRead, Asks: asks}
	if !canClaim {
		s.Stage = s.claimed()
	}
	return s
}

// claimed is the stage of a match that nobody else places.
func (s State) claimed() Stage {
	if s.Asks {
		return Unasked
	}
	return s.accepted()
}

// accepted is the stage of a match that its players play.
func (s State) accepted() Stage {
	if s.CanList {
		return Fetched
	}
	return NoServer // for all that can be known
}

// Phase is how much time a match has.
type Phase int

const (
	// Open: there is time to allocate a server.
	Open Phase = iota
	// Stopping: the director ends; no server is allocated any more.
	Stopping
	// Over: the match's time has run out.
	Over
)

// Step is what to do next with a match. Its comment names the results it can have.
type Step int

const (
	// Claim the tickets: Done, NotDone, or Refused if they are another director's.
	Claim Step = iota
	// Ask the players whether they play the match: Done, NotDone if their answers were not
	// waited for, or Refused.
	Ask
	// Adopt a server that carries the match already: Done, DoneSeveral,
	// DoneUnreachable, None or Unknown.
	Adopt
	// Allocate a server: Done, DoneUnreachable, NotDone, Refused or Unknown.
	Allocate
	// Assign the server to the tickets: Done, DoneTooFew, None, NotDone, Refused,
	// Revoked or Unknown.
	Assign
	// Verify reads from Open Match whether the tickets are assigned: Done or Unknown.
	Verify
	// Announce the assignment: Done.
	Announce
	// Withdraw the assignment of too few tickets, and announce that: Done. Open Match
	// cannot release tickets that were assigned: frontends create them anew.
	Withdraw
	// DeleteExtra deletes further servers that carry the match: Done.
	DeleteExtra
	// GiveUp does nothing by itself; undoing begins: Done.
	GiveUp
	// Deallocate deletes every server that carries the match: Done or Unknown.
	Deallocate
	// Release the tickets: Done or Unknown.
	Release
	// End: there is nothing left to do.
	End
)

// Result is what came of a step.
type Result int

const (
	// Done: the step has done what it is for.
	Done Result = iota
	// DoneSeveral: Done, and there are more servers than the one adopted.
	DoneSeveral
	// DoneUnreachable: there is a server, to which players cannot be sent.
	DoneUnreachable
	// DoneTooFew: Done, but the players of the tickets that exist are too few for a
	// match.
	DoneTooFew
	// None of what the step is for exists: no server, no ticket.
	None
	// NotDone: nothing has happened, and another try may help.
	NotDone
	// Refused: nothing has happened, and no try will help.
	Refused
	// Revoked: nothing has happened, and the tickets are another director's.
	Revoked
	// Unknown: it may have happened, or may happen yet.
	Unknown
)

// Outcome is what became of a match.
type Outcome string

const (
	// OutcomeAssigned: players know where to go.
	OutcomeAssigned Outcome = "assigned"
	// OutcomeReleased: the tickets can be matched again.
	OutcomeReleased Outcome = "released"
	// OutcomeNotAccepted: players do not play the match; those who would can be matched
	// again.
	OutcomeNotAccepted Outcome = "not_accepted"
	// OutcomeWithdrawn: too few were left to play; frontends create their tickets
	// anew.
	OutcomeWithdrawn Outcome = "withdrawn"
	// OutcomeAbandoned: nobody is waiting any more.
	OutcomeAbandoned Outcome = "abandoned"
	// OutcomeSuperseded: another director has taken the tickets over, as this one was
	// too slow; the server is left, as the other may have adopted it.
	OutcomeSuperseded Outcome = "superseded"
	// OutcomeUnknown: nobody knows whether the tickets are assigned; the server is
	// left running for those who might come.
	OutcomeUnknown Outcome = "unknown"
	// OutcomePending: the tickets are perhaps not released; if not, Open Match shows
	// them again after its pendingReleaseTimeout.
	OutcomePending Outcome = "pending"
	// OutcomeInvalid: the match could not be played, or held tickets of another.
	OutcomeInvalid Outcome = "invalid"
	// OutcomeBackfill: the tickets join a server that is running.
	OutcomeBackfill Outcome = "backfill"
)

// outcome reads the stage in which a match ends.
func (s Stage) outcome() Outcome {
	switch s {
	case Assigned, Announced:
		return OutcomeAssigned
	case AssignUnknown, AssignUnverified, AssignUnresolved:
		return OutcomeUnknown
	case Superseded:
		return OutcomeSuperseded
	case TooFew, Withdrawn:
		return OutcomeWithdrawn
	case NoTickets, Abandoned:
		return OutcomeAbandoned
	case Released:
		return OutcomeReleased
	default:
		return OutcomePending
	}
}
