// Package ticket keeps the players' tickets: which there are, who is in them,
// what has become of each, and who waits for news of it. It is the frontend's
// memory on the player's path and does no I/O of its own: package matchmaker
// creates tickets in Open Match and brings assignments back, package api shows
// tickets to players.
package ticket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

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
	// Group is what queues share of which a player may have a ticket in one at a time;
	// the queue alone when empty. No queue has its name.
	Group string
	// Players are those who are in it: at least one.
	Players []*torikumiv1.Player
	// Party is how they have come together; nil if all were there from the start.
	Party   *Party
	State   State
	Created time.Time
	// Updated is when the state that players see last changed.
	Updated time.Time
	// OpenMatchID is the ticket that stands for this one in Open Match, or did
	// when this one ended; empty if there is none.
	OpenMatchID string
	// Assignment is set exactly in state Assigned.
	Assignment *Assignment
	// Acceptance is what its players are asked in state Accepting, and else what they were
	// asked last; nil if they never were.
	Acceptance *Acceptance
	// Reason says in plain words what the ticket waits for, or why it ended.
	Reason string
	// Request is what has asked for it, nil for one that is not to be recognised.
	// Only Create looks at it.
	Request *Request
}

// Request is what a client asks with: made again, it makes no other ticket.
type Request struct {
	// Key names it among the requests of all callers.
	Key string
	// Digest is that of what it asks for, however that is written.
	Digest string
	// Written is that of how it is written. Frontends of earlier versions, which are there
	// during an upgrade, keep and compare it alone. Empty: the same as Digest.
	Written string
}

// Same reports whether two requests ask for the same. A way to write it may be the one
// that Digest is taken of.
func (r *Request) Same(other *Request) bool {
	mine, theirs := [...]string{r.Digest, cmp.Or(r.Written, r.Digest)}, [...]string{other.Digest, cmp.Or(other.Written, other.Digest)}
	return slices.ContainsFunc(mine[:], func(d string) bool { return slices.Contains(theirs[:], d) })
}

// Has reports whether the player belongs to the ticket.
func (t *Ticket) Has(player string) bool {
	return slices.ContainsFunc(t.Players, func(p *torikumiv1.Player) bool { return p.GetId() == player })
}

// Seat is what a player has one of: the ticket's group, or else its queue.
func (t *Ticket) Seat() string {
	if t.Group != "" {
		return t.Group
	}
	return t.Queue
}

// ByQueue orders tickets by the names of their queues.
func ByQueue(a, b Ticket) int { return strings.Compare(a.Queue, b.Queue) }

// Ended reports whether the state is final.
func (t *Ticket) Ended() bool { return t.State.Ended() }

// Event is something that happens to a ticket.
type Event struct {
	Kind Kind
	// OpenMatchID is the ticket in Open Match that Attach, MarkLost, Assign and Propose
	// are about. All but the first change nothing if the ticket has another one.
	OpenMatchID string
	// Assignment is that of Assign and AttachAssigned.
	Assignment *Assignment
	// Player is who joins, with what is known of them.
	Player *torikumiv1.Player
	// Removed is who is removed, and By who does it.
	Removed, By string
	// Acceptance is that of Propose, which changes nothing if it is the last one, or its
	// time is over.
	Acceptance *Acceptance
	// Proposal is that which Accept, Decline and Recall are about. They change nothing in
	// another one; empty: in any, by Recall not before its ReleaseTime. Accept and Decline
	// are those of By; empty: of all players.
	Proposal string
	// Away is until when, of Lapse, players could perhaps not accept, as the store could not
	// be reached. It ends no ticket whose players were asked before.
	Away time.Time
	// Reason says why a ticket is cancelled; empty, if its players know. It is one of
	// few, as stores keep it.
	Reason string
	// Revision is that of the party which Join and Complete were decided by. They
	// change nothing if it has another one now.
	Revision int
}

// Change is what an event has done to a ticket.
type Change struct {
	// Ticket is as it is now.
	Ticket Ticket
	From   State
	// FromOpenMatchID is the ticket that it had in Open Match before.
	FromOpenMatchID string
	Effect          Effect
	// Joined and Left are who is in the ticket now, and was before, or empty.
	Joined, Left string
	// Party reports whether the party is another one than before.
	Party bool
	// Acceptance reports whether the players are asked something else, or one has
	// accepted.
	Acceptance bool
	// Others are the tickets that the players of one that has been assigned have
	// besides, and that have not ended.
	Others []string
}

// Changed reports whether the ticket has another state, party or acceptance than before.
func (c *Change) Changed() bool { return c.Party || c.Acceptance || c.From != c.Ticket.State }

