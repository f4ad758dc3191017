package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/eventually"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestReasonComesAndGoes(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	h.begin("q", "a")
	check(t, "at once", h.look("a"), "")
	h.step(time.Second)
	check(t, "young", h.look("a"), "")
	h.step(900 * time.Millisecond)
	if calls := f.taken(); len(calls) != 0 {
		t.Errorf("a ticket that has just come is asked for: %v", calls)
	}
	h.clock.pass(100 * time.Millisecond)
	h.look("a")
	h.step(0)
	if calls := f.taken(); len(calls) != 1 || !slices.Equal(calls[0], []string{"om-a"}) {
		t.Errorf("calls: %v", calls)
	}
	f.run(16, func(string) string { return "nobody else is waiting" })
	h.step(2 * time.Second)
	check(t, "after a run", h.look("a"), "nobody else is waiting")
	if got := h.metric("reason_matchfunctions_up"); got != 1 {
		t.Errorf("%v are up", got)
	}

	// Nobody looks: after 10 s it is asked for no more, and 30 s later it is
	// forgotten.
	for range 4 {
		h.step(2 * time.Second)
	}
	f.taken()
	h.step(2 * time.Second)
	if calls := f.taken(); len(calls) != 0 {
		t.Errorf("asked though nobody wants to know: %v", calls)
	}
	check(t, "a slow player", h.look("a"), "nobody else is waiting")
	for range 20 {
		h.step(2 * time.Second)
	}
	if len(h.entries) != 0 || len(h.line.entries) != 0 {
		t.Errorf("remembered: %v", h.entries)
	}
	check(t, "much later", h.look("a"), "")
}

// A ticket that has ended is not asked for again, and forgotten.
func TestEndedTicketsDropOut(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	for _, id := range []string{"cancelled", "assigned", "seen", "waiting"} {
		h.begin("q", id)
		watch := h.Watch()
		defer watch.Close()
		s := h.get(id)
		watch.Reason(&s)
	}
	h.step(2 * time.Second)
	f.run(16, func(string) string { return "x" })
	h.step(2 * time.Second)
	f.taken()
	for _, id := range []string{"cancelled", "seen"} {
		h.event(id, ticket.Event{Kind: ticket.Cancel})
	}
	if _, err := h.store.Assign(t.Context(), "om-assigned", ticket.Assignment{Connection: "c"}); err != nil {
		t.Fatal(err)
	}
	check(t, "after the end", h.look("seen"), "")
	if len(h.entries) != 3 {
		t.Errorf("the end was seen, but it is remembered: %v", h.entries)
	}
	h.step(2 * time.Second)
	if calls := f.taken(); len(calls) != 1 || !slices.Equal(calls[0], []string{"om-waiting"}) {
		t.Errorf("calls: %v", calls)
	}
	h.step(2 * time.Second)
	if len(h.entries) != 1 || len(h.line.entries) != 1 {
		t.Errorf("remembered: %v", h.entries)
	}
}

// A ticket whose ticket is made again has another id in Open Match: what was
// seen of the old one is not shown.
func TestTicketMadeAgain(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	h.begin("q", "a")
	f.say("om-a", "old")
	f.say("om-b", "new")
	h.clock.pass(2 * time.Second)
	h.look("a")
	h.step(0)
	check(t, "before", h.look("a"), "old")
	h.event("a", ticket.Event{Kind: ticket.MarkLost, OpenMatchID: "om-a"})
	check(t, "lost", h.look("a"), "")
	f.taken()
	h.step(2 * time.Second)
	if calls := f.taken(); len(calls) != 0 {
		t.Errorf("asked without a ticket: %v", calls)
	}
	h.event("a", ticket.Event{Kind: ticket.BeginRetry})
	h.event("a", ticket.Event{Kind: ticket.Attach, OpenMatchID: "om-b"})
	check(t, "made again", h.look("a"), "")
	h.step(2 * time.Second)
	check(t, "asked again", h.look("a"), "new")
}

