package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"torikumi/frontend/internal/ticket"
)

// A ticket begins in state Creating, with its times, and is not open before it
// has a ticket in Open Match.
func create(h *harness) {
	made := h.create("q", "1", "a", "b")
	got, err := h.Get(h.Context(), "1")
	if err != nil || got.State != ticket.Creating || !got.Created.Equal(h.clock()) || !got.Updated.Equal(h.clock()) ||
		got.Queue != "q" || !got.Has("a") || !got.Has("b") || got.Has("c") || !made.Created.Equal(got.Created) || made.State != got.State {
		h.Errorf("created %+v, kept %+v, %v", made, got, err)
	}
	h.opened()
	h.pass(time.Second)
	c := h.event("1", attach("om-1"), ticket.Waiting, ticket.Nothing)
	if c.From != ticket.Creating || c.Ticket.OpenMatchID != "om-1" || c.Ticket.Updated != got.Updated {
		h.Errorf("attached: %+v", c)
	}
	h.wait("q", "2", "c")
	h.opened("1", "2")
	if _, err := h.Get(h.Context(), "3"); !errors.Is(err, ticket.ErrNotFound) {
		h.Errorf("a ticket that is not there: %v", err)
	}
	if _, err := h.Update(h.Context(), "3", event(ticket.Cancel)); !errors.Is(err, ticket.ErrNotFound) {
		h.Errorf("Cancel of a ticket that is not there: %v", err)
	}
	if _, _, err := h.Watch(h.Context(), "3"); !errors.Is(err, ticket.ErrNotFound) {
		h.Errorf("Watch of a ticket that is not there: %v", err)
	}
}

