package admission

import (
	"fmt"
	"testing"

	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"

	"torikumi/gameserver/internal/harness"
)

// TestCloseAndBanAgain: a request whose answer was lost has the same answer again, also if
// the server has begun to end for it, or the director has given the place to somebody else.
func TestCloseAndBanAgain(t *testing.T) {
	h := newPresenceHarness(t, "ann", "bob", "cy")
	again := func(when string) {
		t.Helper()
		for _, player := range []string{"ann", "bob"} {
			if err := h.c.Ban(t.Context(), player); err != nil {
				t.Errorf("%s: ban %s: %v", when, player, err)
			}
		}
		if match, err := h.c.SetClosed(t.Context(), true); err != nil || match != "m" {
			t.Errorf("%s: close: %q, %v", when, match, err)
		}
	}
	h.admit("ann")
	again("at first")
	again("at once")
	roster, err := contract.EncodeRoster(harness.Roster("ann", "cy"))
	if err != nil {
		t.Fatal(err)
	}
	h.view.Roster = roster // bob, who never came, has no place any more
	h.c.Observe(h.view)
	again("without a place")
	h.now = h.now.Add(policy.NoShow)
	if plan, _ := h.c.decide(); plan.End != EndEmpty {
		t.Fatalf("the match does not end: %+v", plan)
	}
	again("at the end of the match")
	h.restart()
	again("after a new start")
	if err := h.c.Ban(t.Context(), "mallory"); reasonOf(t, err) != ReasonNotOnRoster {
		t.Errorf("ban of a stranger: %v", err)
	}

	h.view.State = agones.Shutdown
	h.c.Observe(h.view)
	again("while the server ends")
	if err := h.c.Ban(t.Context(), "cy"); reasonOf(t, err) != ReasonNotAllocated {
		t.Errorf("another ban while the server ends: %v", err)
	}
	if _, err := h.c.SetClosed(t.Context(), false); reasonOf(t, err) != ReasonNotAllocated {
		t.Errorf("opened again while the server ends: %v", err)
	}
	h.view.State, h.view.Match, h.view.Roster = agones.Ready, "", ""
	h.c.Observe(h.view)
	for _, closed := range []bool{true, false} {
		if _, err := h.c.SetClosed(t.Context(), closed); reasonOf(t, err) != ReasonNotAllocated {
			t.Errorf("closed %v without a match: %v", closed, err)
		}
	}
}

// TestOpenAgain: that a match is open is answered as long as it is, and not while the server ends.
func TestOpenAgain(t *testing.T) {
	h := newPresenceHarness(t, "ann")
	for _, closed := range []bool{false, true, false, false} {
		if match, err := h.c.SetClosed(t.Context(), closed); err != nil || match != "m" {
			t.Errorf("closed %v: %q, %v", closed, match, err)
		}
	}
	h.view.State = agones.Shutdown
	h.c.Observe(h.view)
	if _, err := h.c.SetClosed(t.Context(), false); reasonOf(t, err) != ReasonNotAllocated {
		t.Errorf("open while the server ends: %v", err)
	}
}

// TestBansAreBounded: in a match without a roster a game server may ban whom it likes, but not
// any number of names; those who are here always.
func TestBansAreBounded(t *testing.T) {
	h := newPresenceHarness(t, "ann")
	h.view.Match, h.view.Roster = "m-open", ""
	h.c.Observe(h.view)
	for i := range maxStrangers {
		if err := h.c.Ban(t.Context(), fmt.Sprintf("p%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.c.Ban(t.Context(), "one-more"); reasonOf(t, err) != ReasonTooManyBans {
		t.Errorf("one more: %v", err)
	}
	if err := h.c.Ban(t.Context(), "p0"); err != nil {
		t.Errorf("the first again: %v", err)
	}
	h.c.mu.Lock()
	h.c.state.Presence.Enter(journal.Player{Player: "ann", Admission: "1"})
	h.c.mu.Unlock()
	if err := h.c.Ban(t.Context(), "ann"); err != nil {
		t.Errorf("who is here: %v", err)
	}
}