// Visible reports whether players see a difference.
func (c *Change) Visible() bool {
	return c.Party || c.Acceptance || c.From.Proto() != c.Ticket.State.Proto() || c.From.Reason() != c.Ticket.Reason
}

// Apply returns what an event does to a ticket. Stores change tickets in no other
// way.
func (t Ticket) Apply(e Event, now time.Time) Change {
	c := Change{Ticket: t, From: t.State, FromOpenMatchID: t.OpenMatchID}
	if (e.Kind == MarkLost || e.Kind == Assign || e.Kind == Propose) && e.OpenMatchID != t.OpenMatchID {
		return c
	}
	switch e.Kind {
	case Join:
		e.Kind, c = t.join(e, c)
	case Remove:
		e.Kind, c = t.remove(e, c)
	case Propose, Accept, Decline, Lapse, Recall:
		e, c = t.ask(e, c, now)
	case Complete:
		if t.Party == nil || t.Party.Revision != e.Revision {
			return c
		}
	}
	to, effect, ok := Transition(t.State, e.Kind)
	c.Effect = effect
	if !ok {
		return c
	}
	switch e.Kind {
	case Complete:
		c.Ticket.Party = c.Ticket.Party.complete(len(c.Ticket.Players), now)
		c.Party = true
	case Attach, AttachAssigned:
		c.Ticket.OpenMatchID = e.OpenMatchID
	case MarkLost, Remove:
		c.Ticket.OpenMatchID = ""
	}
	if to == Assigned {
		c.Ticket.Assignment = e.Assignment
	}
	c.Ticket.State, c.Ticket.Reason = to, to.Reason()
	switch {
	case to == Expired:
		c.Ticket.Reason = t.State.expired()
	case to == Cancelled && e.Reason != "":
		c.Ticket.Reason = e.Reason
	}
	if t.State.Proto() != to.Proto() {
		c.Ticket.Updated = now
	}
	return c
}

var (
	// ErrNotFound means that there is no such ticket, or none any more.
	ErrNotFound = errors.New("no such ticket")
	// ErrFull means that there are as many tickets as may be kept.
	ErrFull = errors.New("too many tickets")
	// ErrClosed means that the store is closed.
	ErrClosed = errors.New("the ticket store is closed")
	// ErrUnavailable means that the store cannot be reached. Whether the call had
	// an effect is not known.
	ErrUnavailable = errors.New("the ticket store cannot be reached")
)

// ConflictError says that a player is in another ticket of the same queue, or of its
// group.
type ConflictError struct{ Player, Queue, ID string }

func (e *ConflictError) Error() string {
	return fmt.Sprintf("player %q already has a ticket in queue %q: %q", e.Player, e.Queue, e.ID)
}

// RepeatedError says that the same request has made a ticket already. Same is false
// if it asked for something else then.
type RepeatedError struct {
	ID   string
	Same bool
}

func (e *RepeatedError) Error() string {
	return fmt.Sprintf("the request has made ticket %q already; the same was asked for: %t", e.ID, e.Same)
}

// Wait is how long a ticket has waited that was assigned.
type Wait struct {
	Ended  time.Time
	Length time.Duration
}

// MostWaits is how many waits of a queue are remembered, and WaitsAge for how long
// they matter.
const (
	MostWaits = 100
	WaitsAge  = 10 * time.Minute
)

