package placement

// Cause is why a match is not played and its tickets are released.
type Cause string

const (
	// CauseInvalid: the match is none that can be played.
	CauseInvalid Cause = "invalid"
	// CauseTaken: it holds tickets of another match of this director.
	CauseTaken Cause = "taken"
	// CauseClaimed: it holds tickets of another director's match.
	CauseClaimed Cause = "claimed"
	// CauseNotAccepted: players do not play it.
	CauseNotAccepted Cause = "not_accepted"
	// CauseAllocation: no server can ever be allocated for it.
	CauseAllocation Cause = "allocation_refused"
	// CauseUnreachable: players cannot be sent to its server.
	CauseUnreachable Cause = "unreachable"
	// CauseAllocUnknown: the answer to its allocation was lost, and servers cannot be
	// listed.
	CauseAllocUnknown Cause = "allocation_unknown"
	// CauseAssignment: Open Match refuses its assignment.
	CauseAssignment Cause = "assignment_refused"
	// CauseTimeout: its time was over.
	CauseTimeout Cause = "timeout"
	// CauseStopping: the director stops.
	CauseStopping Cause = "stopping"
)

// cause is why a step has led to GivenUp.
func cause(step Step, r Result, now Phase) Cause {
	switch {
	case step == Claim:
		return CauseClaimed
	case step == Ask:
		return CauseNotAccepted
	case step == Assign:
		return CauseAssignment
	case step == GiveUp && now == Over:
		return CauseTimeout
	case step == GiveUp && now == Stopping:
		return CauseStopping
	case step == GiveUp:
		return CauseAllocUnknown
	case r == DoneUnreachable:
		return CauseUnreachable
	}
	return CauseAllocation
}