// TestThousandWait: the calls do not grow with the waiting players, each of them
// is told in turn, and those of a quiet queue do not wait for those of a crowd.
func TestThousandWait(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	const few = 40
	var ids []string
	var watches []*Watch
	for i := range 1000 + few {
		queue := "crowd"
		if i >= 1000 {
			queue = "few"
		}
		id := fmt.Sprint(queue, i)
		s := h.begin(queue, id)
		watch := h.Watch()
		watch.Reason(&s)
		ids, watches = append(ids, id), append(watches, watch)
	}
	defer func() {
		for _, watch := range watches {
			watch.Close()
		}
	}()
	told := map[string]bool{}
	for round := 0; len(told) < len(ids); round++ {
		if round == 200 {
			t.Fatalf("%d of %d were told in %d rounds", len(told), len(ids), round)
		}
		if round == 4 {
			for _, id := range ids[1000:] {
				if !told[id] {
					t.Errorf("%s was not told in %d rounds", id, round)
				}
			}
		}
		h.step(2 * time.Second)
		calls := f.taken()
		if round == 0 && (len(calls) != 1 || len(calls[0]) != 100) || len(calls) > 1 {
			t.Fatalf("round %d: %d calls", round, len(calls))
		}
		for _, call := range calls {
			slices.Sort(call)
			if len(call) > 100 || len(slices.Compact(call)) != len(call) {
				t.Fatalf("%d ids, some twice", len(call))
			}
		}
		for i, id := range ids {
			if text := h.look(id); text != "" {
				told[id] = true
				if text != "of om-"+id {
					t.Fatalf("%s was told %q", id, text)
				}
				if i < 1000 { // later it is asked for anew
					f.say("om-"+id, "")
				}
			}
		}
		f.run(32, func(id string) string { return "of " + id })
	}
}

// A queue that is never explained leaves the others their turns.
func TestQueueWithoutAnswers(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	for i := range 300 {
		h.begin("silent", fmt.Sprint("silent", i))
		h.begin("spoken", fmt.Sprint("spoken", i))
	}
	h.clock.pass(2 * time.Second)
	told := 0
	for range 15 {
		told = 0
		for i := range 300 {
			h.look(fmt.Sprint("silent", i))
			if h.look(fmt.Sprint("spoken", i)) != "" {
				told++
			}
		}
		h.step(2 * time.Second)
		f.mu.Lock()
		for _, id := range f.noted {
			if strings.HasPrefix(id, "om-spoken") {
				f.known[id] = "x"
			}
		}
		f.noted = nil
		f.mu.Unlock()
	}
	if told != 300 {
		t.Errorf("%d of 300 are told", told)
	}
	seen := map[string]bool{}
	for _, call := range f.taken() {
		for _, id := range call {
			if strings.HasPrefix(id, "om-silent") {
				seen[id] = true
			}
		}
	}
	if len(seen) < 100 {
		t.Errorf("%d of the silent queue were asked for; those who wait in vain keep the others out", len(seen))
	}
}

func TestDownAndBack(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	f.down()
	h.begin("q", "a")
	f.say("om-a", "x")
	h.clock.pass(2 * time.Second)
	for range 5 {
		h.look("a")
		h.step(100 * time.Millisecond)
	}
	check(t, "while it is down", h.look("a"), "")
	const notSaid, said = "does not say why", "says why"
	if h.lines(notSaid) != 1 || h.lines(said) != 0 || h.metric("reason_matchfunctions_up") != 0 {
		t.Errorf("logged:\n%s", h.logs)
	}
	f.up(false)
	eventually.True(t, "it is back", func() bool { h.round(t.Context()); return h.look("a") == "x" })
	if h.lines(notSaid) != 1 || h.lines(said) != 1 || h.metric("reason_matchfunctions_up") != 1 {
		t.Errorf("logged:\n%s", h.logs)
	}
	f.down()
	for range 5 {
		h.look("a")
		h.step(2 * time.Second)
	}
	check(t, "just gone", h.look("a"), "x")
	for range 15 {
		h.look("a")
		h.step(2 * time.Second)
	}
	check(t, "long gone", h.look("a"), "")
	if h.lines(notSaid) != 2 || h.metric("reason_matchfunctions_up") != 0 || h.metric("reason_calls_total") < 20 {
		t.Errorf("logged:\n%s", h.logs)
	}
}

