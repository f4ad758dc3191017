// Package ticket keeps the players' tickets for a match: which there are, who
// is in them, how each ended, and who wants to hear of it. It is the frontend's
// memory on the player's path and does no I/O: package matchmaker carries tickets
// to Open Match and assignments back, package api shows them to players.
package ticket

import (
	"errors"
	"fmt"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Event is something that can end a ticket.
type Event int

const (
	// Assign: a director has given the ticket a game server.
	Assign Event = iota + 1
	// Cancel: a player of it wants it no more.
	Cancel
	// Expire: it has lasted for too long.
	Expire
)

// Transition is the whole life of a ticket: it returns the state after an event
// and whether that is another one. The first event decides; all later ones
// change nothing.
func Transition(from torikumiv1.TicketState, e Event) (torikumiv1.TicketState, bool) {
	if from != torikumiv1.TicketState_SEARCHING {
		return from, false
	}
	switch e {
	case Assign:
		return torikumiv1.TicketState_ASSIGNED, true
	case Cancel:
		return torikumiv1.TicketState_CANCELLED, true
	case Expire:
		return torikumiv1.TicketState_EXPIRED, true
	}
	return from, false
}

// Assignment is where a ticket's match is played.
type Assignment struct {
	// Connection is "host:port".
	Connection string
	// Details are nil if a foreign director has assigned: then there is no join
	// token. Never changed.
	Details *torikumiv1.AssignmentDetails
}

// Ticket is a snapshot of one ticket. What it points to is never changed.
type Ticket struct {
	// ID is the frontend's own, unguessable; it outlives Open Match's tickets.
	ID            string
	Queue, Region string
	// Players are the party: at least one.
	Players []*torikumiv1.Player
	State   torikumiv1.TicketState
	Created time.Time
	// Updated is when State last changed.
	Updated time.Time
	// OpenMatchID is the ticket that stands for the ticket in Open Match; empty
	// while there is none.
	OpenMatchID string
	// Assignment is set exactly in state ASSIGNED.
	Assignment *Assignment
	// Reason says in plain words what the ticket waits for, or why it ended.
	Reason string
}

// Has tells whether the player belongs to the ticket.
func (s *Ticket) Has(player string) bool {
	for _, p := range s.Players {
		if p.GetId() == player {
			return true
		}
	}
	return false
}

// Ended tells whether the state is final.
func (s *Ticket) Ended() bool { return s.State != torikumiv1.TicketState_SEARCHING }

// Ref names a ticket and its ticket in Open Match, which may be none.
type Ref struct{ ID, OpenMatchID string }

var (
	// ErrFull means that there are as many tickets as may be kept.
	ErrFull = errors.New("too many tickets")
	// ErrStopped means that the store takes no more tickets.
	ErrStopped = errors.New("stopped")
)

// ConflictError says that a player is in another ticket of the same queue.
type ConflictError struct{ Player, Queue, ID string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("player %q already has a ticket in queue %q: %q", e.Player, e.Queue, e.ID)
}

// Store keeps tickets. Implementations are safe for concurrent use, and every
// method is atomic.
type Store interface {
	// Create adds a ticket in state SEARCHING that has no ticket in Open Match
	// yet; Attach or AbortCreate must follow. The error is a *ConflictError, ErrFull
	// or ErrStopped.
	Create(s Ticket) error
	// AbortCreate takes away a ticket whose ticket could not be made. It is false
	// if the ticket has ended meanwhile; then it stays.
	AbortCreate(id string) bool
	// Attach names the ticket's ticket in Open Match. If ok is false the ticket
	// has ended, or the store has stopped, and nobody waits for that ticket.
	// An assignment that came before the ticket's name is applied: then
	// assigned is true.
	Attach(id, openMatchID string) (s Ticket, ok, assigned bool)
	// MarkLost takes the ticket away from a ticket that still goes on, because Open
	// Match has it no more. It is false if the ticket ended or has another.
	MarkLost(id, openMatchID string) bool
	// BeginRetry begins to make another ticket for a ticket that has none; Attach or
	// AbortRetry must follow. It is false if there is nothing to do, or somebody is
	// at it.
	BeginRetry(id string) bool
	// AbortRetry gives up a BeginRetry for now.
	AbortRetry(id string)
	// Get returns a ticket that has not been forgotten.
	Get(id string) (Ticket, bool)
	// End applies Cancel or Expire. changed is false if it had ended before.
	End(id string, e Event) (s Ticket, changed, ok bool)
	// Assign applies Assign to the ticket with this ticket in Open Match. It is
	// false if there is none that still goes on.
	Assign(openMatchID string, a Assignment) (Ticket, bool)
	// Watch returns a ticket and a channel that is closed at its next change.
	Watch(id string) (Ticket, <-chan struct{}, bool)
	// Open returns the tickets that go on, oldest first, without those whose
	// ticket is just being made.
	Open() []Ref
	// Tick ends what has lasted too long, and forgets what ended long ago. It
	// returns what it has ended.
	Tick(now time.Time) []Ticket
	// Pending counts the tickets whose ticket is just being made.
	Pending() int
	// Stop closes Stopped and returns what goes on. From then on nothing
	// begins, is bound, assigned or expires.
	Stop() []Ticket
	// Stopped is closed by Stop.
	Stopped() <-chan struct{}
}
