package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"torikumi/frontend/internal/ticket"
)

// grouped is a ticket of one player in a queue of a group.
func grouped(queue, group, id, player string) ticket.Ticket {
	t := party(queue, id, player)
	t.Group = group
	return t
}

// A player has one ticket in the queues of a group, which is another thing than the
// queue of a name.
func onePerGroup(h *harness) {
	h.makes(grouped("q", "g", "1", "a"))
	h.makes(grouped("r", "g", "2", "b"))
	var conflict *ticket.ConflictError
	if _, err := h.Create(h.Context(), grouped("r", "g", "3", "a")); !errors.As(err, &conflict) || conflict.ID != "1" {
		h.Errorf("a second ticket in the group: %v", err)
	}
	h.makes(grouped("q", "", "4", "a")) // whose queue has left the group meanwhile
	h.makes(grouped("r", "other", "5", "a"))
	if got, err := h.Get(h.Context(), "1"); err != nil || got.Group != "g" || got.Queue != "q" {
		h.Errorf("kept: %+v, %v", got, err)
	}
	lead := grouped("r", "g", "6", "c")
	lead.Party = &ticket.Party{Leader: "c", Size: 3, Code: "code"}
	h.makes(lead)
	if _, err := h.Update(h.Context(), "6", join("b", 0)); !errors.As(err, &conflict) || conflict.ID != "2" {
		h.Errorf("b joins while searching in the group: %v", err)
	}
	h.event("2", event(ticket.Cancel), ticket.Cancelled, ticket.Nothing)
	h.event("6", join("b", 0), ticket.Gathering, ticket.Nothing)
	if _, err := h.Create(h.Context(), grouped("q", "g", "7", "b")); !errors.As(err, &conflict) || conflict.ID != "6" {
		h.Errorf("b searches in the group when in a party: %v", err)
	}
	h.event("6", remove("b", "b"), ticket.Gathering, ticket.Nothing)
	h.makes(grouped("q", "g", "7", "b"))
	h.event("1", attach("om-1"), ticket.Waiting, ticket.Nothing)
	h.assign("om-1", true)
	h.makes(grouped("r", "g", "8", "a"))
	h.pass(gather)
	h.pass(timeout)
	h.makes(grouped("q", "g", "9", "c"))
}

// Whoever assigns a ticket is told which other tickets its players have.
func otherTickets(h *harness) {
	others := func(openMatchID string, want ...string) {
		h.Helper()
		c, err := h.Assign(h.Context(), openMatchID, server)
		slices.Sort(c.Others)
		if err != nil || !c.Changed() || !slices.Equal(c.Others, want) {
			h.Errorf("others of %s: %q, %v; want %q", openMatchID, c.Others, err, want)
		}
	}
	h.wait("q", "1", "a", "b")
	h.wait("r", "2", "a")
	h.create("s", "3", "b")
	h.wait("t", "4", "c")
	if c := h.event("4", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch); len(c.Others) != 0 {
		h.Errorf("others of one that was cancelled: %q", c.Others)
	}
	others("om-1", "2", "3")
	others("om-2")
	h.create("q", "5", "b")
	if _, err := h.Assign(h.Context(), "om-5", server); !errors.Is(err, ticket.ErrNotFound) {
		h.Errorf("assigned early: %v", err)
	}
	if c := h.event("5", attach("om-5"), ticket.Assigned, ticket.Nothing); !slices.Equal(c.Others, []string{"3"}) {
		h.Errorf("others of one that was assigned early: %q", c.Others)
	}
}

