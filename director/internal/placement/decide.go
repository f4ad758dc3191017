package placement

// Decide says what to do next. It is pure, and with Apply it is all there is to the
// promises: one server for one match, no live server under a player's feet
// deallocated, no ticket stranded that could be released.
func Decide(s State, now Phase) Step {
	switch s.Stage {
	case Unclaimed:
		// They are claimed to be released, too: as long as they may be another's,
		// nothing is done with them. When the time is over, Open Match shows them
		// again by itself.
		if now != Over {
			return Claim
		}
	case Unasked:
		if now != Open {
			return GiveUp
		}
		return Ask
	case Fetched, NoServer, AllocUnknown:
		switch {
		case now != Open || (s.Stage == AllocUnknown && !s.CanList):
			return GiveUp
		case s.Stage == NoServer:
			return Allocate
		default:
			return Adopt
		}
	case Allocated:
		if now == Over {
			return GiveUp
		}
		return Assign
	case AssignUnknown, AssignUnverified:
		switch {
		case s.Stage == AssignUnknown && now != Over:
			return Assign
		case s.CanRead:
			return Verify
		}
		// Players may be on their way to the server: neither it nor the tickets can
		// be touched. If nobody comes, the server's no-show time-out ends it, and
		// Open Match shows the tickets again by itself.
	case Assigned:
		return Announce
	case TooFew:
		return Withdraw
	case Announced, Withdrawn:
		// A frontend may have read the assignment before it was withdrawn: the
		// server that it names stays, and its no-show time-out ends it.
		if s.Extra && s.CanList {
			return DeleteExtra
		}
	case NoTickets:
		if s.CanList {
			return Deallocate
		}
	case GivenUp:
		// Servers go first: once released, the tickets can come back in a match of
		// the same id, which looks for a server and has to find none that is about
		// to be deleted.
		if s.Extra && s.CanList {
			return Deallocate
		}
		return Release
	case Deallocated:
		return Release
	}
	return End
}

// Apply returns the state after a step. It is pure.
func Apply(s State, step Step, r Result) State {
	switch step {
	case Claim:
		switch r {
		case Done:
			s.Stage = s.claimed()
		case Refused:
			s.Stage = GivenUp
		}
	case Ask:
		switch r {
		case Done:
			s.Stage = s.accepted()
		case Refused:
			s.Stage = GivenUp
		}
	case Adopt:
		switch {
		case r == Done || r == DoneSeveral:
			s.Stage, s.Extra = Allocated, s.Extra || r == DoneSeveral
		case r == DoneUnreachable:
			s.Stage, s.Extra = GivenUp, true
		case r == None || s.Stage == Fetched: // the first look only saves a server
			s.Stage = NoServer
		}
	case Allocate:
		switch r {
		case Done:
			s.Stage = Allocated
		case DoneUnreachable:
			s.Stage, s.Extra = GivenUp, true
		case Refused:
			s.Stage = GivenUp
		case Unknown: // it may have its effect much later
			s.Stage, s.Extra = AllocUnknown, true
		}
	case Assign:
		switch {
		case r == Done:
			s.Stage = Assigned
		case r == DoneTooFew:
			s.Stage = TooFew
		case r == Revoked:
			s.Stage = Superseded
		case r == Unknown:
			s.Stage = AssignUnknown
		case r == NotDone:
		case s.Stage == AssignUnknown: // says nothing about the earlier try
			s.Stage = AssignUnverified
		case r == None:
			s.Stage = NoTickets
		default:
			s.Stage, s.Extra = GivenUp, true
		}
	case Verify:
		s.Stage = either(r, Assigned, AssignUnresolved)
	case Announce:
		s.Stage = Announced
	case Withdraw:
		s.Stage = Withdrawn
	case DeleteExtra:
		s.Extra = false
	case GiveUp:
		s.Stage, s.Extra = GivenUp, s.Extra || s.Stage == Allocated
	case Deallocate:
		if s.Stage == NoTickets {
			s.Stage = Abandoned
		} else {
			s.Stage = either(r, Deallocated, Pending)
		}
	case Release:
		s.Stage = either(r, Released, Pending)
	}
	return s
}

func either(r Result, done, unknown Stage) Stage {
	if r == Done {
		return done
	}
	return unknown
}

// Waits reports whether time has to pass before the next step, as it repeats one.
func Waits(from State, step Step, r Result) bool {
	switch step {
	case Adopt:
		return from.Stage == AllocUnknown && (r == None || r == Unknown)
	case Claim, Ask, Allocate:
		return r == NotDone
	case Assign:
		return r == NotDone || r == Unknown
	default:
		return false
	}
}