// An older match function does not know the call, and one in trouble needs rest.
func TestLeftAlone(t *testing.T) {
	for name, fail := range map[string]error{"old": nil, "exhausted": status.Error(codes.ResourceExhausted, "no")} {
		h := newHarness(t, addr)
		f := h.byAddr[addr]
		if fail == nil {
			f.down()
			f.up(true)
		}
		f.set(fail)
		h.begin("q", "a")
		h.clock.pass(2 * time.Second)
		for range 10 {
			h.look("a")
			h.step(2 * time.Second)
		}
		if got := h.metric("reason_calls_total"); got != 2 {
			t.Errorf("%s: %v calls in 20 s, want one in 10 s", name, got)
		}
		if h.lines("does not say why") != 1 || h.look("a") != "" {
			t.Errorf("%s: logged:\n%s", name, h.logs)
		}
	}
}

// What is not for players, or of tickets that nobody asked for, is left out.
func TestStrangeAnswers(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	h.begin("q", "a")
	h.begin("q", "b")
	f.extra = []*torikumiv1.Explanation{nil, {TicketId: "om-b"}, {TicketId: "om-z", Summary: "z"}, {Summary: "nobody's"}}
	f.say("om-a", strings.Repeat("x", mostText+1))
	h.clock.pass(2 * time.Second)
	h.look("a")
	h.look("b")
	h.step(2 * time.Second)
	check(t, "too long", h.look("a"), "")
	check(t, "empty", h.look("b"), "")
}

func TestFull(t *testing.T) {
	h := newHarness(t, addr)
	for i := range mostTickets {
		h.entries[fmt.Sprint("other", i)] = new(entry)
	}
	s := h.begin("q", "a")
	h.clock.pass(2 * time.Second)
	watch := h.Watch()
	if reason, changed := watch.Reason(&s); reason != "" || changed != nil {
		t.Errorf("no room, but %q, %v", reason, changed)
	}
	delete(h.entries, "other0")
	if _, changed := watch.Reason(&s); changed == nil {
		t.Error("room, but it is not followed")
	}
	watch.Close()
}

func TestNobodyKnows(t *testing.T) {
	var c *Cache
	s := ticket.Ticket{ID: "a", State: ticket.Waiting}
	check(t, "no match function", c.Reason(&s), "")
	watch := c.Watch()
	if reason, changed := watch.Reason(&s); reason != "" || changed != nil {
		t.Errorf("%q, %v", reason, changed)
	}
	watch.Close()
}

// TestConcurrentPlayers is for the race detector: players look, follow and
// leave, tickets begin and end, while the loop asks.
func TestConcurrentPlayers(t *testing.T) {
	h := newHarness(t, addr, "10.0.0.2:50502")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	var players sync.WaitGroup
	for p := range 20 {
		players.Go(func() {
			for i := range 20 {
				id := fmt.Sprint("s", p, "-", i)
				s := h.begin(fmt.Sprint("q", p%3), id)
				for _, f := range h.byAddr {
					f.say("om-"+id, "x")
				}
				watch := h.Watch()
				_, changed := watch.Reason(&s)
				h.clock.pass(2 * time.Second)
				if i%4 == 0 {
					<-changed
				}
				h.look(id)
				if i%3 == 0 {
					s = h.event(id, ticket.Event{Kind: ticket.MarkLost, OpenMatchID: "om-" + id})
				} else {
					s = h.event(id, ticket.Event{Kind: ticket.Cancel})
				}
				watch.Reason(&s)
				watch.Close()
			}
		})
	}
	players.Wait()
	eventually.True(t, "everybody is forgotten", func() bool {
		h.clock.pass(time.Second)
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.entries) == 0
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
