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
)

var stateNames = [...]string{"NONE", "CREATING", "WAITING", "LOST", "RECREATING", "ASSIGNED", "CANCELLED", "EXPIRED"}

// String returns the name in capitals.
func (s State) String() string { return stateNames[s] }

// Ended reports whether the state is final.
func (s State) Ended() bool { return s >= Assigned }

// Proto returns the state as players see it.
func (s State) Proto() torikumiv1.TicketState {
	switch s {
	case Creating, Waiting, Lost, Recreating:
		return torikumiv1.TicketState_SEARCHING
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
// ended.
func (s State) Reason() string {
	switch s {
	case Lost, Recreating:
		return "the matchmaker has lost the ticket; it is being asked again"
	case Expired:
		return "no match was found in time"
	}
	return ""
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
)

var kindNames = [...]string{"", "Create", "Attach", "AttachAssigned", "AbortCreate", "MarkLost", "BeginRetry", "AbortRetry", "Assign", "Cancel", "Expire"}

// String returns the name.
func (k Kind) String() string { return kindNames[k] }

// Effect is what whoever applies an event has to do then.
type Effect uint8

const (
	// Nothing has to be done.
	Nothing Effect = iota
	// CreateOpenMatch: create a ticket in Open Match; Attach or an abort must
	// follow.
	CreateOpenMatch
	// DeleteOpenMatch: nobody waits for the ticket in Open Match: the event's of
	// Attach, else the ticket's. Delete it there.
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
	None: {Create: {Creating, CreateOpenMatch}},
	Creating: {
		Attach: {to: Waiting}, AttachAssigned: {to: Assigned}, AbortCreate: {to: None},
		Cancel: {to: Cancelled}, Expire: {to: Expired},
	},
	Waiting: {
		Assign: {to: Assigned}, MarkLost: {to: Lost},
		Cancel: {Cancelled, DeleteOpenMatch}, Expire: {Expired, DeleteOpenMatch},
	},
	Lost: {
		BeginRetry: {Recreating, CreateOpenMatch},
		Cancel:     {to: Cancelled}, Expire: {to: Expired},
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
