// Package storetest is the conformance suite of [ticket.Store]: what a store
// guarantees, whatever keeps the tickets.
package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"torikumi/frontend/internal/ticket"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Open makes an empty store. Its only clock is that of the limits, which does
// not move by itself; channels and what the store keeps besides tickets may take
// real time.
type Open func(t testing.TB, l ticket.Limits) ticket.Store

// Run checks the stores that open makes.
func Run(t *testing.T, open Open) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(newHarness(t, open)) })
	}
}

// check is one guarantee.
type check struct {
	name string
	run  func(h *harness)
}

// checks are what a store guarantees, each with stores of its own.
var checks = []check{
	{"Create", create},
	{"OneTicketPerPlayerAndQueue", onePerPlayer},
	{"OneTicketPerPlayerAndGroup", onePerGroup},
	{"OtherTickets", otherTickets},
	{"ReasonsOfCancels", reasons},
	{"ReasonsOfExpiries", expiredReasons},
	{"Waits", waits},
	{"Requests", requests},
	{"AbortCreate", abortCreate},
	{"Snapshots", snapshots},
	{"AssignedEarly", assignedEarly},
	{"AttachedLate", attachedLate},
	{"LostAndRecreated", lostAndRecreated},
	{"FirstEndWins", firstEndWins},
	{"Ages", ages},
	{"QueueAges", queueAges},
	{"Gone", gone},
	{"Acceptance", acceptance},
	{"AcceptanceAges", acceptanceAges},
	{"AcceptingTickets", acceptingTickets},
	{"Room", room},
	{"Gathering", gathering},
	{"Removing", removing},
	{"TicketsOfAPlayer", ofPlayer},
	{"Kept", kept},
	{"GatheringAges", gatheringAges},
	{"Watch", watch},
	{"Close", closed},
	{"Model", model},
	{"RaceOfEnds", raceOfEnds},
	{"RaceOfEarlyAssignment", raceOfEarly},
	{"RaceOfRetries", raceOfRetries},
	{"RaceOfCreations", raceOfCreations},
	{"RaceOfRequests", raceOfRequests},
	{"RaceOfJoins", raceOfJoins},
	{"RaceOfSeats", raceOfSeats},
	{"RaceOfWatch", raceOfWatch},
	{"RaceOfAnswers", raceOfAnswers},
}

// Limits of the stores, unless a check needs others.
const (
	timeout  = 10 * time.Minute
	gather   = 2 * time.Minute
	assigned = time.Hour
	ended    = time.Minute
)

// lonely is for how long nobody may ask for a ticket, in the check that is about it.
const lonely = time.Minute

// harness is a store with a clock that checks move.
type harness struct {
	testing.TB
	ticket.Store
	open Open

	mu  sync.Mutex
	now time.Time
}

func newHarness(t testing.TB, open Open) *harness {
	h := &harness{TB: t, open: open, now: time.Unix(1_000_000_000, 0)}
	h.reopen(100_000)
	return h
}

// reopen takes another store, which keeps up to so many tickets.
func (h *harness) reopen(tickets int) { h.reopenGone(tickets, 0) }

// reopenGone is reopen with a time after which tickets that nobody asks for end.
func (h *harness) reopenGone(tickets int, gone time.Duration) {
	h.Store = h.open(h.TB, ticket.Limits{
		Timeout: timeout, Gathering: gather, Gone: gone, Assigned: assigned, Ended: ended, Tickets: tickets, Now: h.clock,
	})
}

// reopenQueues is reopen with queues that have limits of their own.
func (h *harness) reopenQueues(limits func() map[string]time.Duration) {
	h.Store = h.open(h.TB, ticket.Limits{
		Timeout: timeout, Queues: limits, Gathering: gather, Assigned: assigned, Ended: ended, Tickets: 100_000, Now: h.clock,
	})
}

