package frontend_test

import (
	"fmt"
	"testing"
	"time"

	tickets "torikumi/frontend/internal/ticket"
	"torikumi/pkg/eventually"
)

// A ticket that searches says how long others had to, wherever they got their match.
func TestEstimatedWait(t *testing.T) {
	a, b, store := replicas(t)
	const waited = time.Minute
	later := a.another(store, func() time.Time { return time.Now().Add(waited) })
	for i := range 5 {
		made := a.create(fmt.Sprint("p", i))
		if made.Estimate != 0 {
			t.Errorf("when nothing is known: %+v", made)
		}
		if _, err := later.Assign(t.Context(), a.om.one(t, made.ID).GetId(), tickets.Assignment{Connection: "10.0.0.7:7001"}); err != nil {
			t.Fatal(err)
		}
	}
	made := a.create("alice")
	for where, s := range map[string]*harness{"here": a, "there": b} {
		eventually.True(t, "it is estimated "+where, func() bool {
			got := s.get("alice", made.ID).Estimate
			if got != 0 && (got < 60_000 || got > 90_000) {
				t.Fatalf("%d ms", got)
			}
			return got != 0
		})
	}
	if got := b.events(t.Context(), "alice", made.ID).ticket(); got.Estimate == 0 {
		t.Errorf("an event: %+v", got)
	}
	if got := b.get("p0", b.where("p0").ID); got.State != "ASSIGNED" || got.Estimate != 0 {
		t.Errorf("one that is assigned: %+v", got)
	}
	if got := b.gather(`{"size":2}`); got.Estimate != 0 {
		t.Errorf("one that gathers: %+v", got)
	}
}

// where is the only ticket of a player.
func (s *harness) where(player string) ticket {
	s.t.Helper()
	var out struct{ Tickets []ticket }
	if decode(s.t, s.do(player, "GET", "/v1/tickets", ""), 200, &out); len(out.Tickets) != 1 {
		s.t.Fatalf("%s: %+v", player, out.Tickets)
	}
	return out.Tickets[0]
}
