package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"torikumi/frontend/internal/ticket"
)

const (
	// acceptTime is how long players have in the checks, and hidden for how long Open Match
	// hides their tickets.
	acceptTime = 15 * time.Second
	hidden     = time.Minute
)

func (h *harness) proposal(id string) ticket.Event {
	return ticket.Event{Kind: ticket.Propose, Acceptance: &ticket.Acceptance{
		ID: id, Players: 4, ExpireTime: h.clock().Add(acceptTime), ReleaseTime: h.clock().Add(hidden),
	}}
}

// propose asks the players of the ticket that has this one in Open Match, and compares
// whether that changes a ticket.
func (h *harness) propose(openMatchID, proposal string, want bool) {
	h.Helper()
	h.byOpenMatch(openMatchID, h.proposal(proposal), want)
}

func (h *harness) byOpenMatch(openMatchID string, e ticket.Event, want bool) {
	h.Helper()
	c, err := h.UpdateOpenMatch(h.Context(), openMatchID, e)
	if got := err == nil && c.Changed(); got != want || err != nil && !errors.Is(err, ticket.ErrNotFound) {
		h.Errorf("%v of %q: changed %v, error %v; want %v", e.Kind, openMatchID, got, err, want)
	}
}

func answer(k ticket.Kind, player, proposal string) ticket.Event {
	return ticket.Event{Kind: k, By: player, Proposal: proposal}
}

func recall(proposal string) ticket.Event {
	return ticket.Event{Kind: ticket.Recall, Proposal: proposal}
}

