package backfill_test

import (
	"slices"
	"testing"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// searching checks an answer to a gate.
func searching(t *testing.T, r *torikumiv1.FillResponse, err error, state torikumiv1.FillResponse_State, places int32) {
	t.Helper()
	if err != nil || r.GetState() != state || r.GetOpenPlaces() != places || r.GetNext().AsDuration() <= 0 {
		t.Fatalf("%v, %v; want %v with %d places", r, err, state, places)
	}
}

func ids(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// TestFill fills a match up by the gate's calls alone, until it is full.
func TestFill(t *testing.T) {
	h := newHarness(t, time.Minute)
	h.match("gs", teams("ann", "bob"))
	d := h.director("")
	r, err := d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 2)
	far, near := h.search("far", 5000), h.search("cid", 1010)
	if got := h.fetch(); len(got) != 1 || got[0].GetBackfill().GetId() != h.backfill("gs") {
		t.Fatalf("fetched %v", got)
	}
	r, err = d.fill(h, "gs", "ann", "bob")
	searching(t, r, err, torikumiv1.FillResponse_SEARCHING, 1)
	ids(t, h.members("gs"), "ann", "bob", "cid")
	ids(t, h.told(), near)
	server, details := h.assignedTo(near)
	if server != "games/gs" || details.GetMatchId() == "" || details.GetPort() != 7000 {
		t.Errorf("cid was sent to %v", details)
	}
	if server, _ := h.assignedTo(far); server != "" {
		t.Errorf("far was sent to %s", server)
	}

	last := h.search("dan", 990)
	h.fetch()
	r, err = d.fill(h, "gs", "ann", "bob", "cid")
	searching(t, r, err, torikumiv1.FillResponse_FULL, 0)
	ids(t, h.members("gs"), "ann", "bob", "cid", "dan")
	ids(t, h.told(), near, last)
	if h.backfill("gs") != "" || h.backfills() != 0 {
		t.Errorf("%q is searched for, %d backfills", h.backfill("gs"), h.backfills())
	}
}
