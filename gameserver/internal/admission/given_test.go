package admission

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/journal"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

type noDirector struct{}

func (noDirector) Fill(context.Context, *torikumiv1.FillRequest) (*torikumiv1.FillResponse, error) {
	return nil, errors.New("not called")
}

// newFillHarness is a presenceHarness whose queue fills matches up by itself and keeps
// places for 20 s.
func newFillHarness(t *testing.T, players ...string) *presenceHarness {
	h := newPresenceHarness(t, players...)
	roster := harness.Roster(players...)
	roster.Backfill = &torikumiv1.BackfillPolicy{Automatic: true, Reserve: durationpb.New(reserve)}
	text, err := contract.EncodeRoster(roster)
	if err != nil {
		t.Fatal(err)
	}
	h.view.Roster, h.finder = text, noDirector{}
	h.restart()
	return h
}

// give lets time pass until the gate gives the places of these players away.
func (h *presenceHarness) give(after time.Duration, players ...string) {
	h.t.Helper()
	h.now = h.now.Add(after)
	plan, _ := h.c.nextFill()
	if len(plan.Give) != len(players) {
		h.t.Fatalf("given away: %v, want %v", plan.Give, players)
	}
}

// TestLapsedPlaceIsGiven: a player who has lapsed and whose place was given away is not brought
// back by a report, nor by the request that let them in.
func TestLapsedPlaceIsGiven(t *testing.T) {
	h := newFillHarness(t, "ann", "bob")
	ann, bob := h.admit("ann"), h.admit("bob")
	h.report(ann)
	h.now = h.now.Add(policy.Presence)
	h.report(ann)
	h.expectPresent("bob has lapsed", "ann")
	h.give(reserve, "bob")
	if got := h.report(ann, bob); got != "bob:place_given" {
		t.Errorf("refused: %s", got)
	}
	h.expectPresent("after the report", "ann")
	h.restart()
	if got := h.report(ann, bob); got != "bob:place_given" {
		t.Errorf("after a new start: %s", got)
	}
}

// TestRepeatedRequestOfGiven: the same request again does not get the same answer.
func TestRepeatedRequestOfGiven(t *testing.T) {
	h := newFillHarness(t, "ann", "bob")
	ann := h.admit("ann")
	h.c.mu.Lock()
	_, err := h.c.o.Journal.Admit(journal.Player{Player: "bob", Admission: "jti-b", Attempt: "again", Since: h.now}, h.now.Add(time.Minute), h.now.Add(time.Second))
	h.c.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	repeat := func() bool {
		h.c.mu.Lock()
		defer h.c.mu.Unlock()
		_, ok := h.c.repeat("again")
		return ok
	}
	h.report(ann)
	h.now = h.now.Add(policy.Presence)
	h.report(ann)
	h.expectPresent("bob has lapsed", "ann")
	h.give(reserve, "bob")
	if repeat() {
		t.Error("bob came back into a place that was given away")
	}
	h.expectPresent("after the request", "ann")
}

// TestGivenBeforeComing: so does nobody come who had never come, by a report.
func TestGivenBeforeComing(t *testing.T) {
	h := newFillHarness(t, "ann", "bob")
	ann := h.admit("ann")
	h.give(policy.NoShow, "bob")
	if got := h.report(ann, Stay{Player: "bob", Admission: "jti-9"}); got != "bob:place_given" {
		t.Errorf("refused: %s", got)
	}
	if got := h.c.Snapshot().Given; len(got) != 1 || !got["bob"] {
		t.Errorf("given: %v", got)
	}
}

// TestPlaceIsKeptWithoutDisk: a place that cannot be written as given is not given.
func TestPlaceIsKeptWithoutDisk(t *testing.T) {
	h := newFillHarness(t, "ann", "bob")
	h.admit("ann")
	h.now = h.now.Add(policy.NoShow)
	h.close() // nothing can be written any more
	if plan, _ := h.c.nextFill(); plan.Call || plan.At.Sub(h.now) != fillSpacing {
		t.Errorf("plan %+v", plan)
	}
	if got := h.c.Snapshot().Given; len(got) != 0 {
		t.Errorf("given: %v", got)
	}
}

// TestAnswerForAnotherMatch: an answer that comes when the server has gone on changes nothing.
func TestAnswerForAnotherMatch(t *testing.T) {
	h := newFillHarness(t, "ann", "bob")
	h.admit("ann")
	plan, match := h.c.nextFill()
	if !plan.Call || match != "m" {
		t.Fatalf("%+v for %q", plan, match)
	}
	h.view.Match = "m-2"
	h.c.Observe(h.view)
	h.c.filled(plan, match, &torikumiv1.FillResponse{State: torikumiv1.FillResponse_SEARCHING}, nil, nil)
	if f := h.c.state.Fill; f.Open || f.Answer != nil {
		t.Errorf("%+v", f)
	}
}