// A player has one ticket per queue that has not ended; a refused ticket holds
// nothing.
func onePerPlayer(h *harness) {
	h.wait("q", "1", "a", "b")
	var conflict *ticket.ConflictError
	if _, err := h.Create(h.Context(), party("q", "2", "c", "b")); !errors.As(err, &conflict) ||
		conflict.ID != "1" || conflict.Player != "b" || conflict.Queue != "q" {
		h.Errorf("second ticket of b: %v", err)
	}
	h.is("2", ticket.None)
	h.wait("other", "3", "b")
	h.wait("q", "4", "c")
	h.event("1", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.wait("q", "5", "b")
	h.assign("om-5", true)
	h.wait("q", "6", "b")
	h.pass(timeout)
	h.wait("q", "7", "b")
}

// A ticket that Open Match has not taken is gone; one that has ended meanwhile
// stays.
func abortCreate(h *harness) {
	h.create("q", "1", "a")
	h.event("1", event(ticket.AbortCreate), ticket.None, ticket.Nothing)
	h.is("1", ticket.None)
	h.create("q", "2", "a")
	h.event("2", event(ticket.Cancel), ticket.Cancelled, ticket.Nothing)
	h.event("2", event(ticket.AbortCreate), ticket.Cancelled, ticket.Nothing)
	h.is("2", ticket.Cancelled)
	h.wait("q", "3", "a")
	h.event("3", event(ticket.AbortCreate), ticket.Waiting, ticket.Nothing)
	h.opened("3")
}

// What a store has returned does not change.
func snapshots(h *harness) {
	h.wait("q", "1", "a")
	before, err := h.Get(h.Context(), "1")
	if err != nil {
		h.Fatal(err)
	}
	h.assign("om-1", true)
	after, err := h.Get(h.Context(), "1")
	if before.State != ticket.Waiting || before.Assignment != nil || err != nil ||
		after.State != ticket.Assigned || after.Assignment == nil || after.Assignment.Connection != server.Connection {
		h.Errorf("before %+v, after %+v, %v", before, after, err)
	}
}

// An assignment may come before the id of its Open Match ticket, for the first
// one and for another.
func assignedEarly(h *harness) {
	h.create("q", "1", "a")
	h.assign("om-1", false)
	h.pass(9 * time.Second)
	c := h.event("1", attach("om-1"), ticket.Assigned, ticket.Nothing)
	if !c.Changed() || c.Ticket.Assignment == nil || *c.Ticket.Assignment != server || !c.Ticket.Updated.Equal(h.clock()) {
		h.Errorf("attached: %+v", c)
	}
	h.wait("q", "2", "a")
	h.event("2", lost("om-2"), ticket.Lost, ticket.Nothing)
	h.event("2", event(ticket.BeginRetry), ticket.Recreating, ticket.CreateOpenMatch)
	h.assign("om-2b", false)
	h.event("2", attach("om-2b"), ticket.Assigned, ticket.Nothing)
	h.create("q", "3", "a")
	h.assign("om-other", false)
	h.event("3", attach("om-3"), ticket.Waiting, ticket.Nothing)
}

// Nobody waits for an Open Match ticket that comes after the end, or besides
// another.
func attachedLate(h *harness) {
	h.create("q", "1", "a")
	h.event("1", event(ticket.Cancel), ticket.Cancelled, ticket.Nothing)
	h.event("1", attach("om-1"), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.assign("om-1", false)
	h.create("q", "2", "b")
	if c := h.pass(timeout); len(c) != 1 || c[0].Effect != ticket.Nothing {
		h.Errorf("expired: %+v", c)
	}
	h.event("2", attach("om-2"), ticket.Expired, ticket.DeleteOpenMatch)
	h.wait("q", "3", "c")
	h.event("3", attach("om-3b"), ticket.Waiting, ticket.DeleteOpenMatch)
	h.assign("om-3b", false)
	h.assign("om-3", true)
	h.event("3", attach("om-3c"), ticket.Assigned, ticket.DeleteOpenMatch)
}

// A ticket that Open Match has lost gets another one there, once.
func lostAndRecreated(h *harness) {
	h.wait("q", "1", "a")
	h.event("1", event(ticket.BeginRetry), ticket.Waiting, ticket.Nothing)
	h.event("1", lost("other"), ticket.Waiting, ticket.Nothing)
	if c := h.event("1", lost("om-1"), ticket.Lost, ticket.Nothing); c.Ticket.OpenMatchID != "" || c.Ticket.Reason == "" {
		h.Errorf("lost: %+v", c)
	}
	if c := h.event("1", lost("om-1"), ticket.Lost, ticket.Nothing); c.Changed() {
		h.Error("lost twice")
	}
	h.assign("om-1", false)
	h.event("1", event(ticket.BeginRetry), ticket.Recreating, ticket.CreateOpenMatch)
	h.event("1", event(ticket.BeginRetry), ticket.Recreating, ticket.Nothing)
	h.opened()
	h.event("1", event(ticket.AbortRetry), ticket.Lost, ticket.Nothing)
	h.opened("1")
	h.event("1", event(ticket.BeginRetry), ticket.Recreating, ticket.CreateOpenMatch)
	if c := h.event("1", attach("om-1b"), ticket.Waiting, ticket.Nothing); c.Ticket.Reason != "" {
		h.Errorf("recreated: %+v", c)
	}
	h.assign("om-1", false)
	h.event("1", lost("om-1"), ticket.Waiting, ticket.Nothing)
	h.lose("om-1", false)
	h.is("1", ticket.Waiting)
	h.lose("om-1b", true)
	h.is("1", ticket.Lost)
	h.lose("om-1b", false)
	h.event("1", event(ticket.BeginRetry), ticket.Recreating, ticket.CreateOpenMatch)
	h.event("1", event(ticket.Cancel), ticket.Cancelled, ticket.Nothing)
	h.event("1", event(ticket.AbortRetry), ticket.Cancelled, ticket.Nothing)
	h.event("1", attach("om-1c"), ticket.Cancelled, ticket.DeleteOpenMatch)
}

// The first of Assign, Cancel and Expire decides.
func firstEndWins(h *harness) {
	for _, id := range []string{"assigned", "cancelled", "expired"} {
		h.wait("q", id, id)
	}
	h.assign("om-assigned", true)
	if c := h.event("cancelled", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch); c.Ticket.OpenMatchID != "om-cancelled" {
		h.Errorf("cancelled: %+v", c)
	}
	expired := h.event("expired", event(ticket.Expire), ticket.Expired, ticket.DeleteOpenMatch)
	if expired.Ticket.Reason == "" || expired.Ticket.OpenMatchID != "om-expired" {
		h.Errorf("expired: %+v", expired)
	}
	for id, state := range map[string]ticket.State{"assigned": ticket.Assigned, "cancelled": ticket.Cancelled, "expired": ticket.Expired} {
		h.event(id, event(ticket.Cancel), state, ticket.Nothing)
		h.event(id, event(ticket.Expire), state, ticket.Nothing)
		h.assign("om-"+id, false)
		h.is(id, state)
	}
	if got, err := h.Get(h.Context(), "cancelled"); err != nil || got.Assignment != nil {
		h.Errorf("cancelled: %+v, %v", got, err)
	}
}

// Tickets expire, and those that have ended are forgotten, when their time has
// come and not before.
func ages(h *harness) {
	h.wait("q", "won", "a")
	h.wait("q", "left", "b")
	h.wait("q", "late", "c")
	h.assign("om-won", true)
	h.event("left", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	step := func(d time.Duration, expired int, won, left, late ticket.State) {
		h.Helper()
		c := h.pass(d)
		if len(c) != expired || expired == 1 && (c[0].Ticket.ID != "late" || c[0].Effect != ticket.DeleteOpenMatch || !c[0].Ticket.Updated.Equal(h.clock())) {
			h.Errorf("expired: %+v, want %d", c, expired)
		}
		h.is("won", won)
		h.is("left", left)
		h.is("late", late)
	}
	step(ended-1, 0, ticket.Assigned, ticket.Cancelled, ticket.Waiting)
	step(1, 0, ticket.Assigned, ticket.None, ticket.Waiting)
	step(timeout-ended-1, 0, ticket.Assigned, ticket.None, ticket.Waiting)
	step(1, 1, ticket.Assigned, ticket.None, ticket.Expired)
	step(ended-1, 0, ticket.Assigned, ticket.None, ticket.Expired)
	step(1, 0, ticket.Assigned, ticket.None, ticket.None)
	step(assigned-timeout-ended, 0, ticket.None, ticket.None, ticket.None)
	h.opened()
}

// A queue may say for how long its tickets wait; those of others wait as long as before.
// What it says counts from when it says it, also for who waits.
func queueAges(h *harness) {
	const quick = time.Minute
	limits := map[string]time.Duration{"quick": quick}
	h.reopenQueues(func() map[string]time.Duration { return limits })
	h.wait("quick", "1", "a")
	h.gather("2", "b", 2)
	h.wait("q", "3", "a")
	h.wait("quick", "4", "c")
	h.assign("om-4", true)
	h.pass(time.Second)
	h.wait("quick", "5", "d")
	h.event("5", lost("om-5"), ticket.Lost, ticket.Nothing)
	h.create("quick", "6", "e")
	h.event("6", event(ticket.AbortCreate), ticket.None, ticket.Nothing)
	step := func(d time.Duration, ids ...string) {
		h.Helper()
		c := h.pass(d)
		var got []string
		for _, change := range c {
			got = append(got, change.Ticket.ID)
			if change.Ticket.State != ticket.Expired || change.Ticket.Reason == "" {
				h.Errorf("ended: %+v", change.Ticket)
			}
		}
		if !slices.Equal(got, ids) {
			h.Errorf("expired: %q, want %q", got, ids)
		}
	}
	step(quick - time.Second - 1)
	step(1, "1")
	h.is("3", ticket.Waiting)
	h.is("5", ticket.Lost)
	step(time.Second - 1)
	step(1, "5")
	h.wait("quick", "7", "a")
	limits = nil
	step(2*quick-3*time.Second, "2") // its party did not come
	h.is("7", ticket.Waiting)
	limits = map[string]time.Duration{"q": quick, "quick": timeout - 1, "none": quick}
	step(0, "3")
	h.is("4", ticket.Assigned)
	h.is("7", ticket.Waiting)
	h.gather("8", "f", 2)
	step(quick - time.Second)
	h.event("8", join("g", 0), ticket.Gathered, ticket.CreateOpenMatch)
	h.event("8", attach("om-8"), ticket.Waiting, ticket.Nothing)
	step(quick - 1)
	step(1, "8") // since its party is complete
}

// A full store forgets the tickets that have ended, those without a match first,
// and no others.
func room(h *harness) {
	h.reopen(2)
	h.wait("q", "1", "a")
	h.wait("q", "2", "b")
	if _, err := h.Create(h.Context(), party("q", "3", "c")); !errors.Is(err, ticket.ErrFull) {
		h.Fatalf("third ticket: %v", err)
	}
	h.assign("om-1", true)
	h.event("2", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.wait("q", "3", "c")
	h.is("2", ticket.None)
	h.is("1", ticket.Assigned)
	h.wait("q", "4", "d")
	h.is("1", ticket.None)
}

// Watchers hear of every change that players see.
func watch(h *harness) {
	h.create("q", "1", "a")
	first, second := h.watch("1"), h.watch("1")
	h.event("1", attach("om-1"), ticket.Waiting, ticket.Nothing)
	h.event("1", lost("om-1"), ticket.Lost, ticket.Nothing)
	h.wakes("lost", first)
	h.wakes("lost, the other watcher", second)
	changed := h.watch("1")
	h.event("1", event(ticket.BeginRetry), ticket.Recreating, ticket.CreateOpenMatch)
	h.event("1", attach("om-1b"), ticket.Waiting, ticket.Nothing)
	h.wakes("recreated", changed)
	changed = h.watch("1")
	h.assign("om-1b", true)
	h.wakes("assigned", changed)

	h.create("q", "2", "a")
	changed = h.watch("2")
	h.event("2", event(ticket.AbortCreate), ticket.None, ticket.Nothing)
	h.wakes("aborted", changed)
	h.wait("q", "3", "a")
	changed = h.watch("3")
	h.pass(timeout)
	h.wakes("expired", changed)
	h.wait("q", "4", "a")
	changed = h.watch("4")
	h.event("4", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.wakes("cancelled", changed)
}

// A closed store wakes its watchers and begins nothing, but what is under way can
// be brought to its end.
func closed(h *harness) {
	h.wait("q", "1", "a")
	h.create("q", "2", "b")
	h.wait("q", "3", "c")
	h.event("3", lost("om-3"), ticket.Lost, ticket.Nothing)
	changed := h.watch("1")
	open, err := h.Close(h.Context())
	for _, t := range open {
		if t.Ended() || t.OpenMatchID != "" && t.OpenMatchID != "om-1" {
			h.Errorf("open: %+v", t)
		}
	}
	h.wakes("closed", changed)
	if again, againErr := h.Close(h.Context()); err != nil || againErr != nil || len(again) != 0 {
		h.Errorf("closed: %v, again: %v, %v", err, again, againErr)
	}
	h.is("1", ticket.Waiting)
	if _, err := h.Create(h.Context(), party("q", "4", "d")); !errors.Is(err, ticket.ErrClosed) {
		h.Errorf("Create: %v", err)
	}
	if _, _, err := h.Watch(h.Context(), "1"); !errors.Is(err, ticket.ErrClosed) {
		h.Errorf("Watch: %v", err)
	}
	if _, err := h.Assign(h.Context(), "om-1", server); !errors.Is(err, ticket.ErrClosed) {
		h.Errorf("Assign: %v", err)
	}
	if _, err := h.Expire(h.Context()); !errors.Is(err, ticket.ErrClosed) {
		h.Errorf("Expire: %v", err)
	}
	for id, e := range map[string]ticket.Event{"1": event(ticket.Expire), "2": attach("om-2"), "3": event(ticket.BeginRetry)} {
		if _, err := h.Update(h.Context(), id, e); !errors.Is(err, ticket.ErrClosed) {
			h.Errorf("%v: %v", e.Kind, err)
		}
	}
	h.event("2", event(ticket.AbortCreate), ticket.None, ticket.Nothing)
	h.event("1", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
}

// A player's tickets are those that have not ended, in whatever queue, and the last
// that was assigned.
func ofPlayer(h *harness) {
	has := func(player string, want ...string) {
		h.Helper()
		found, err := h.Of(h.Context(), player)
		var got []string
		for _, t := range found {
			got = append(got, t.ID)
		}
		if err != nil || !slices.Equal(got, want) {
			h.Errorf("tickets of %s: %q, %v; want %q", player, got, err, want)
		}
	}
	has("x")
	h.wait("q", "1", "x", "y:z")
	h.wait("10-letters", "2", "x")
	h.wait("a:b", "3", "x")
	has("x", "2", "3", "1")
	has("y:z", "1")
	h.event("2", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	has("x", "3", "1")
	h.event("3", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	has("x", "1")
	h.assign("om-1", true)
	has("x", "1")
	has("y:z", "1")
	h.wait("q", "4", "x")
	has("x", "4", "1")
	h.pass(time.Second)
	h.assign("om-4", true)
	has("x", "4")
	has("y:z", "1")
	h.gather("5", "x", 2)
	has("x", "5", "4")
	h.pass(assigned - time.Second)
	has("x", "4")
	has("y:z")
	h.pass(time.Second)
	has("x")
}

// A ticket that is kept is remembered from then on for as long as when it was assigned.
func kept(h *harness) {
	last := func(player, want string) {
		h.Helper()
		t, err := h.Last(h.Context(), player)
		if t.ID != want || want == "" && !errors.Is(err, ticket.ErrNotFound) || want != "" && err != nil {
			h.Errorf("the last match of %s is by %q, %v; want %q", player, t.ID, err, want)
		}
	}
	old := func(age time.Duration, want ...string) {
		h.Helper()
		found, err := h.AssignedBefore(h.Context(), age)
		var got []string
		for _, t := range found {
			got = append(got, t.ID)
		}
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			h.Errorf("assigned %v ago: %q, %v; want %q", age, got, err, want)
		}
	}
	keep := func(id string, want error) {
		h.Helper()
		t, _ := h.Get(h.Context(), id)
		t.ID = id
		if err := h.Keep(h.Context(), &t); !errors.Is(err, want) {
			h.Errorf("keep %q: %v, want %v", id, err, want)
		}
	}
	last("x", "")
	h.wait("q", "1", "x", "y")
	h.wait("q", "2", "z")
	keep("1", ticket.ErrNotFound)
	last("x", "")
	h.assign("om-1", true)
	h.assign("om-2", true)
	last("x", "1")
	old(0, "1", "2")
	old(assigned / 2)
	h.pass(assigned / 2)
	old(assigned/2, "1", "2")
	keep("1", nil)
	old(assigned/2, "2")
	h.pass(assigned / 2)
	h.is("2", ticket.None)
	h.pass(assigned/2 - time.Second)
	h.is("1", ticket.Assigned)
	last("y", "1")
	h.pass(time.Second)
	h.is("1", ticket.None)
	last("y", "")
	keep("1", ticket.ErrNotFound)
	old(0)
}

// A ticket that nobody asks for is cancelled, whatever it waits for.
func gone(h *harness) {
	h.reopenGone(100, lonely)
	touch := func(ids ...string) {
		h.Helper()
		if err := h.Touch(h.Context(), ids); err != nil {
			h.Errorf("touch: %v", err)
		}
	}
	h.wait("q", "1", "a")
	h.wait("q", "2", "b")
	h.wait("q", "played", "c")
	h.gather("3", "d", 2)
	h.assign("om-played", true)
	h.pass(lonely / 2)
	touch("1", "played", "nobody's")
	if c := h.pass(lonely/2 - 1); len(c) != 0 {
		h.Errorf("ended early: %+v", c)
	}
	c := h.pass(1)
	slices.SortFunc(c, func(a, b ticket.Change) int { return strings.Compare(a.Ticket.ID, b.Ticket.ID) })
	if len(c) != 2 || c[0].Ticket.ID != "2" || c[0].Ticket.State != ticket.Cancelled || c[0].Effect != ticket.DeleteOpenMatch ||
		c[1].Ticket.ID != "3" || c[1].Ticket.State != ticket.Cancelled {
		h.Errorf("ended: %+v", c)
	}
	h.searches("b", "")
	h.is("1", ticket.Waiting)
	touch("2")
	h.pass(lonely/2 - 1)
	h.is("1", ticket.Waiting)
	h.pass(1)
	h.is("1", ticket.Cancelled)
	h.is("played", ticket.Assigned)
	touch()
	h.pass(timeout)
}