// Players of a ticket that waits are asked, and each accepts once, or declines for all.
func acceptance(h *harness) {
	h.wait("q", "1", "a", "b")
	h.propose("om-other", "p1", false)
	changed := h.watch("1")
	h.propose("om-1", "p1", true)
	h.wakes("proposed", changed)
	h.propose("om-1", "p1", false)
	h.propose("om-1", "p2", false) // it has been asked
	accepted := func(want ...string) {
		h.Helper()
		got, err := h.Get(h.Context(), "1")
		if err != nil || got.State != ticket.Accepting || got.Acceptance.ID != "p1" || got.Acceptance.Players != 4 || !slices.Equal(got.Acceptance.Accepted, want) ||
			!got.Acceptance.ExpireTime.Equal(h.clock().Add(acceptTime)) || !got.Acceptance.ReleaseTime.Equal(h.clock().Add(hidden)) {
			h.Errorf("%+v, %+v, %v; want %q", got, got.Acceptance, err, want)
		}
	}
	accepted()
	same := func(e ticket.Event) {
		h.Helper()
		if c := h.event("1", e, ticket.Accepting, ticket.Nothing); c.Changed() {
			h.Errorf("%+v changed it", e)
		}
	}
	same(answer(ticket.Accept, "stranger", ""))
	same(answer(ticket.Decline, "stranger", "p1"))
	same(answer(ticket.Accept, "a", "p0"))
	same(answer(ticket.Decline, "a", "p0"))
	same(recall("p0"))
	changed = h.watch("1")
	if c := h.event("1", answer(ticket.Accept, "a", "p1"), ticket.Accepting, ticket.Nothing); !c.Changed() || c.Ticket.HasAccepted("") {
		h.Errorf("a accepts: %+v", c)
	}
	h.wakes("accepted", changed)
	same(answer(ticket.Accept, "a", ""))
	accepted("a")
	if c := h.event("1", answer(ticket.Accept, "b", ""), ticket.Accepting, ticket.Nothing); !c.Ticket.HasAccepted("") {
		h.Errorf("b accepts: %+v", c)
	}
	accepted("a", "b")
	// Who has accepted is recalled, and asked for another match.
	h.event("1", recall("p1"), ticket.Waiting, ticket.Nothing)
	h.propose("om-1", "p1", false)
	h.event("1", answer(ticket.Accept, "a", ""), ticket.Waiting, ticket.Nothing)
	h.propose("om-1", "p2", true)
	h.event("1", answer(ticket.Accept, "", "p2"), ticket.Accepting, ticket.Nothing)
	h.assign("om-1", true)
	h.byOpenMatch("om-1", recall("p2"), false)
	h.is("1", ticket.Assigned)

	h.wait("q", "2", "a", "b")
	h.propose("om-2", "p3", true)
	c := h.event("2", answer(ticket.Decline, "b", "p3"), ticket.Cancelled, ticket.DeleteOpenMatch)
	if kept, err := h.Get(h.Context(), "2"); err != nil || c.Ticket.Reason != ticket.Declined || kept.Reason != c.Ticket.Reason || c.FromOpenMatchID != "om-2" {
		h.Errorf("declined: %+v, kept %+v, %v", c, kept, err)
	}
	h.wait("q", "3", "a", "b") // they are free
	h.propose("om-3", "p4", true)
	h.lose("om-3", true)
	h.is("3", ticket.Lost)
	h.wait("q", "4", "c")
	h.propose("om-4", "p5", true)
	h.event("4", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.wait("q", "5", "c", "d")
	h.propose("om-5", "p6", true)
	h.event("5", remove("d", "d"), ticket.Lost, ticket.DeleteOpenMatch)
}

// Who has not accepted in time is out; who has searches on, if nothing more is heard.
func acceptanceAges(h *harness) {
	h.wait("q", "late", "a", "b")
	h.wait("q", "ready", "c")
	h.propose("om-late", "p", true)
	h.propose("om-ready", "p", true)
	created := h.clock()
	h.event("late", answer(ticket.Accept, "a", ""), ticket.Accepting, ticket.Nothing)
	h.event("ready", answer(ticket.Accept, "c", ""), ticket.Accepting, ticket.Nothing)
	if c := h.pass(acceptTime - 1); len(c) != 0 {
		h.Errorf("before the end: %+v", c)
	}
	h.tick(1)
	if c := h.event("late", answer(ticket.Accept, "b", ""), ticket.Accepting, ticket.Nothing); c.Changed() {
		h.Error("b accepts too late")
	}
	c := h.pass(0)
	if len(c) != 1 || c[0].Ticket.ID != "late" || c[0].Ticket.State != ticket.Cancelled || c[0].Ticket.Reason == "" || c[0].Effect != ticket.DeleteOpenMatch {
		h.Errorf("at the end: %+v", c)
	}
	h.event("late", answer(ticket.Accept, "b", ""), ticket.Cancelled, ticket.Nothing)
	h.is("ready", ticket.Accepting)
	if c := h.pass(hidden - acceptTime - 1); len(c) != 0 {
		h.Errorf("while it is hidden: %+v", c)
	}
	if c := h.pass(1); len(c) != 1 || c[0].Ticket.State != ticket.Waiting || !c[0].Ticket.Created.Equal(created) {
		h.Errorf("when it is shown again: %+v", c)
	}
	// One who is asked ends by its age, too.
	h.wait("q", "old", "d")
	h.pass(timeout - 1)
	h.propose("om-old", "p2", true)
	h.pass(1)
	h.is("old", ticket.Expired)
	// A proposal that is heard late asks nobody.
	h.wait("q", "deaf", "e")
	e := h.proposal("p3")
	h.pass(acceptTime)
	h.byOpenMatch("om-deaf", e, false)
}

// A store says which tickets are asked.
func acceptingTickets(h *harness) {
	accepting := func(want ...string) {
		h.Helper()
		asked, err := h.Accepting(h.Context())
		var got []string
		for _, t := range asked {
			got = append(got, t.ID)
			if t.State != ticket.Accepting || t.Acceptance == nil || t.OpenMatchID != "om-"+t.ID {
				h.Errorf("%+v", t)
			}
		}
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			h.Errorf("accepting: %q, %v; want %q", got, err, want)
		}
	}
	accepting()
	for _, id := range []string{"1", "2", "3", "4"} {
		h.wait("q", id, id)
		h.propose("om-"+id, "p", true)
	}
	h.event("1", answer(ticket.Accept, "1", ""), ticket.Accepting, ticket.Nothing)
	accepting("1", "2", "3", "4")
	h.event("2", answer(ticket.Decline, "2", ""), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.event("3", recall("p"), ticket.Waiting, ticket.Nothing)
	accepting("1", "4")
	h.pass(acceptTime)
	accepting("1")
	h.assign("om-1", true)
	accepting()
}

// raceOfAnswers: all players accept at once, and none is forgotten; or one declines, and
// that is so for all. An assignment, a recall and the end of time come once each at most.
func raceOfAnswers(h *harness) {
	for i := range rounds {
		id := fmt.Sprint(i)
		h.wait("q", id, id+"a", id+"b", id+"c")
		h.propose("om-"+id, "p", true)
		accept := func(player string) func() {
			return func() {
				if _, err := h.Update(h.Context(), id, answer(ticket.Accept, id+player, "p")); err != nil {
					h.Errorf("%s: %v", id, err)
				}
			}
		}
		race(accept("a"), accept("b"), accept("c"))
		got, err := h.Get(h.Context(), id)
		if err != nil || !got.HasAccepted("") || len(got.Acceptance.Accepted) != 3 {
			h.Fatalf("%s: %+v, %v", id, got.Acceptance, err)
		}
		var ends atomic.Int32
		end := func(change func() (ticket.Change, error)) func() {
			return func() {
				if c, err := change(); err == nil && c.Changed() {
					ends.Add(1)
				}
			}
		}
		race(
			end(func() (ticket.Change, error) { return h.Update(h.Context(), id, answer(ticket.Decline, id+"a", "p")) }),
			end(func() (ticket.Change, error) { return h.Assign(h.Context(), "om-"+id, server) }))
		if n := ends.Load(); n != 1 {
			h.Fatalf("%s: %d have ended it, want 1", id, n)
		}
	}
}
