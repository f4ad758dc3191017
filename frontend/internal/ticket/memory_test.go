package ticket

import (
	"container/list"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func newStore(c *clock, tickets int) *Memory {
	return NewMemory(Limits{
		Timeout: 10 * time.Minute, Gathering: 2 * time.Minute, Gone: 9 * time.Minute, Assigned: time.Hour, Ended: time.Minute, Tickets: tickets,
		Now: func() time.Time { return c.now },
	})
}

func party(queue, id string, players ...string) Ticket {
	t := Ticket{ID: id, Queue: queue}
	for _, p := range players {
		t.Players = append(t.Players, &torikumiv1.Player{Id: p})
	}
	return t
}

// try applies what may be refused.
func (m *Memory) try(t *testing.T, id string, k Kind, openMatchID string) Change {
	c, err := m.Update(t.Context(), id, Event{Kind: k, OpenMatchID: openMatchID})
	_ = err // refused
	return c
}

func (m *Memory) expire(t *testing.T) {
	t.Helper()
	if _, err := m.Expire(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestEarlyAge: early assignments are kept for a while, but not for ever, and not
// at all while nobody waits for Open Match.
func TestEarlyAge(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	m := newStore(c, 100)
	m.expire(t)
	if _, err := m.Create(t.Context(), party("q", "2", "b")); err != nil {
		t.Fatal(err)
	}
	for i, wantKnown := range []bool{true, true, false} {
		if _, err := m.Assign(t.Context(), "om-2", Assignment{}); err == nil {
			t.Error("assigned before it was attached")
		}
		for range i {
			c.now = c.now.Add(earlyAge)
			m.expire(t)
		}
		_, now := m.early["om-2"]
		_, before := m.earlier["om-2"]
		if (now || before) != wantKnown {
			t.Errorf("after %d times %v: known %v", i, earlyAge, now || before)
		}
	}
	m.try(t, "2", AbortCreate, "")
	if _, err := m.Assign(t.Context(), "om-3", Assignment{}); err == nil || len(m.early)+len(m.earlier) != 0 {
		t.Error("early assignments pile up")
	}
}

// TestRandomWalk compares the store's indexes with the tickets' states, after
// random steps.
func TestRandomWalk(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := &clock{time.Unix(1e9, 0)}
	m := newStore(c, 30)
	final := map[string]State{}
	for i := range 20_000 {
		id := fmt.Sprint("n", i-r.IntN(min(i+1, 50))) // of the last: many of them are there
		switch r.IntN(12) {
		case 0, 1:
			id = fmt.Sprint("n", i)
			d := party([]string{"q", "r"}[r.IntN(2)], id, fmt.Sprint("p", r.IntN(40)), fmt.Sprint("P", r.IntN(40)))
			d.Request = &Request{Key: fmt.Sprint("k", r.IntN(100))}
			_, _ = m.Create(t.Context(), d)
			m.try(t, id, Attach, "om-"+id)
		case 2:
			id = fmt.Sprint("n", i)
			_, _ = m.Create(t.Context(), party("q", id, fmt.Sprint("p", r.IntN(40))))
			if r.IntN(2) == 0 {
				m.try(t, id, AbortCreate, "")
			}
		case 3:
			m.try(t, id, Cancel, "")
		case 4:
			_, _ = m.Assign(t.Context(), "om-"+id, Assignment{})
		case 5:
			if m.try(t, id, MarkLost, "om-"+id); m.try(t, id, BeginRetry, "").Effect == CreateOpenMatch {
				m.try(t, id, []Kind{Attach, AbortRetry}[r.IntN(2)], "om-"+id)
			}
		case 6:
			c.now = c.now.Add(time.Duration(r.IntN(60)) * time.Second)
			m.expire(t)
		case 7:
			id = fmt.Sprint("n", i)
			d := party("q", id, fmt.Sprint("p", r.IntN(40)))
			d.Party = &Party{Leader: d.Players[0].GetId(), Size: 2 + r.IntN(2), Code: id}
			_, _ = m.Create(t.Context(), d)
		case 8:
			m.change(t, id, r)
			_ = m.Touch(t.Context(), []string{id}) // has no error
		case 9:
			m.ask(t, id, r)
		default:
		}
		m.checkIndexes(t, final)
	}
	c.now = c.now.Add(2 * time.Hour)
	for range 2 {
		m.expire(t)
		c.now = c.now.Add(2 * time.Hour)
	}
	m.expire(t)
	if n := len(m.byID) + len(m.byOpenMatch) + len(m.byPlayer) + len(m.byCode) + len(m.byRequest) + len(m.accepting) + len(m.played) + m.creating +
		m.seen.Len() + m.gathering.Len() + m.open.Len() + m.assigned.Len() + m.ended.Len() + len(m.waiting); n != 0 {
		t.Error("something is left")
	}
}

// change changes a party, if the ticket has one.
func (m *Memory) change(t *testing.T, id string, r *rand.Rand) {
	found, err := m.Get(t.Context(), id)
	if err != nil || found.Party == nil {
		return
	}
	who := fmt.Sprint("p", r.IntN(40))
	_, _ = m.Update(t.Context(), id, []Event{
		{Kind: Join, Player: &torikumiv1.Player{Id: who}, Revision: found.Party.Revision},
		{Kind: Remove, Removed: found.Players[len(found.Players)-1].GetId(), By: found.Party.Leader},
		{Kind: Complete, Revision: found.Party.Revision},
	}[r.IntN(3)])
	m.try(t, id, Attach, "om-"+id)
}

// ask proposes a match to a ticket that waits, and answers, or does not.
func (m *Memory) ask(t *testing.T, id string, r *rand.Rand) {
	now := m.limits.Now()
	asked := &Acceptance{ID: "of " + id, Players: 2, ExpireTime: now.Add(15 * time.Second), ReleaseTime: now.Add(time.Minute)}
	_, _ = m.UpdateOpenMatch(t.Context(), "om-"+id, Event{Kind: Propose, Acceptance: asked})
	_, _ = m.Update(t.Context(), id, []Event{{Kind: Accept}, {Kind: Decline}, {Kind: Recall, Proposal: asked.ID}, {Kind: Recall}}[r.IntN(4)])
}

// checkIndexes compares the indexes with those that the tickets would make anew. It notes
// the final states, which must stay.
func (m *Memory) checkIndexes(t *testing.T, final map[string]State) {
	t.Helper()
	byOpenMatch, byCode, byRequest, accepting := map[string]*record{}, map[string]*record{}, map[string]*record{}, map[*record]bool{}
	players, creating := 0, 0
	for id, r := range m.byID {
		if was, ok := final[id]; ok && was != r.State {
			t.Fatalf("%s was %v and is %v", id, was, r.State)
		}
		if r.Ended() {
			final[id] = r.State
		} else {
			players += len(r.Players)
		}
		if r.Party != nil && !r.Ended() {
			byCode[r.Party.Code] = r
		}
		if r.Request != nil {
			byRequest[r.Request.Key] = r
		}
		if r.Ended() != (r.home != m.open && r.home != m.gathering) || (r.State == Gathering) != (r.home == m.gathering) || (r.State == Assigned) != (r.home == m.assigned) {
			t.Fatalf("%s is in the wrong list", id)
		}
		if r.State == Waiting || r.State == Accepting {
			byOpenMatch[r.OpenMatchID] = r
		}
		if r.State == Accepting {
			accepting[r] = true
		}
		if r.State.creating() {
			creating++
		}
	}
	for index, right := range map[string]bool{
		"byOpenMatch": maps.Equal(m.byOpenMatch, byOpenMatch), "byCode": maps.Equal(m.byCode, byCode),
		"byRequest": maps.Equal(m.byRequest, byRequest), "accepting": maps.Equal(m.accepting, accepting), "creating": m.creating == creating,
	} {
		if !right {
			t.Fatalf("%s is not that of the tickets", index)
		}
	}
	m.checkLists(t)
	seats := 0
	for player, held := range m.byPlayer {
		seats += len(held)
		for _, r := range held {
			if r.Ended() || !r.Has(player) || m.holds(player, r.Queue) != r {
				t.Fatalf("%s has a place by %+v", player, r.Ticket)
			}
		}
	}
	if seats != players {
		t.Fatalf("%d players, counted %d", seats, players)
	}
}

// checkLists compares the lists of tickets with each other, and what is made of them.
func (m *Memory) checkLists(t *testing.T) {
	t.Helper()
	if n := m.gathering.Len() + m.open.Len() + m.assigned.Len() + m.ended.Len(); n != len(m.byID) || n > 30 {
		t.Fatalf("%d listed, %d known", n, len(m.byID))
	}
	if n := m.gathering.Len() + m.open.Len(); n != m.seen.Len() {
		t.Fatalf("%d have not ended, %d are looked after", n, m.seen.Len())
	}
	waiting := map[string][]*record{}
	for e := m.open.Front(); e != nil; e = e.Next() {
		waiting[at(e).Queue] = append(waiting[at(e).Queue], at(e))
	}
	same := func(l *list.List, want []*record) bool {
		e := l.Front()
		for _, r := range want {
			if e == nil || at(e) != r || r.waits != e {
				return false
			}
			e = e.Next()
		}
		return e == nil
	}
	if !maps.EqualFunc(m.waiting, waiting, same) {
		t.Fatal("the queues' lists are not those of open")
	}
	played := map[string]*record{}
	for e := m.assigned.Front(); e != nil; e = e.Next() {
		for _, p := range at(e).Players {
			played[p.GetId()] = at(e)
		}
	}
	if !maps.Equal(m.played, played) {
		t.Fatal("played are not the players' last of assigned")
	}
}
