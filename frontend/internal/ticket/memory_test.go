package ticket

import (
	"fmt"
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
		id := fmt.Sprint("n", r.IntN(i/10+1))
		switch r.IntN(11) {
		case 0, 1:
			id = fmt.Sprint("n", i)
			_, _ = m.Create(t.Context(), party("q", id, fmt.Sprint("p", r.IntN(40)), fmt.Sprint("P", r.IntN(40))))
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
			c.now = c.now.Add(time.Duration(r.IntN(20)) * time.Second)
			m.expire(t)
		case 7:
			id = fmt.Sprint("n", i)
			d := party("q", id, fmt.Sprint("p", r.IntN(40)))
			d.Party = &Party{Leader: d.Players[0].GetId(), Size: 2 + r.IntN(2), Code: id}
			_, _ = m.Create(t.Context(), d)
		case 8:
			m.change(t, id, r)
			_ = m.Touch(t.Context(), []string{id}) // has no error
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
	if len(m.byID)+len(m.byOpenMatch)+len(m.byPlayer)+len(m.byCode)+len(m.played)+m.seen.Len()+m.gathering.Len()+m.open.Len()+m.assigned.Len()+m.ended.Len()+m.creating != 0 {
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

// checkIndexes also notes the final states, which must stay.
func (m *Memory) checkIndexes(t *testing.T, final map[string]State) {
	t.Helper()
	players, waiting, creating, codes := 0, 0, 0, 0
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
			codes++
			if m.byCode[r.Party.Code] != r {
				t.Fatalf("%s is not found by its code", id)
			}
		}
		if r.Ended() != (r.home != m.open && r.home != m.gathering) || (r.State == Gathering) != (r.home == m.gathering) || (r.State == Assigned) != (r.home == m.assigned) {
			t.Fatalf("%s is in the wrong list", id)
		}
		if r.State == Waiting {
			waiting++
			if m.byOpenMatch[r.OpenMatchID] != r {
				t.Fatalf("%s is not found by its Open Match ticket", id)
			}
		}
		if r.State.creating() {
			creating++
		}
	}
	if n := m.gathering.Len() + m.open.Len() + m.assigned.Len() + m.ended.Len(); n != len(m.byID) || n > 30 {
		t.Fatalf("%d listed, %d known", n, len(m.byID))
	}
	if n := m.gathering.Len() + m.open.Len(); n != m.seen.Len() {
		t.Fatalf("%d have not ended, %d are looked after", n, m.seen.Len())
	}
	seats := 0
	for player, held := range m.byPlayer {
		seats += len(held)
		for _, r := range held {
			if r.Ended() || !r.Has(player) || m.holds(player, r.Queue) != r {
				t.Fatalf("%s has a place by %+v", player, r.Ticket)
			}
		}
	}
	if len(m.byOpenMatch) != waiting || m.creating != creating || seats != players || len(m.byCode) != codes {
		t.Fatalf("%d waiting, %d creating, %d players; counted %d, %d, %d", len(m.byOpenMatch), m.creating, seats, waiting, creating, players)
	}
}
