package ticket

import torikumiv1 "torikumi/proto/torikumi/v1"

// State is where a ticket is in its life, together with the ticket that stands
// for it in Open Match.
type State uint8

const (
	// None is the state of a ticket that is not in the store.
	None State = iota
	// Creating means that its first Open Match ticket is being created.
	Creating
	// Waiting means that it has an Open Match ticket, which waits for a match.
	Waiting
	// Lost means that Open Match has lost its ticket.
	Lost
	// Recreating means that another Open Match ticket is being created.
	Recreating
	// Assigned, Cancelled and Expired are final.
	Assigned
	Cancelled
	Expired
	// Gathering means that it waits for players of its party to join.
	Gathering
	// Gathered means that all have joined, and its first Open Match ticket is being
	// created: stores keep states as numbers, so that new ones come last.
	Gathered
	// Accepting means that a match was found, and that its players are asked whether they
	// play it. The Open Match ticket waits.
	Accepting

	states // how many there are
)

var stateNames = [...]string{
	"NONE", "CREATING", "WAITING", "LOST", "RECREATING", "ASSIGNED", "CANCELLED", "EXPIRED", "GATHERING", "GATHERED", "ACCEPTING",
}

// Valid reports whether there is such a state.
func (s State) Valid() bool { return s < states }

// String returns the name in capitals.
func (s State) String() string { return stateNames[s] }

// Ended reports whether the state is final.
func (s State) Ended() bool { return s == Assigned || s == Cancelled || s == Expired }

// creating reports whether Open Match is asked for a ticket.
func (s State) creating() bool { return s == Creating || s == Recreating || s == Gathered }

// attached reports whether an Open Match ticket stands for the ticket, and waits.
func (s State) attached() bool { return s == Waiting || s == Accepting }

// Proto returns the state as players see it.
func (s State) Proto() torikumiv1.TicketState {
	switch s {
	case Gathering:
		return torikumiv1.TicketState_GATHERING
	case Creating, Gathered, Waiting, Lost, Recreating:
		return torikumiv1.TicketState_SEARCHING
	case Accepting:
		return torikumiv1.TicketState_ACCEPTING
	case Assigned:
		return torikumiv1.TicketState_ASSIGNED
	case Cancelled:
		return torikumiv1.TicketState_CANCELLED
	case Expired:
		return torikumiv1.TicketState_EXPIRED
	}
	return torikumiv1.TicketState_TICKET_STATE_UNSPECIFIED
}

// Reason says in plain words what a ticket in the state waits for, or why it has
// ended, unless there is more to say of that.
func (s State) Reason() string {
	switch s {
	case Gathering:
		return "waiting for players of the party to join"
	case Accepting:
		return "a match was found, and waits for its players to accept it"
	case Lost, Recreating:
		return "the matchmaker does not have the ticket; it is being asked again"
	case Expired:
		return "no match was found in time"
	}
	return ""
}

// expired says why a ticket has ended that was in the state for too long.
func (s State) expired() string {
	switch s {
	case Gathering:
		return "the party did not gather in time"
	case Accepting:
		return "the match that was found did not begin in time"
	}
	return Expired.Reason()
}

// Kind is a kind of [Event].
type Kind uint8

const (
	// Create: a player wants a match.
	Create Kind = iota + 1
	// Attach: Open Match has created a ticket.
	Attach
	// AttachAssigned: Open Match has created a ticket, and its assignment came
	// before its id was known. Stores make it of Attach.
	AttachAssigned
	// AbortCreate: Open Match has not created the first ticket.
	AbortCreate
	// MarkLost: Open Match does not have the ticket any more.
	MarkLost
	// BeginRetry: somebody sets about creating another one.
	BeginRetry
	// AbortRetry: Open Match has not created another one.
	AbortRetry
	// Assign: a director has assigned the Open Match ticket to a game server.
	Assign
	// Cancel: a player of the ticket does not want the match any more.
	Cancel
	// Expire: the ticket has waited for too long.
	Expire
	// Gather: a player wants a match with others, who are to join.
	Gather
	// Join: a player joins the party.
	Join
	// Remove: a player leaves the party, or its leader turns them out.
	Remove
	// Complete: nobody is waited for any more. Apply makes it of a Join or a Remove
	// after which that is so.
	Complete
	// Propose: a match was found, and its players are asked.
	Propose
	// Accept: a player accepts the match, or all of the ticket do.
	Accept
	// Decline: a player does not want to play the match.
	Decline
	// Lapse: the time to accept is over. It ends a ticket of which somebody has not.
	Lapse
	// Recall: the match is not played, and who has accepted it searches on.
	Recall

	kinds // how many there are, and one
)

