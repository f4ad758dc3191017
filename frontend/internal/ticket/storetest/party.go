package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"torikumi/frontend/internal/ticket"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// gather adds a ticket of leader a that waits for so many, with the code of its id.
func (h *harness) gather(id, leader string, size int, invited ...string) {
	h.Helper()
	t := party("q", id, leader)
	t.Party = &ticket.Party{Leader: leader, Size: size, Invited: invited, Code: "code-" + id}
	made, err := h.Create(h.Context(), t)
	if err != nil || made.State != ticket.Gathering || made.Party == nil {
		h.Fatalf("gather %q: %+v, %v", id, made, err)
	}
}

func join(player string, revision int) ticket.Event {
	return ticket.Event{Kind: ticket.Join, Player: &torikumiv1.Player{Id: player, Latencies: map[string]int32{"eu": 20}}, Revision: revision}
}

func remove(player, by string) ticket.Event {
	return ticket.Event{Kind: ticket.Remove, Removed: player, By: by}
}

// players compares who is in a ticket, in order.
func (h *harness) players(id string, want ...string) {
	h.Helper()
	t, err := h.Get(h.Context(), id)
	var got []string
	for _, p := range t.Players {
		got = append(got, p.GetId())
	}
	if err != nil || !slices.Equal(got, want) {
		h.Errorf("%q has %q, %v; want %q", id, got, err, want)
	}
}

// found compares whether a ticket is found by its code.
func (h *harness) found(id string, want bool) {
	h.Helper()
	t, err := h.Find(h.Context(), "code-"+id)
	if got := err == nil && t.ID == id; got != want || err != nil && !errors.Is(err, ticket.ErrNotFound) {
		h.Errorf("find %q: %+v, %v", id, t, err)
	}
}

// searches compares which ticket a player has in the queue, empty for none.
func (h *harness) searches(player, want string) {
	h.Helper()
	_, err := h.Create(h.Context(), party("q", "probe-"+player, player))
	var conflict *ticket.ConflictError
	if errors.As(err, &conflict) {
		if conflict.ID != want || conflict.Player != player {
			h.Errorf("%s searches by %q, want %q", player, conflict.ID, want)
		}
		return
	}
	if err != nil || want != "" {
		h.Errorf("%s does not search, %v; want %q", player, err, want)
	}
	h.event("probe-"+player, event(ticket.AbortCreate), ticket.None, ticket.Nothing)
}

// A party's ticket waits for those who are to join, holds those who have, and goes on
// when all are there.
func gathering(h *harness) {
	h.gather("1", "a", 3, "b")
	h.found("1", true)
	h.found("2", false)
	h.opened()
	h.searches("a", "1")
	h.searches("b", "") // is invited, and nothing more
	changed := h.watch("1")
	c := h.event("1", join("b", 0), ticket.Gathering, ticket.Nothing)
	if !c.Changed() || c.Ticket.Party.Revision != 1 || c.Ticket.Players[1].GetLatencies()["eu"] != 20 {
		h.Errorf("joined: %+v", c)
	}
	h.wakes("joined", changed)
	h.searches("b", "1")
	if c := h.event("1", join("c", 0), ticket.Gathering, ticket.Nothing); c.Changed() {
		h.Error("c joined a party that has changed meanwhile")
	}
	h.wait("q", "other", "d")
	var conflict *ticket.ConflictError
	if _, err := h.Update(h.Context(), "1", join("d", 1)); !errors.As(err, &conflict) || conflict.ID != "other" || conflict.Player != "d" {
		h.Errorf("d has two tickets: %v", err)
	}
	h.players("1", "a", "b")
	h.pass(time.Second)
	c = h.event("1", join("c", 1), ticket.Gathered, ticket.CreateOpenMatch)
	if !c.Ticket.Updated.Equal(h.clock()) || !c.Ticket.Searching().Equal(h.clock()) || c.Ticket.Created.Equal(h.clock()) {
		h.Errorf("complete: %+v", c)
	}
	if c := h.event("1", join("e", 3), ticket.Gathered, ticket.Nothing); c.Changed() {
		h.Error("e joined a complete party")
	}
	h.assign("om-early", false)
	h.event("1", event(ticket.AbortRetry), ticket.Lost, ticket.Nothing)
	h.opened("other", "1")
	h.event("1", event(ticket.BeginRetry), ticket.Recreating, ticket.CreateOpenMatch)
	h.event("1", attach("om-1"), ticket.Waiting, ticket.Nothing)
	h.players("1", "a", "b", "c")
	h.found("1", true) // who has lost the answer asks again
	h.assign("om-1", true)
	h.found("1", false)
	for _, p := range []string{"a", "b", "c"} {
		h.searches(p, "")
	}

	h.gather("2", "a", 2)
	h.event("2", join("b", 0), ticket.Gathered, ticket.CreateOpenMatch)
	h.assign("om-2", false)
	h.event("2", attach("om-2"), ticket.Assigned, ticket.Nothing)
	h.gather("3", "a", 4)
	h.event("3", join("b", 0), ticket.Gathering, ticket.Nothing)
	h.event("3", ticket.Event{Kind: ticket.Complete}, ticket.Gathering, ticket.Nothing)
	if c := h.event("3", ticket.Event{Kind: ticket.Complete, Revision: 1}, ticket.Gathered, ticket.CreateOpenMatch); c.Ticket.Party.Size != 2 {
		h.Errorf("started with two: %+v", c.Ticket.Party)
	}
}

