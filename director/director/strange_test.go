package director_test

import (
	"testing"
	"time"

	"torikumi/proto/openmatch"
)

// TestTicketInTwoMatches: a fault of Open Match's store lets a ticket come back
// in a second match, while the first is being placed, and after it has been.
func TestTicketInTwoMatches(t *testing.T) {
	w := newWorld(t)
	w.addServers(4)
	hook, arrived, open := holding("AssignTickets")
	w.hook = hook
	i := start(t, w, nil)
	ids := []string{"ticket-0000", "ticket-0001"}
	w.addTickets(2)
	<-arrived
	again := func(id string) {
		w.do(func() {
			m := w.match(ids, time.Now())
			m.MatchId = id
			w.script = append(w.script, answer{matches: []*openmatch.Match{m}})
		})
	}
	const refused = `torikumi_director_matches_total{outcome="invalid",queue="session"}`
	again("session:meanwhile")
	eventually(t, "the second match is refused", func() bool { return metric(t, i, refused) == 1 })
	close(open)
	eventually(t, "assigned", func() bool { return w.assigned(ids...) == 2 })
	eventually(t, "settled", func() bool {
		return metric(t, i, `torikumi_director_matches_total{outcome="assigned",queue="session"}`) == 1
	})
	again("session:afterwards")
	eventually(t, "the third match is refused", func() bool { return metric(t, i, refused) == 2 })
	w.check(t)
	if n := w.inState("Allocated"); n != 1 {
		t.Errorf("%d servers are allocated for one match", n)
	}
	if n := w.releases(); n != 0 {
		t.Errorf("tickets of a match that is played were released %d times", n)
	}
}

// TestInvalidMatchWithTicketsOfAnother: a match that cannot be played names the
// tickets of one that is being placed.
func TestInvalidMatchWithTicketsOfAnother(t *testing.T) {
	w := newWorld(t)
	w.addServers(2)
	hook, arrived, open := holding("Allocate")
	w.hook = hook
	i := start(t, w, nil)
	ids := w.addTickets(2)
	<-arrived
	w.do(func() {
		m := w.match(ids, time.Now())
		m.MatchId = ""
		w.script = []answer{{matches: []*openmatch.Match{m}}}
	})
	eventually(t, "the second match is refused", func() bool {
		return metric(t, i, `torikumi_director_matches_total{outcome="invalid",queue="session"}`) >= 1
	})
	if n := w.releases(); n != 0 {
		t.Errorf("tickets of a match that is being placed were released %d times", n)
	}
	close(open)
	eventually(t, "assigned", func() bool { return w.assigned(ids...) == 2 })
	w.check(t)
}

// TestMatchIDCollision: foreign match functions give different matches the
// same id; each gets a server of its own all the same.
func TestMatchIDCollision(t *testing.T) {
	w := newWorld(t)
	w.addServers(3)
	ids := w.addTickets(4)
	var second *openmatch.Match
	w.do(func() {
		first := w.match(ids[:2], time.Now())
		second = w.match(ids[2:], time.Now())
		first.MatchId, second.MatchId = "session:1", "session:1"
		w.script = []answer{{matches: []*openmatch.Match{first}}}
	})
	start(t, w, nil)
	eventually(t, "the first is assigned", func() bool { return w.assigned(ids[:2]...) == 2 })
	w.do(func() { w.script = []answer{{matches: []*openmatch.Match{second}}} })
	eventually(t, "the second is assigned", func() bool { return w.assigned(ids...) == 4 })
	w.do(func() {
		a, b := w.tickets[ids[0]].to, w.tickets[ids[2]].to
		if len(a) != 1 || len(b) != 1 || a[0] == b[0] {
			t.Errorf("the matches were sent to %v and %v", a, b)
		}
		if len(w.deleted) > 0 {
			t.Errorf("servers %v were given back", w.deleted)
		}
	})
}
