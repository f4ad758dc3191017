package admission

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/token"
)

// presenceHarness is a controller whose server is allocated for the match "m" and
// whose clock the test turns. Players are let in without a token.
type presenceHarness struct {
	t       *testing.T
	c       *Controller
	path    string
	now     time.Time
	view    watch.View
	player  string // of do
	admits  int
	close   func()
	current map[string]string // admission of a player
	finder  Director
}

func newPresenceHarness(t *testing.T, players ...string) *presenceHarness {
	t.Helper()
	roster, err := contract.EncodeRoster(harness.Roster(players...))
	if err != nil {
		t.Fatal(err)
	}
	h := &presenceHarness{
		t: t, now: t0, path: filepath.Join(t.TempDir(), "journal"), player: players[0], current: map[string]string{},
		view: watch.View{Name: "s", UID: "u", State: agones.Allocated, Match: "m", Roster: roster},
	}
	h.start()
	t.Cleanup(func() { h.close() })
	return h
}

// start starts a gate on the journal that is there.
func (h *presenceHarness) start() {
	h.t.Helper()
	memory, err := journal.Open(h.path, func() time.Time { return h.now })
	if err != nil {
		h.t.Fatal(err)
	}
	h.close = func() {
		if err := memory.Close(); err != nil {
			h.t.Error(err)
		}
	}
	h.c = New(Options{Journal: memory, Director: h.finder, Policy: policy, Now: func() time.Time { return h.now }, Logger: slog.New(slog.DiscardHandler)})
	h.c.Observe(h.view)
}

func (h *presenceHarness) restart() { h.close(); h.start() }

func (h *presenceHarness) admit(player string) Stay {
	h.t.Helper()
	h.admits++
	id := fmt.Sprintf("jti-%d", h.admits)
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	// Issued later than the start of the journal, which counts in whole seconds.
	_, err := h.c.o.Journal.Admit(journal.Player{Player: player, Admission: id, Since: h.now}, h.now.Add(time.Minute), h.now.Add(time.Second))
	if err != nil {
		h.t.Fatal(err)
	}
	h.current[player] = id
	return Stay{Player: player, Admission: id}
}

// report returns the reasons for which stays are refused, in order.
func (h *presenceHarness) report(stays ...Stay) string {
	h.t.Helper()
	r, err := h.c.Report(h.t.Context(), "m", stays)
	if err != nil {
		h.t.Fatal(err)
	}
	var reasons []string
	for _, refused := range r.Refused {
		reasons = append(reasons, refused.Player+":"+string(refused.Reason))
	}
	return strings.Join(reasons, " ")
}

