// Package search keeps the players' searches for a match: which there are, who
// is in them, how each ended, and who wants to hear of it. It is the frontend's
// memory on the player's path and does no I/O: package broker carries searches
// to Open Match and assignments back, package api shows them to players.
package search

import (
	"errors"
	"fmt"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Event is something that can end a search.
type Event int

const (
	// Assign: a director has given the search a game server.
	Assign Event = iota + 1
	// Cancel: a player of it wants it no more.
	Cancel
	// Expire: it has lasted for too long.
	Expire
)

// Transition is the whole life of a search: it returns the state after an event
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

// Assignment is where a search's match is played.
type Assignment struct {
	// Connection is "host:port".
	Connection string
	// Details are nil if a foreign director has assigned: then there is no join
	// token. Never changed.
	Details *torikumiv1.AssignmentDetails
}

// Search is a snapshot of one search. What it points to is never changed.
type Search struct {
	// ID is the frontend's own, unguessable; it outlives Open Match's tickets.
	ID            string
	Queue, Region string
	// Players are the party: at least one.
	Players []*torikumiv1.Player
	State   torikumiv1.TicketState
	Created time.Time
	// Updated is when State last changed.
	Updated time.Time
	// OpenMatchID is the ticket that stands for the search in Open Match; empty
	// while there is none.
	OpenMatchID string
	// Assignment is set exactly in state ASSIGNED.
	Assignment *Assignment
	// Reason says in plain words what the search waits for, or why it ended.
	Reason string
}

// Has tells whether the player belongs to the search.
func (s *Search) Has(player string) bool {
	for _, p := range s.Players {
		if p.GetId() == player {
			return true
		}
	}
	return false
}

// Ended tells whether the state is final.
func (s *Search) Ended() bool { return s.State != torikumiv1.TicketState_SEARCHING }

// Ref names a search and its ticket in Open Match, which may be none.
type Ref struct{ ID, OpenMatchID string }

var (
	// ErrFull means that there are as many searches as may be kept.
	ErrFull = errors.New("too many searches")
	// ErrStopped means that the store takes no more searches.
	ErrStopped = errors.New("stopped")
)

// ConflictError says that a player is in another search of the same queue.
type ConflictError struct{ Player, Queue, ID string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("player %q already searches in queue %q (ticket %q)", e.Player, e.Queue, e.ID)
}

// Store keeps searches. Implementations are safe for concurrent use, and every
// method is atomic.
type Store interface {
	// Begin adds a search in state SEARCHING that has no ticket in Open Match
	// yet; Bind or Abandon must follow. The error is a *ConflictError, ErrFull
	// or ErrStopped.
	Begin(s Search) error
	// Abandon takes away a search whose ticket could not be made. It is false
	// if the search has ended meanwhile; then it stays.
	Abandon(id string) bool
	// Bind names the search's ticket in Open Match. If ok is false the search
	// has ended, or the store has stopped, and nobody waits for that ticket.
	// An assignment that came before the ticket's name is applied: then
	// assigned is true.
	Bind(id, openMatchID string) (s Search, ok, assigned bool)
	// Lose takes the ticket away from a search that still goes on, because Open
	// Match has it no more. It is false if the search ended or has another.
	Lose(id, openMatchID string) bool
	// Retry begins to make another ticket for a search that has none; Bind or
	// Defer must follow. It is false if there is nothing to do, or somebody is
	// at it.
	Retry(id string) bool
	// Defer gives up a Retry for now.
	Defer(id string)
	// Get returns a search that has not been forgotten.
	Get(id string) (Search, bool)
	// End applies Cancel or Expire. changed is false if it had ended before.
	End(id string, e Event) (s Search, changed, ok bool)
	// Assign applies Assign to the search with this ticket in Open Match. It is
	// false if there is none that still goes on.
	Assign(openMatchID string, a Assignment) (Search, bool)
	// Watch returns a search and a channel that is closed at its next change.
	Watch(id string) (Search, <-chan struct{}, bool)
	// Open returns the searches that go on, oldest first, without those whose
	// ticket is just being made.
	Open() []Ref
	// Tick ends what has lasted too long, and forgets what ended long ago. It
	// returns what it has ended.
	Tick(now time.Time) []Search
	// Pending counts the searches whose ticket is just being made.
	Pending() int
	// Stop closes Stopped and returns what goes on. From then on nothing
	// begins, is bound, assigned or expires.
	Stop() []Search
	// Stopped is closed by Stop.
	Stopped() <-chan struct{}
}
