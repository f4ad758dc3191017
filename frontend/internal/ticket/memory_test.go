package ticket

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	searching = torikumiv1.TicketState_SEARCHING
	assigned  = torikumiv1.TicketState_ASSIGNED
	cancelled = torikumiv1.TicketState_CANCELLED
	expired   = torikumiv1.TicketState_EXPIRED
)

func TestTransition(t *testing.T) {
	for _, test := range []struct {
		from    torikumiv1.TicketState
		event   Event
		to      torikumiv1.TicketState
		changed bool
	}{
		{searching, Assign, assigned, true},
		{searching, Cancel, cancelled, true},
		{searching, Expire, expired, true},
		{searching, 0, searching, false},
		{assigned, Assign, assigned, false},
		{assigned, Cancel, assigned, false},
		{assigned, Expire, assigned, false},
		{cancelled, Assign, cancelled, false},
		{cancelled, Cancel, cancelled, false},
		{cancelled, Expire, cancelled, false},
		{expired, Assign, expired, false},
		{expired, Cancel, expired, false},
		{expired, Expire, expired, false},
		{torikumiv1.TicketState_TICKET_STATE_UNSPECIFIED, Assign, torikumiv1.TicketState_TICKET_STATE_UNSPECIFIED, false},
	} {
		if to, changed := Transition(test.from, test.event); to != test.to || changed != test.changed {
			t.Errorf("Transition(%v, %d) = %v, %v; want %v, %v", test.from, test.event, to, changed, test.to, test.changed)
		}
	}
}

// clock is a time that tests move.
type clock struct{ now time.Time }

func newStore(c *clock, tickets int) *Memory {
	return NewMemory(Limits{
		Timeout: 10 * time.Minute, Assigned: time.Hour, Ended: time.Minute, Tickets: tickets,
		Now: func() time.Time { return c.now },
	})
}

func party(queue, id string, players ...string) Ticket {
	s := Ticket{ID: id, Queue: queue}
	for _, p := range players {
		s.Players = append(s.Players, &torikumiv1.Player{Id: p})
	}
	return s
}

func begin(t *testing.T, m *Memory, s Ticket) {
	t.Helper()
	if err := m.Create(s); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := m.Attach(s.ID, "om-"+s.ID); !ok {
		t.Fatalf("%q not bound", s.ID)
	}
}

func TestOneTicketPerPlayerAndQueue(t *testing.T) {
	m := newStore(&clock{time.Unix(1e9, 0)}, 100)
	begin(t, m, party("q", "1", "a", "b"))
	var conflict *ConflictError
	if err := m.Create(party("q", "2", "c", "b")); !errors.As(err, &conflict) || conflict.ID != "1" || conflict.Player != "b" {
		t.Errorf("second ticket of b: %v", err)
	}
	begin(t, m, party("other", "3", "b"))
	begin(t, m, party("q", "4", "c")) // the refused one holds nothing
	m.End("1", Cancel)
	begin(t, m, party("q", "5", "b"))
}

func TestAges(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	m := newStore(c, 100)
	begin(t, m, party("q", "won", "a"))
	begin(t, m, party("q", "left", "b"))
	begin(t, m, party("q", "late", "c"))
	m.Assign("om-won", Assignment{Connection: "x:1"})
	m.End("left", Cancel)
	has := func(id string) bool { _, ok := m.Get(id); return ok }
	step := func(d time.Duration, wantExpired int) {
		t.Helper()
		c.now = c.now.Add(d)
		if got := m.Tick(c.now); len(got) != wantExpired {
			t.Errorf("%d expired, want %d", len(got), wantExpired)
		}
	}
	step(time.Minute-1, 0)
	if !has("left") {
		t.Error("the cancelled one is forgotten too soon")
	}
	step(1, 0)
	if has("left") || !has("won") || !has("late") {
		t.Error("after a minute the cancelled one, and only that, is to be forgotten")
	}
	step(9*time.Minute, 1)
	if s, _ := m.Get("late"); s.State != expired {
		t.Errorf("state %v after the timeout", s.State)
	}
	step(time.Minute, 0)
	if has("late") || !has("won") {
		t.Error("a minute later the expired one is to be forgotten")
	}
	step(49*time.Minute, 0)
	if has("won") {
		t.Error("the assigned one is to be forgotten after an hour")
	}
	if len(m.byID)+len(m.byTicket)+len(m.busy)+m.searching.Len()+m.assigned.Len()+m.ended.Len() != 0 {
		t.Error("something is left")
	}
}

func TestRoom(t *testing.T) {
	m := newStore(&clock{time.Unix(1e9, 0)}, 2)
	begin(t, m, party("q", "1", "a"))
	begin(t, m, party("q", "2", "b"))
	if err := m.Create(party("q", "3", "c")); !errors.Is(err, ErrFull) {
		t.Fatalf("third ticket: %v", err)
	}
	m.Assign("om-1", Assignment{})
	m.End("2", Cancel)
	begin(t, m, party("q", "3", "c"))
	if _, ok := m.Get("2"); ok {
		t.Error("the cancelled one is still there")
	}
	if _, ok := m.Get("1"); !ok {
		t.Error("the assigned one went before the cancelled one")
	}
}