func (h *presenceHarness) present() string {
	var names []string
	for _, p := range h.c.Snapshot().Present {
		names = append(names, p.Player)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (h *presenceHarness) expectPresent(when, want string) {
	h.t.Helper()
	if got := h.present(); got != want {
		h.t.Errorf("%s: present %q, want %q", when, got, want)
	}
}

// do lets something happen to the first player.
func (h *presenceHarness) do(event string) {
	h.t.Helper()
	switch event {
	case "admit":
		h.admit(h.player)
	case "depart":
		if err := h.c.Depart(h.t.Context(), h.player, ""); err != nil && !errors.Is(err, ErrNotPresent) {
			h.t.Fatal(err)
		}
	case "lapse":
		h.report()
		h.now = h.now.Add(policy.Presence)
		h.report()
	case "return":
		id := h.current[h.player]
		if id == "" {
			id = "of-an-earlier-gate"
		}
		h.report(Stay{h.player, id})
	}
}

func (h *presenceHarness) state() string {
	s := h.c.Snapshot()
	switch {
	case len(s.Present) > 0:
		return "Present"
	case len(s.Departed) > 0 && s.Departed[0].Lapsed:
		return "Lapsed"
	case len(s.Departed) > 0:
		return "Departed"
	}
	return "Expected"
}

// TestLapse: a player whose departure nobody reports is gone once reports have not
// named them for the time, and never because nothing is heard.
func TestLapse(t *testing.T) {
	h := newPresenceHarness(t, "ann", "bob")
	ann, bob := h.admit("ann"), h.admit("bob")
	h.report(ann)
	h.now = h.now.Add(policy.Presence - 1)
	h.report(ann)
	h.expectPresent("a moment before the time", "ann bob")
	h.now = h.now.Add(1)
	h.report(ann)
	h.expectPresent("after it", "ann")
	if s := h.c.Snapshot(); len(s.Departed) != 1 || !s.Departed[0].Lapsed {
		t.Errorf("departed: %+v", s.Departed)
	}
	h.now = h.now.Add(10 * time.Hour)
	h.expectPresent("nothing has been heard for hours", "ann")
	h.report(ann)
	h.expectPresent("ann was there all along", "ann")
	if got := h.report(ann, bob); got != "" {
		t.Errorf("bob is there after all: %s", got)
	}
	h.expectPresent("bob is there after all", "ann bob")
}

// TestBusyServer: a game server that has loaded a level for minutes reports before it has
// read the gate's answers. That ends nobody's stay, and not the server.
func TestBusyServer(t *testing.T) {
	h := newPresenceHarness(t, "ann", "bob")
	h.report()
	ann, bob := h.admit("ann"), h.admit("bob")
	h.now = h.now.Add(10 * policy.Presence)
	h.report()
	h.expectPresent("the first report after the admission", "ann bob")
	if plan, _ := h.c.decide(); plan.End != "" {
		t.Errorf("the server ends: %s", plan.End)
	}
	h.report(ann, bob)
	h.now = h.now.Add(10 * policy.Presence) // busy once more
	h.report(ann)
	h.expectPresent("the first report without bob", "ann bob")
}

// TestLapseEndsTheServer: of two players one drops without a word, the other leaves.
func TestLapseEndsTheServer(t *testing.T) {
	h := newPresenceHarness(t, "ann", "bob")
	ann, _ := h.admit("ann"), h.admit("bob")
	h.report(ann)
	if err := h.c.Depart(t.Context(), "ann", ann.Admission); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(policy.NoShow)
	if plan, _ := h.c.decide(); plan.End != "" {
		t.Fatalf("ended (%s) while bob counts as present", plan.End)
	}
	h.report()
	h.now = h.now.Add(policy.Empty)
	if plan, _ := h.c.decide(); plan.End != EndEmpty {
		t.Errorf("nobody is there, and the plan is %+v", plan)
	}
	if got := h.c.untold(); got != "m" {
		t.Errorf("players have come, and the server would show %q", got)
	}
}

func TestRefusedStays(t *testing.T) {
	h := newPresenceHarness(t, "ann", "bob")
	first := h.admit("ann")
	second := h.admit("ann")
	bob := h.admit("bob")
	if err := h.c.Depart(t.Context(), "bob", bob.Admission); err != nil {
		t.Fatal(err)
	}
	if err := h.c.o.Journal.MarkFresh(); err != nil {
		t.Fatal(err)
	}
	got := h.report(first, second, bob, Stay{"mallory", "x"})
	if want := "ann:superseded bob:departed mallory:not_on_roster"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	h.expectPresent("after the report", "ann")
	if got := newPresenceHarnessFresh(t).report(Stay{"ann", "x"}); got != "ann:not_admitted" {
		t.Errorf("never let in: %s", got)
	}
	// A departure that was said is no lapse: a late report does not undo it.
	if got := h.report(bob); got != "bob:departed" {
		t.Errorf("late report: %q", got)
	}
	var refusal *Refusal
	if _, err := h.c.Report(t.Context(), "m-before", nil); !errors.As(err, &refusal) || refusal.Reason != token.ReasonWrongMatch {
		t.Errorf("another match: %v", err)
	}
}

// newPresenceHarnessFresh is of a gate that was there before the match.
func newPresenceHarnessFresh(t *testing.T) *presenceHarness {
	t.Helper()
	h := newPresenceHarness(t, "ann")
	if err := h.c.o.Journal.MarkFresh(); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestPresenceAfterRestart: a gate that is started again gives everybody the whole
// time anew, and knows of lapses; one whose journal is lost believes the server.
func TestPresenceAfterRestart(t *testing.T) {
	h := newPresenceHarness(t, "ann", "bob", "cid")
	ann, bob, cid := h.admit("ann"), h.admit("bob"), h.admit("cid")
	h.report(ann, bob)
	h.now = h.now.Add(policy.Presence)
	h.report(ann, bob)
	h.expectPresent("cid has lapsed", "ann bob")
	h.now = h.now.Add(time.Hour) // the gate is away
	h.restart()
	h.report(ann)
	h.expectPresent("right after a new start", "ann bob")
	h.report(ann, cid)
	h.expectPresent("cid is back", "ann bob cid")
	h.now = h.now.Add(policy.Presence)
	h.restart()
	h.expectPresent("after one more", "ann bob cid")

	h.path = filepath.Join(t.TempDir(), "other") // the volume is lost
	h.restart()
	if got := h.report(ann, bob, Stay{"mallory", "x"}); got != "mallory:not_on_roster" {
		t.Errorf("refused: %q", got)
	}
	h.expectPresent("without the journal", "ann bob")
	h.restart()
	h.expectPresent("and after a new start", "ann bob")
}

// TestBelievedAreBounded: a gate that has lost its journal, in a match without a roster,
// believes the game server who is here, but not any number of names.
func TestBelievedAreBounded(t *testing.T) {
	h := newPresenceHarness(t, "ann")
	h.view.Match, h.view.Roster = "m-open", ""
	h.path = filepath.Join(t.TempDir(), "other")
	h.restart()
	report := func(from int) int {
		stays := make([]Stay, maxPresent)
		for i := range stays {
			stays[i] = Stay{Player: fmt.Sprintf("p%d", from+i), Admission: fmt.Sprintf("a%d", from+i)}
		}
		r, err := h.c.Report(t.Context(), "m-open", stays)
		if err != nil {
			t.Fatal(err)
		}
		return len(r.Refused)
	}
	if n := report(0); n != 0 {
		t.Errorf("%d of as many as there may be are refused", n)
	}
	if n := report(100); n != 100 {
		t.Errorf("%d are refused beyond that, want 100", n)
	}
	if n := len(h.c.Snapshot().Present); n != maxPresent {
		t.Errorf("%d are present, want %d", n, maxPresent)
	}
}
