package explain

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"torikumi/frontend/internal/ticket"
)

// A name stands for all its addresses: each replica knows what its own runs saw.
func TestReplicas(t *testing.T) {
	const one, two, three = "10.0.0.1:50502", "10.0.0.2:50502", "[fd00::3]:50502"
	h := newHarness(t, one, two, three)
	var addrs []string
	var failure error
	lookUp := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		var out []netip.Addr
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		if host != "match.example" {
			t.Errorf("looked up %q", host)
		}
		return out, failure
	}
	h.replicas.names = newNames([]string{"match.example:50502"}, lookUp, h.replicas.logger)
	h.begin("q", "a")
	h.begin("q", "b")
	h.byAddr[one].say("om-a", "by one")
	h.byAddr[two].say("om-b", "by two")
	h.byAddr[three].say("om-b", "by three")
	asked := func(want ...string) {
		t.Helper()
		h.clock.pass(lookUpEvery)
		h.look("a")
		h.look("b")
		h.step(0)
		for a, f := range h.byAddr {
			if n := len(f.taken()); n > 1 || (n == 1) != slices.Contains(want, a) {
				t.Errorf("%s: %d calls, want calls of %v", a, n, want)
			}
		}
	}
	h.clock.pass(2 * time.Second)
	// A name without addresses, and with none of them yet.
	asked()
	failure = errors.New("no such host")
	asked()
	asked()
	if h.lines("cannot be looked up") != 1 {
		t.Errorf("logged:\n%s", h.logs)
	}
	failure, addrs = nil, []string{"10.0.0.1", "fd00::3", "10.0.0.2", "::ffff:10.0.0.1"}
	asked(one, two)
	check(t, "a", h.look("a"), "by one")
	check(t, "b", h.look("b"), "by two")
	// What cannot be looked up stays as it was.
	failure = errors.New("no server")
	asked(one, two)
	failure, addrs = nil, []string{"10.0.0.2"}
	asked(two)
	if len(h.replicas.known) != 1 {
		t.Errorf("known: %v", h.replicas.known)
	}
	addrs = []string{"fd00::3"}
	asked(three)
	check(t, "b, of another replica", h.look("b"), "by three")
	if got := h.metric("reason_matchfunctions_up"); got != 1 {
		t.Errorf("%v are up", got)
	}
}

// Followers hear of changes, at most every 5 s, and of the end of an answer.
func TestFollowers(t *testing.T) {
	h := newHarness(t, addr)
	f := h.byAddr[addr]
	s := h.begin("q", "a")
	watch := h.Watch()
	defer watch.Close()
	told := func(what, want string) {
		t.Helper()
		reason, changed := watch.Reason(&s)
		h.step(2 * time.Second)
		select {
		case <-changed:
		default:
			if want != reason {
				t.Errorf("%s: not told", what)
			}
			return
		}
		if got, _ := watch.Reason(&s); got != want || got == reason {
			t.Errorf("%s: from %q to %q, want %q", what, reason, got, want)
		}
	}
	quiet := func(what string) {
		t.Helper()
		_, changed := watch.Reason(&s)
		h.step(2 * time.Second)
		select {
		case <-changed:
			t.Errorf("%s: told", what)
		default:
		}
	}
	quiet("nothing is known")
	f.say("om-a", "x")
	told("the first reason", "x")
	quiet("the same")
	f.say("om-a", "y")
	_, changed := watch.Reason(&s)
	h.step(2 * time.Second)
	select {
	case <-changed:
		t.Error("told 4 s after the last time")
	default:
	}
	check(t, "whoever looks", h.look("a"), "y")
	h.step(2 * time.Second)
	select {
	case <-changed:
	default:
		t.Error("not told 6 s after the last time")
	}
	f.say("om-a", "")
	for range 14 {
		quiet("nothing new")
	}
	told("it is too old", "")
	s = h.event("a", ticket.Event{Kind: ticket.Cancel})
	if reason, changed := watch.Reason(&s); reason != "" || changed != nil {
		t.Errorf("after the end: %q, %v", reason, changed)
	}
	if len(h.entries) != 0 {
		t.Errorf("remembered: %v", h.entries)
	}
}