// Limits bound what a [Store] keeps.
type Limits struct {
	// Timeout is how long a ticket waits for a match.
	Timeout time.Duration
	// Queues returns how long tickets of some queues wait, shorter than Timeout; nil: of
	// none. It is asked at each Expire.
	Queues func() map[string]time.Duration
	// Gathering is how long a ticket waits for its party.
	Gathering time.Duration
	// Gone is for how long nobody may ask for a ticket that has not ended; zero: for
	// ever.
	Gone time.Duration
	// Assigned and Ended are how long tickets are remembered that ended with a
	// match, and otherwise.
	Assigned, Ended time.Duration
	// Tickets is how many are kept; ended ones are forgotten early to make
	// room.
	Tickets int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// KeepBefore is how long before an assigned ticket would be forgotten its match is asked
// for, to have the ticket kept if the match lives: a tenth of the time for which it is
// remembered, at most a minute. Whoever could not ask is given as much time again: see
// [Store] Expire.
func KeepBefore(assigned time.Duration) time.Duration { return min(assigned/10, time.Minute) }

// OfQueues are the limits of Queues.
func (l *Limits) OfQueues() map[string]time.Duration {
	if l.Queues == nil {
		return nil
	}
	return l.Queues()
}

// Store keeps tickets. Implementations are safe for concurrent use, every method
// is atomic, and what they return is a snapshot. A store may keep the tickets of
// several frontends; package storetest says in tests what it guarantees.
//
// Besides the errors that methods name, a store that is not in this process may
// return ErrUnavailable.
type Store interface {
	// Create adds a ticket and returns it with its times: in state Creating, and
	// the event Attach or AbortCreate must follow; or with a party, in state
	// Gathering. The error is a *RepeatedError if its request has made a ticket that
	// is not forgotten, a *ConflictError if a player has a ticket of
	// the same Seat that has not ended, ErrFull or ErrClosed.
	Create(ctx context.Context, t Ticket) (Ticket, error)
	// Get returns a ticket that has not been forgotten. The error is
	// ErrNotFound.
	Get(ctx context.Context, id string) (Ticket, error)
	// Find returns the ticket whose party has this code, and that has not ended. The
	// error is ErrNotFound.
	Find(ctx context.Context, code string) (Ticket, error)
	// Of returns the tickets of a player: those that have not ended, in the order of
	// [ByQueue], and then the last one that was assigned, unless it is forgotten.
	Of(ctx context.Context, player string) ([]Ticket, error)
	// Last returns the ticket by which a player has got their last match, as Of does. The
	// error is ErrNotFound.
	Last(ctx context.Context, player string) (Ticket, error)
	// Watch is Get with a channel that is closed at the ticket's next change
	// that players see, and when the store closes. It may be closed without
	// either. The error is ErrNotFound or ErrClosed.
	Watch(ctx context.Context, id string) (Ticket, <-chan struct{}, error)
	// Update applies an event other than Create, Gather and Assign. An event that
	// changes nothing is no error. The error is ErrNotFound; for Attach,
	// BeginRetry, Expire, Join and Complete ErrClosed; for Join a *ConflictError if
	// the player has another ticket of the same Seat that has not ended.
	Update(ctx context.Context, id string, e Event) (Change, error)
	// Assign applies Assign to the ticket that has this one in Open Match. The
	// error is ErrNotFound if there is none, or ErrClosed. While tickets are
	// being created the assignment is then kept for at least 10 s, and an
	// Attach of this Open Match ticket becomes AttachAssigned.
	Assign(ctx context.Context, openMatchID string, a Assignment) (Change, error)
	// UpdateOpenMatch applies MarkLost, Propose or Recall to the ticket that has this one in
	// Open Match. The error is ErrNotFound if there is none; for Propose ErrClosed.
	UpdateOpenMatch(ctx context.Context, openMatchID string, e Event) (Change, error)
	// Accepting returns the tickets that are Accepting, in any order: those of several
	// frontends all to each, as one that has died is not to be missed for a moment.
	Accepting(ctx context.Context) ([]Ticket, error)
	// Open returns the ids of the tickets that are Waiting, Accepting or Lost, oldest
	// first; of those of several frontends, a share of them that this one is to
	// look after.
	Open(ctx context.Context) ([]string, error)
	// Waits returns the waits of the last tickets of a queue that were assigned, at most
	// MostWaits, in any order. Those older than WaitsAge may be missing.
	Waits(ctx context.Context, queue string) ([]Wait, error)
	// Touch says that somebody asks for these tickets now. Those that are not there,
	// or have ended, are passed over.
	Touch(ctx context.Context, ids []string) error
	// Expire applies Expire to what has waited for too long, Cancel to what
	// nobody has asked for, and Lapse and Recall to what is Accepting, forgets what ended
	// long ago, and returns what it has changed. After a time in which it could not be
	// reached, a store counts from then: nobody is late who could not accept, and no
	// assigned ticket is forgotten before there were KeepBefore to Keep it.
	// The error is ErrClosed.
	Expire(ctx context.Context) ([]Change, error)
	// AssignedBefore returns tickets that were assigned at least that long ago, and whose last
	// Keep is; of those of several frontends, a share that this one is to look after.
	AssignedBefore(ctx context.Context, age time.Duration) ([]Ticket, error)
	// Keep has an assigned ticket be remembered from now on for as long as when it was
	// assigned. The error is ErrNotFound.
	Keep(ctx context.Context, t *Ticket) error
	// Close wakes all watchers and returns the tickets that nobody looks after
	// from now on: what they have in Open Match must be deleted. A second Close
	// returns nothing. Get, Open, and the events that only end or abort go on
	// working.
	Close(ctx context.Context) ([]Ticket, error)
}