// Players leave and are removed before the match; what they held is free at once.
func removing(h *harness) {
	h.gather("1", "a", 4, "b", "c")
	h.event("1", join("b", 0), ticket.Gathering, ticket.Nothing)
	h.event("1", join("x", 1), ticket.Gathering, ticket.Nothing)
	h.event("1", remove("b", "b"), ticket.Gathering, ticket.Nothing)
	h.searches("b", "")
	h.event("1", join("b", 3), ticket.Gathering, ticket.Nothing) // comes back
	h.event("1", remove("x", "a"), ticket.Gathering, ticket.Nothing)
	if c := h.event("1", join("x", 5), ticket.Gathering, ticket.Nothing); c.Changed() {
		h.Error("x came back")
	}
	if c := h.event("1", remove("nobody", "a"), ticket.Gathering, ticket.Nothing); c.Changed() {
		h.Error("nobody was removed")
	}
	h.event("1", join("y", 5), ticket.Gathering, ticket.Nothing)
	// c is waited for no more.
	h.event("1", remove("c", "a"), ticket.Gathered, ticket.CreateOpenMatch)
	if c := h.event("1", remove("y", "a"), ticket.Gathered, ticket.Nothing); c.Changed() {
		h.Error("removed while Open Match is asked for a ticket with them")
	}
	h.event("1", attach("om-1"), ticket.Waiting, ticket.Nothing)
	changed := h.watch("1")
	c := h.event("1", remove("y", "a"), ticket.Lost, ticket.DeleteOpenMatch)
	if c.FromOpenMatchID != "om-1" || c.Ticket.OpenMatchID != "" {
		h.Errorf("removed: %+v", c)
	}
	h.wakes("removed", changed)
	h.assign("om-1", false)
	h.searches("y", "")
	h.searches("b", "1")
	h.players("1", "a", "b")
	h.event("1", event(ticket.BeginRetry), ticket.Recreating, ticket.CreateOpenMatch)
	h.event("1", attach("om-1b"), ticket.Waiting, ticket.Nothing)
	h.event("1", remove("a", "a"), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.searches("b", "")
	h.event("1", remove("b", "b"), ticket.Cancelled, ticket.Nothing)

	// Without a party, as a backend posts it.
	h.wait("q", "2", "a", "b")
	h.event("2", remove("a", "a"), ticket.Lost, ticket.DeleteOpenMatch)
	h.searches("a", "")
	h.searches("b", "2")
	h.event("2", remove("b", "b"), ticket.Cancelled, ticket.Nothing)
}

// A party is waited for so long, and searches as long as others from then on.
func gatheringAges(h *harness) {
	h.gather("1", "a", 2)
	h.gather("2", "b", 2)
	h.pass(gather - time.Second)
	h.event("2", join("c", 0), ticket.Gathered, ticket.CreateOpenMatch)
	h.event("2", attach("om-2"), ticket.Waiting, ticket.Nothing)
	h.is("1", ticket.Gathering)
	h.pass(time.Second - 1)
	h.is("1", ticket.Gathering)
	if c := h.pass(1); len(c) != 1 || c[0].Ticket.ID != "1" || c[0].Effect != ticket.Nothing {
		h.Errorf("expired: %+v", c)
	}
	h.found("1", false)
	h.pass(timeout - time.Second - 1)
	h.is("2", ticket.Waiting)
	h.pass(1)
	h.is("2", ticket.Expired)
	h.is("1", ticket.None)
}

// joins tries until the player is in or may not be, and reports whether they are and
// whether that has completed the party.
func (h *harness) joins(id, player string) (in, completed bool) {
	for {
		t, err := h.Find(h.Context(), "code-"+id)
		if err != nil || !t.Admits(player) {
			return false, false
		}
		c, err := h.Update(h.Context(), id, join(player, t.Party.Revision))
		var conflict *ticket.ConflictError
		switch {
		case errors.As(err, &conflict):
			return false, false
		case err != nil:
			h.Errorf("%s joins %s: %v", player, id, err)
			return false, false
		case c.Changed():
			return true, c.Effect == ticket.CreateOpenMatch
		}
	}
}

// raceOfJoins: as many join as there are places, and one of them completes it.
func raceOfJoins(h *harness) {
	for i := range rounds {
		id := fmt.Sprint(i)
		h.gather(id, "a"+id, 3)
		var in, completed atomic.Int32
		try := func(player string) func() {
			return func() {
				joined, all := h.joins(id, player)
				if joined {
					in.Add(1)
				}
				if all {
					completed.Add(1)
				}
			}
		}
		race(try("b"+id), try("c"+id), try("d"+id))
		if in.Load() != 2 || completed.Load() != 1 {
			h.Fatalf("%s: %d have joined, %d have completed it", id, in.Load(), completed.Load())
		}
		if t, err := h.Get(h.Context(), id); err != nil || len(t.Players) != 3 || t.State != ticket.Gathered {
			h.Fatalf("%s: %+v, %v", id, t, err)
		}
	}
}

// raceOfSeats: a player who joins two parties and searches alone at the same time
// is in one ticket.
func raceOfSeats(h *harness) {
	for i := range rounds {
		one, two, b := fmt.Sprint("one", i), fmt.Sprint("two", i), fmt.Sprint("b", i)
		h.gather(one, "a"+one, 2)
		h.gather(two, "a"+two, 2)
		var in atomic.Int32
		try := func(id string) func() {
			return func() {
				if joined, _ := h.joins(id, b); joined {
					in.Add(1)
				}
			}
		}
		race(try(one), try(two), func() {
			if _, err := h.Create(h.Context(), party("q", "alone"+b, b)); err == nil {
				in.Add(1)
			}
		})
		if in.Load() != 1 {
			h.Fatalf("%s is in %d tickets", b, in.Load())
		}
	}
}