// Why a ticket was cancelled is kept, and nothing of it when something else ends it.
func reasons(h *harness) {
	h.wait("q", "1", "a")
	h.wait("q", "2", "b")
	h.wait("q", "3", "c")
	h.wait("q", "4", "d")
	why := ticket.Event{Kind: ticket.Cancel, Reason: "why"}
	h.event("1", why, ticket.Cancelled, ticket.DeleteOpenMatch)
	h.event("1", ticket.Event{Kind: ticket.Cancel, Reason: "too late"}, ticket.Cancelled, ticket.Nothing)
	leave := remove("b", "b")
	leave.Reason = "why"
	h.event("2", leave, ticket.Cancelled, ticket.DeleteOpenMatch)
	h.event("3", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.assign("om-4", true)
	h.event("4", why, ticket.Assigned, ticket.Nothing)
	h.pass(time.Second)
	for id, want := range map[string]string{"1": "why", "2": "why", "3": "", "4": ""} {
		if got, err := h.Get(h.Context(), id); err != nil || got.Reason != want {
			h.Errorf("%s: %q, %v; want %q", id, got.Reason, err, want)
		}
	}
}

// Why a ticket has expired depends on what it waited for, and is kept.
func expiredReasons(h *harness) {
	h.gather("e1", "e1", 2)
	h.gather("e2", "e2", 2)
	h.event("e2", join("f2", 0), ticket.Gathered, ticket.CreateOpenMatch)
	h.wait("q", "e3", "e3")
	h.wait("q", "e4", "e4")
	h.event("e4", lost("om-e4"), ticket.Lost, ticket.Nothing)
	h.wait("q", "e5", "e5")
	h.propose("om-e5", "p", true)
	h.gather("e6", "e6", 2)
	h.event("e6", event(ticket.Cancel), ticket.Cancelled, ticket.Nothing)
	const none = "no match was found in time"
	for id, c := range map[string]struct {
		effect ticket.Effect
		want   string
	}{
		"e1": {ticket.Nothing, "the party did not gather in time"},
		"e2": {ticket.Nothing, none},
		"e3": {ticket.DeleteOpenMatch, none},
		"e4": {ticket.Nothing, none},
		"e5": {ticket.DeleteOpenMatch, "the match that was found did not begin in time"},
	} {
		change := h.event(id, event(ticket.Expire), ticket.Expired, c.effect)
		got, err := h.Get(h.Context(), id)
		if err != nil || got.Reason != c.want || change.Ticket.Reason != c.want {
			h.Errorf("%s: %q, told %q, %v; want %q", id, got.Reason, change.Ticket.Reason, err, c.want)
		}
	}
	if got, err := h.Get(h.Context(), "e6"); err != nil || got.Reason != "" {
		h.Errorf("a party that was cancelled: %q, %v", got.Reason, err)
	}
}

// The waits of the last tickets of a queue that were assigned are remembered, from
// when a party was complete.
func waits(h *harness) {
	of := func(queue string, want ...time.Duration) {
		h.Helper()
		found, err := h.Waits(h.Context(), queue)
		var got []time.Duration
		for _, w := range found {
			got = append(got, w.Length)
		}
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			h.Errorf("waits of %s: %v, %v; want %v", queue, got, err, want)
		}
	}
	of("q")
	h.wait("q", "1", "a")
	h.wait("q", "2", "b")
	h.wait("other", "3", "a")
	h.gather("4", "c", 2)
	h.pass(2 * time.Second)
	h.assign("om-1", true)
	h.event("2", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.event("4", join("d", 0), ticket.Gathered, ticket.CreateOpenMatch)
	h.event("4", attach("om-4"), ticket.Waiting, ticket.Nothing)
	h.pass(time.Second)
	h.assign("om-4", true)
	h.assign("om-3", true)
	h.assign("om-3", false)
	of("q", time.Second, 2*time.Second)
	of("other", 3*time.Second)
	found, err := h.Waits(h.Context(), "other")
	if err != nil || len(found) != 1 || !found[0].Ended.Equal(h.clock()) {
		h.Errorf("waits: %+v, %v; the end is %v", found, err, h.clock())
	}
	var want []time.Duration
	for i := range ticket.MostWaits {
		id := fmt.Sprint("n", i)
		h.wait("q", id, id)
		h.pass(time.Millisecond)
		h.assign("om-"+id, true)
		want = append(want, time.Millisecond)
	}
	of("q", want...)
}