func (h *harness) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// tick moves the clock.
func (h *harness) tick(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// pass moves the clock and returns what the store expires then.
func (h *harness) pass(d time.Duration) []ticket.Change {
	h.Helper()
	h.tick(d)
	expired, err := h.Expire(h.Context())
	if err != nil {
		h.Errorf("Expire: %v", err)
	}
	return expired
}

// party is a ticket of some players.
func party(queue, id string, players ...string) ticket.Ticket {
	t := ticket.Ticket{ID: id, Queue: queue}
	for _, p := range players {
		t.Players = append(t.Players, &torikumiv1.Player{Id: p})
	}
	return t
}

// create adds a ticket, which has to succeed.
func (h *harness) create(queue, id string, players ...string) ticket.Ticket {
	h.Helper()
	t, err := h.Create(h.Context(), party(queue, id, players...))
	if err != nil {
		h.Fatalf("create %q: %v", id, err)
	}
	return t
}

// wait adds a ticket that waits as "om-" and its id in Open Match.
func (h *harness) wait(queue, id string, players ...string) {
	h.Helper()
	h.create(queue, id, players...)
	h.event(id, attach("om-"+id), ticket.Waiting, ticket.Nothing)
}

func attach(openMatchID string) ticket.Event {
	return ticket.Event{Kind: ticket.Attach, OpenMatchID: openMatchID}
}

func lost(openMatchID string) ticket.Event {
	return ticket.Event{Kind: ticket.MarkLost, OpenMatchID: openMatchID}
}

func event(k ticket.Kind) ticket.Event { return ticket.Event{Kind: k} }

// server is an assignment.
var server = ticket.Assignment{Connection: "192.0.2.1:7777"}

// event applies an event and compares the state and the effect that it has.
func (h *harness) event(id string, e ticket.Event, want ticket.State, effect ticket.Effect) ticket.Change {
	h.Helper()
	c, err := h.Update(h.Context(), id, e)
	if err != nil || c.Ticket.State != want || c.Effect != effect {
		h.Errorf("%v of %q: %v, effect %d, error %v; want %v, effect %d", e.Kind, id, c.Ticket.State, c.Effect, err, want, effect)
	}
	return c
}

// assign applies an assignment and compares whether it changes a ticket.
func (h *harness) assign(openMatchID string, want bool) {
	h.Helper()
	c, err := h.Assign(h.Context(), openMatchID, server)
	if got := err == nil && c.Changed(); got != want || err != nil && !errors.Is(err, ticket.ErrNotFound) {
		h.Errorf("Assign %q: changed %v, error %v; want %v", openMatchID, got, err, want)
	}
}

// lose says that Open Match has a ticket no more, and compares whether that changes
// a ticket.
func (h *harness) lose(openMatchID string, want bool) {
	h.Helper()
	c, err := h.UpdateOpenMatch(h.Context(), openMatchID, event(ticket.MarkLost))
	if got := err == nil && c.Changed(); got != want || err != nil && !errors.Is(err, ticket.ErrNotFound) {
		h.Errorf("Lose %q: changed %v, error %v; want %v", openMatchID, got, err, want)
	}
}

// state returns the state of a ticket, None if the store does not have it.
func (h *harness) state(id string) ticket.State {
	h.Helper()
	t, err := h.Get(h.Context(), id)
	if err != nil {
		if !errors.Is(err, ticket.ErrNotFound) {
			h.Errorf("Get %q: %v", id, err)
		}
		return ticket.None
	}
	return t.State
}

// is compares the state of a ticket.
func (h *harness) is(id string, want ticket.State) {
	h.Helper()
	if got := h.state(id); got != want {
		h.Errorf("%q is %v, want %v", id, got, want)
	}
}

// opened compares the open tickets, in order.
func (h *harness) opened(want ...string) {
	h.Helper()
	got, err := h.Open(h.Context())
	if err != nil || !slices.Equal(got, want) {
		h.Errorf("open: %q, %v; want %q", got, err, want)
	}
}

// watch returns the channel of the ticket's next change.
func (h *harness) watch(id string) <-chan struct{} {
	h.Helper()
	_, changed, err := h.Watch(h.Context(), id)
	if err != nil {
		h.Fatalf("watch %q: %v", id, err)
	}
	return changed
}

// patience bounds the wait for a channel that has to be closed.
const patience = 10 * time.Second

// wakes waits for a watcher to be woken.
func (h *harness) wakes(what string, changed <-chan struct{}) {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	select {
	case <-changed:
	case <-ctx.Done():
		h.Errorf("%s: the watcher is not woken", what)
	}
}