func TestEarlyAssignment(t *testing.T) {
	c := &clock{time.Unix(1e9, 0)}
	m := newStore(c, 100)
	if err := m.Create(party("q", "1", "a")); err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Assign("om-1", Assignment{Connection: "x:1"}); ok {
		t.Error("assigned before it was bound")
	}
	s, ok, won := m.Attach("1", "om-1")
	if !ok || !won || s.State != assigned || s.Assignment.Connection != "x:1" {
		t.Errorf("bound: %+v %v %v", s, ok, won)
	}
	// It may take a while, but not for ever.
	c.now = c.now.Add(time.Hour)
	m.Tick(c.now)
	if err := m.Create(party("q", "2", "b")); err != nil {
		t.Fatal(err)
	}
	for i, wantKnown := range []bool{true, true, false} {
		m.Assign("om-2", Assignment{})
		for range i {
			c.now = c.now.Add(earlyAge)
			m.Tick(c.now)
		}
		_, now := m.early["om-2"]
		_, before := m.earlier["om-2"]
		if (now || before) != wantKnown {
			t.Errorf("after %d times %v: known %v", i, earlyAge, now || before)
		}
	}
	m.AbortCreate("2")
	// With nobody between Create and Attach nothing is kept.
	m.Assign("om-3", Assignment{})
	if len(m.early)+len(m.earlier) != 0 {
		t.Error("early assignments pile up")
	}
}

func TestLostAndRemade(t *testing.T) {
	m := newStore(&clock{time.Unix(1e9, 0)}, 100)
	begin(t, m, party("q", "1", "a"))
	if m.BeginRetry("1") {
		t.Error("recreated though it has a ticket")
	}
	if m.MarkLost("1", "other") || !m.MarkLost("1", "om-1") || m.MarkLost("1", "om-1") {
		t.Error("MarkLost takes the ticket that it has, once")
	}
	if _, ok := m.Assign("om-1", Assignment{}); ok {
		t.Error("assigned by the lost ticket")
	}
	if !m.BeginRetry("1") || m.BeginRetry("1") {
		t.Error("only one may recreate it")
	}
	if len(m.Open()) != 0 || m.Pending() != 1 {
		t.Error("it is open while it is being recreated")
	}
	m.AbortRetry("1")
	if refs := m.Open(); len(refs) != 1 || refs[0] != (Ref{ID: "1"}) {
		t.Errorf("open: %v", refs)
	}
	m.BeginRetry("1")
	m.End("1", Cancel)
	if _, ok, _ := m.Attach("1", "om-2"); ok {
		t.Error("bound after its end")
	}
}

func TestStop(t *testing.T) {
	m := newStore(&clock{time.Unix(1e9, 0)}, 100)
	begin(t, m, party("q", "1", "a"))
	if err := m.Create(party("q", "2", "b")); err != nil {
		t.Fatal(err)
	}
	if open := m.Stop(); len(open) != 2 {
		t.Errorf("%d go on, want 2", len(open))
	}
	<-m.Stopped()
	if m.Stop() != nil {
		t.Error("the second Stop has something to say")
	}
	if _, ok, _ := m.Attach("2", "om-2"); ok {
		t.Error("bound after the stop")
	}
	if _, ok := m.Assign("om-1", Assignment{}); ok {
		t.Error("assigned after the stop")
	}
	if err := m.Create(party("q", "3", "c")); !errors.Is(err, ErrStopped) {
		t.Errorf("begun after the stop: %v", err)
	}
}

// TestRandomWalk compares the store's books with what can be seen, after random
// steps.
func TestRandomWalk(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := &clock{time.Unix(1e9, 0)}
	m := newStore(c, 30)
	final := map[string]torikumiv1.TicketState{}
	for i := range 20_000 {
		id := fmt.Sprint(r.IntN(i/10 + 1))
		switch r.IntN(9) {
		case 0, 1:
			_ = m.Create(party("q", fmt.Sprint("n", i), fmt.Sprint("p", r.IntN(40)), fmt.Sprint("P", r.IntN(40))))
			m.Attach(fmt.Sprint("n", i), fmt.Sprint("om-n", i))
		case 2:
			_ = m.Create(party("q", "n"+id+"x", fmt.Sprint("p", r.IntN(40))))
			m.AbortCreate("n" + id + "x")
		case 3:
			m.End("n"+id, Cancel)
		case 4:
			m.Assign("om-n"+id, Assignment{})
		case 5:
			if m.MarkLost("n"+id, "om-n"+id) && m.BeginRetry("n"+id) {
				m.Attach("n"+id, "om-n"+id)
			}
		case 6:
			c.now = c.now.Add(time.Duration(r.IntN(20)) * time.Second)
			m.Tick(c.now)
		default:
		}
		for id, rec := range m.byID {
			if was, ok := final[id]; ok && was != rec.State {
				t.Fatalf("%s was %v and is %v", id, was, rec.State)
			}
			if rec.Ended() {
				final[id] = rec.State
			}
			if rec.Ended() != (rec.home != m.searching) || (rec.State == assigned) != (rec.home == m.assigned) {
				t.Fatalf("%s is in the wrong list", id)
			}
		}
		if n := m.searching.Len() + m.assigned.Len() + m.ended.Len(); n != len(m.byID) || n > 30 {
			t.Fatalf("%d listed, %d known", n, len(m.byID))
		}
		for at, rec := range m.busy {
			if rec.Ended() || !rec.Has(at.player) {
				t.Fatalf("%v is held by %+v", at, rec.Ticket)
			}
		}
	}
}