var kindNames = [...]string{
	"", "Create", "Attach", "AttachAssigned", "AbortCreate", "MarkLost", "BeginRetry", "AbortRetry", "Assign", "Cancel", "Expire",
	"Gather", "Join", "Remove", "Complete", "Propose", "Accept", "Decline", "Lapse", "Recall",
}

// String returns the name.
func (k Kind) String() string { return kindNames[k] }

// Begins reports whether the event leads on: a closed store takes only those that
// end or abort.
func (k Kind) Begins() bool {
	switch k {
	case Attach, BeginRetry, Expire, Join, Complete, Propose, Accept, Lapse:
		return true
	}
	return false
}

// Effect is what whoever applies an event has to do then.
type Effect uint8

const (
	// Nothing has to be done.
	Nothing Effect = iota
	// CreateOpenMatch: create a ticket in Open Match; Attach or an abort must
	// follow.
	CreateOpenMatch
	// DeleteOpenMatch: nobody waits for the ticket in Open Match: the event's of
	// Attach, else the one that the ticket had before. Delete it there.
	DeleteOpenMatch
)

// transition is what an event leads to.
type transition struct {
	to     State
	effect Effect
}

// transitions is the whole life of a ticket. What it does not have changes
// nothing: the first of Assign, Cancel and Expire decides, all later ones come
// to nothing.
var transitions = map[State]map[Kind]transition{
	None: {Create: {Creating, CreateOpenMatch}, Gather: {to: Gathering}},
	Gathering: {
		Join: {to: Gathering}, Remove: {to: Gathering}, Complete: {Gathered, CreateOpenMatch},
		Cancel: {to: Cancelled}, Expire: {to: Expired},
	},
	// A party outlives an Open Match that is out of reach: it is Lost until then.
	Gathered: {
		Attach: {to: Waiting}, AttachAssigned: {to: Assigned}, AbortRetry: {to: Lost},
		Cancel: {to: Cancelled}, Expire: {to: Expired},
	},
	Creating: {
		Attach: {to: Waiting}, AttachAssigned: {to: Assigned}, AbortCreate: {to: None},
		Cancel: {to: Cancelled}, Expire: {to: Expired},
	},
	Waiting: {
		Assign: {to: Assigned}, MarkLost: {to: Lost}, Remove: {Lost, DeleteOpenMatch},
		Cancel: {Cancelled, DeleteOpenMatch}, Expire: {Expired, DeleteOpenMatch}, Propose: {to: Accepting},
	},
	Accepting: {
		Accept: {to: Accepting}, Decline: {Cancelled, DeleteOpenMatch}, Lapse: {Cancelled, DeleteOpenMatch}, Recall: {to: Waiting},
		Assign: {to: Assigned}, MarkLost: {to: Lost}, Remove: {Lost, DeleteOpenMatch},
		Cancel: {Cancelled, DeleteOpenMatch}, Expire: {Expired, DeleteOpenMatch},
	},
	Lost: {
		BeginRetry: {Recreating, CreateOpenMatch}, Remove: {to: Lost},
		Cancel: {to: Cancelled}, Expire: {to: Expired},
	},
	Recreating: {
		Attach: {to: Waiting}, AttachAssigned: {to: Assigned}, AbortRetry: {to: Lost},
		Cancel: {to: Cancelled}, Expire: {to: Expired},
	},
}

// Transition returns the state after an event, what has to be done then, and
// whether that is another state. An Attach that comes too late changes nothing
// but has an effect: the Open Match ticket must be deleted.
func Transition(from State, k Kind) (to State, effect Effect, ok bool) {
	if t, ok := transitions[from][k]; ok {
		return t.to, t.effect, true
	}
	if k == Attach || k == AttachAssigned {
		return from, DeleteOpenMatch, false
	}
	return from, Nothing, false
}
