package director_test

import (
	"testing"
	"time"

	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
)

// TestTicketInTwoMatches: a fault of Open Match's store lets a ticket come back
// in a second match, while the first is being placed, and after it has been.
func TestTicketInTwoMatches(t *testing.T) {
	h := newHarness(t)
	h.addServers(4)
	hook, arrived, open := holding("AssignTickets")
	h.hook = hook
	i := start(t, h, nil)
	ids := []string{"ticket-0000", "ticket-0001"}
	h.addTickets(2)
	<-arrived
	again := func(id string) {
		h.do(func() {
			m := h.match(ids, time.Now())
			m.MatchId = id
			h.script = append(h.script, answer{matches: []*openmatch.Match{m}})
		})
	}
	const refused = `torikumi_director_matches_total{outcome="invalid",queue="session"}`
	again("session:meanwhile")
	eventually.True(t, "the second match is refused", func() bool { return metric(t, i, refused) == 1 })
	close(open)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
	eventually.True(t, "the match has its outcome", func() bool {
		return metric(t, i, `torikumi_director_matches_total{outcome="assigned",queue="session"}`) == 1
	})
	again("session:afterwards")
	eventually.True(t, "the third match is refused", func() bool { return metric(t, i, refused) == 2 })
	h.check(t)
	if n := h.inState("Allocated"); n != 1 {
		t.Errorf("%d servers are allocated for one match", n)
	}
	if n := h.releases(); n != 0 {
		t.Errorf("tickets of a match that is played were released %d times", n)
	}
}

// TestInvalidMatchWithTicketsOfAnother: a match that cannot be played names the
// tickets of one that is being placed.
func TestInvalidMatchWithTicketsOfAnother(t *testing.T) {
	h := newHarness(t)
	h.addServers(2)
	hook, arrived, open := holding("Allocate")
	h.hook = hook
	i := start(t, h, nil)
	ids := h.addTickets(2)
	<-arrived
	h.do(func() {
		m := h.match(ids, time.Now())
		m.MatchId = ""
		h.script = []answer{{matches: []*openmatch.Match{m}}}
	})
	eventually.True(t, "the second match is refused", func() bool {
		return metric(t, i, `torikumi_director_matches_total{outcome="invalid",queue="session"}`) >= 1
	})
	if n := h.releases(); n != 0 {
		t.Errorf("tickets of a match that is being placed were released %d times", n)
	}
	close(open)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
	h.check(t)
}

// TestMatchIDCollision: foreign match functions give different matches the
// same id; each gets a server of its own all the same.
func TestMatchIDCollision(t *testing.T) {
	h := newHarness(t)
	h.addServers(3)
	ids := h.addTickets(4)
	var second *openmatch.Match
	h.do(func() {
		first := h.match(ids[:2], time.Now())
		second = h.match(ids[2:], time.Now())
		first.MatchId, second.MatchId = "session:1", "session:1"
		h.script = []answer{{matches: []*openmatch.Match{first}}}
	})
	start(t, h, nil)
	eventually.True(t, "the first is assigned", func() bool { return h.assigned(ids[:2]...) == 2 })
	h.do(func() { h.script = []answer{{matches: []*openmatch.Match{second}}} })
	eventually.True(t, "the second is assigned", func() bool { return h.assigned(ids...) == 4 })
	h.do(func() {
		a, b := h.tickets[ids[0]].to, h.tickets[ids[2]].to
		if len(a) != 1 || len(b) != 1 || a[0] == b[0] {
			t.Errorf("the matches were sent to %v and %v", a, b)
		}
		if len(h.deleted) > 0 {
			t.Errorf("servers %v were deleted", h.deleted)
		}
	})
}
