package storetest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/frontend/internal/ticket"
)

// recorder notes failures instead of failing.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	failed bool
}

func (r *recorder) fail()                     { r.mu.Lock(); r.failed = true; r.mu.Unlock() }
func (r *recorder) Failed() bool              { r.mu.Lock(); defer r.mu.Unlock(); return r.failed }
func (r *recorder) Helper()                   {}
func (r *recorder) Error(...any)              { r.fail() }
func (r *recorder) Errorf(string, ...any)     { r.fail() }
func (r *recorder) Fatal(...any)              { r.fail(); runtime.Goexit() }
func (r *recorder) Fatalf(_ string, _ ...any) { r.Fatal() }

// broken is a store whose methods a test replaces, to break one guarantee.
type broken struct {
	ticket.Store
	create func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error)
	get    func(ctx context.Context, id string) (ticket.Ticket, error)
	find   func(ctx context.Context, code string) (ticket.Ticket, error)
	of     func(ctx context.Context, player string) ([]ticket.Ticket, error)
	watch  func(ctx context.Context, id string) (ticket.Ticket, <-chan struct{}, error)
	update func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error)
	assign func(ctx context.Context, openMatchID string, a ticket.Assignment) (ticket.Change, error)
	open   func(ctx context.Context) ([]string, error)
	byOM   func(ctx context.Context, openMatchID string, e ticket.Event) (ticket.Change, error)
	asked  func(ctx context.Context) ([]ticket.Ticket, error)
	close  func(ctx context.Context) ([]ticket.Ticket, error)
	keep   func(ctx context.Context, t *ticket.Ticket) error
	more   []ticket.Wait
}

func (b *broken) Keep(ctx context.Context, t *ticket.Ticket) error { return b.keep(ctx, t) }

func (b *broken) Waits(ctx context.Context, queue string) ([]ticket.Wait, error) {
	waits, err := b.Store.Waits(ctx, queue)
	return append(waits, b.more...), err
}

func (b *broken) Create(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
	return b.create(ctx, t)
}
func (b *broken) Get(ctx context.Context, id string) (ticket.Ticket, error) { return b.get(ctx, id) }
func (b *broken) Find(ctx context.Context, code string) (ticket.Ticket, error) {
	return b.find(ctx, code)
}
func (b *broken) Of(ctx context.Context, player string) ([]ticket.Ticket, error) {
	return b.of(ctx, player)
}
func (b *broken) Watch(ctx context.Context, id string) (ticket.Ticket, <-chan struct{}, error) {
	return b.watch(ctx, id)
}
func (b *broken) Update(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
	return b.update(ctx, id, e)
}
func (b *broken) Assign(ctx context.Context, openMatchID string, a ticket.Assignment) (ticket.Change, error) {
	return b.assign(ctx, openMatchID, a)
}
func (b *broken) UpdateOpenMatch(ctx context.Context, openMatchID string, e ticket.Event) (ticket.Change, error) {
	return b.byOM(ctx, openMatchID, e)
}
func (b *broken) Accepting(ctx context.Context) ([]ticket.Ticket, error) { return b.asked(ctx) }
func (b *broken) Open(ctx context.Context) ([]string, error)             { return b.open(ctx) }
func (b *broken) Close(ctx context.Context) ([]ticket.Ticket, error)     { return b.close(ctx) }

// pause lets others go first.
func pause() { time.Sleep(time.Millisecond) }

// breaking returns an Open of memory stores with something changed.
func breaking(change func(b *broken, m *ticket.Memory)) Open {
	return func(_ testing.TB, l ticket.Limits) ticket.Store {
		m := ticket.NewMemory(l)
		b := &broken{Store: m, create: m.Create, get: m.Get, find: m.Find, of: m.Of, watch: m.Watch, update: m.Update, assign: m.Assign, byOM: m.UpdateOpenMatch, asked: m.Accepting, open: m.Open, keep: m.Keep, close: m.Close}
		change(b, m)
		return b
	}
}

// limited returns an Open of memory stores with other limits.
func limited(change func(l *ticket.Limits)) Open {
	return func(_ testing.TB, l ticket.Limits) ticket.Store {
		change(&l)
		return ticket.NewMemory(l)
	}
}

// after returns an Open of stores whose Update gives another answer.
func after(change func(e ticket.Event, c *ticket.Change)) Open {
	return breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			c, err := m.Update(ctx, id, e)
			if err == nil {
				change(e, &c)
			}
			return c, err
		}
	})
}

// checkThenAct returns an Open of stores that look before they apply events of a
// kind, and believe what they saw.
func checkThenAct(kind ticket.Kind) Open {
	return breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			if e.Kind != kind {
				return m.Update(ctx, id, e)
			}
			t, err := m.Get(ctx, id)
			pause()
			if err != nil {
				return ticket.Change{}, err
			}
			if _, err := m.Update(ctx, id, e); err != nil {
				return ticket.Change{}, err
			}
			return t.Apply(e, time.Time{}), nil
		}
	})
}

// attached returns a store's memory of Open Match tickets that were attached.
func attached(b *broken, m *ticket.Memory) *sync.Map {
	known := new(sync.Map)
	b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
		c, err := m.Update(ctx, id, e)
		if e.Kind == ticket.Attach {
			known.Store(e.OpenMatchID, true)
		}
		return c, err
	}
	return known
}

var brokenStores = []struct {
	name string
	open Open
	// fails are checks that have to find it.
	fails []string
}{
	{"no conflicts", breaking(func(b *broken, m *ticket.Memory) {
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			t.Queue += t.ID
			return m.Create(ctx, t)
		}
	}), []string{"OneTicketPerPlayerAndQueue", "Model", "RaceOfCreations", "RaceOfSeats"}},
	{"players are held for ever", breaking(func(b *broken, m *ticket.Memory) {
		held := map[string]string{}
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			p := t.Players[0].GetId()
			if id, ok := held[t.Queue+p]; ok {
				return ticket.Ticket{}, &ticket.ConflictError{Player: p, Queue: t.Queue, ID: id}
			}
			held[t.Queue+p] = t.ID
			return m.Create(ctx, t)
		}
	}), []string{"OneTicketPerPlayerAndQueue", "Model"}},
	{"groups are passed over", breaking(func(b *broken, m *ticket.Memory) {
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			t.Group = ""
			return m.Create(ctx, t)
		}
	}), []string{"OneTicketPerPlayerAndGroup"}},
	{"knows of no other tickets", breaking(func(b *broken, m *ticket.Memory) {
		b.assign = func(ctx context.Context, id string, a ticket.Assignment) (ticket.Change, error) {
			c, err := m.Assign(ctx, id, a)
			c.Others = nil
			return c, err
		}
	}), []string{"OtherTickets"}},
	{"gives no reasons", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			e.Reason = ""
			return m.Update(ctx, id, e)
		}
	}), []string{"ReasonsOfCancels"}},
	{"says the same of all that has expired", breaking(func(b *broken, m *ticket.Memory) {
		b.get = func(ctx context.Context, id string) (ticket.Ticket, error) {
			t, err := m.Get(ctx, id)
			if t.State == ticket.Expired {
				t.Reason = t.State.Reason()
			}
			return t, err
		}
	}), []string{"ReasonsOfExpiries"}},
	{"remembers the waits of the cancelled", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			c, err := m.Update(ctx, id, e)
			if e.Kind == ticket.Cancel && c.Changed() {
				b.more = append(b.more, ticket.Wait{Ended: c.Ticket.Updated})
			}
			return c, err
		}
	}), []string{"Waits"}},
	{"requests are forgotten", breaking(func(b *broken, m *ticket.Memory) {
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			t.Request = nil
			return m.Create(ctx, t)
		}
	}), []string{"Requests", "RaceOfRequests"}},
	{"requests are remembered for ever", breaking(func(b *broken, m *ticket.Memory) {
		made := map[string]string{}
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			if t.Request == nil {
				return m.Create(ctx, t)
			}
			if id, ok := made[t.Request.Key+t.Request.Digest]; ok {
				return ticket.Ticket{}, &ticket.RepeatedError{ID: id, Same: true}
			}
			made[t.Request.Key+t.Request.Digest] = t.ID
			return m.Create(ctx, t)
		}
	}), []string{"Requests"}},
	{"tickets without times", breaking(func(b *broken, m *ticket.Memory) {
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			t, err := m.Create(ctx, t)
			t.Created = time.Time{}
			return t, err
		}
	}), []string{"Create"}},
	{"what is being created is open", breaking(func(b *broken, m *ticket.Memory) {
		var all []string
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			all = append(all, t.ID)
			return m.Create(ctx, t)
		}
		b.open = func(context.Context) ([]string, error) { return all, nil }
	}), []string{"Create", "Model"}},
	{"newest first", breaking(func(b *broken, m *ticket.Memory) {
		b.open = func(ctx context.Context) ([]string, error) {
			ids, err := m.Open(ctx)
			slices.Reverse(ids)
			return ids, err
		}
	}), []string{"Create", "Model"}},
	{"an abort removes what has ended", breaking(func(b *broken, m *ticket.Memory) {
		gone := map[string]bool{}
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			gone[id] = gone[id] || e.Kind == ticket.AbortCreate
			return m.Update(ctx, id, e)
		}
		b.get = func(ctx context.Context, id string) (ticket.Ticket, error) {
			if gone[id] {
				return ticket.Ticket{}, ticket.ErrNotFound
			}
			return m.Get(ctx, id)
		}
	}), []string{"AbortCreate", "Model"}},
	{"stale reads", breaking(func(b *broken, m *ticket.Memory) {
		seen := map[string]ticket.Ticket{}
		b.get = func(ctx context.Context, id string) (ticket.Ticket, error) {
			if t, ok := seen[id]; ok {
				return t, nil
			}
			t, err := m.Get(ctx, id)
			seen[id] = t
			return t, err
		}
	}), []string{"Snapshots"}},
	{"early assignments are lost", breaking(func(b *broken, m *ticket.Memory) {
		known := attached(b, m)
		b.assign = func(ctx context.Context, id string, a ticket.Assignment) (ticket.Change, error) {
			if _, ok := known.Load(id); !ok {
				return ticket.Change{}, ticket.ErrNotFound
			}
			return m.Assign(ctx, id, a)
		}
	}), []string{"AssignedEarly"}},
	{"early assignments race", breaking(func(b *broken, m *ticket.Memory) {
		known := attached(b, m)
		b.assign = func(ctx context.Context, id string, a ticket.Assignment) (ticket.Change, error) {
			if _, ok := known.Load(id); !ok {
				pause() // Attach looks now
				return ticket.Change{}, ticket.ErrNotFound
			}
			return m.Assign(ctx, id, a)
		}
	}), []string{"RaceOfEarlyAssignment"}},
	{"late Open Match tickets stay", after(func(e ticket.Event, c *ticket.Change) {
		if e.Kind == ticket.Attach {
			c.Effect = ticket.Nothing
		}
	}), []string{"AttachedLate", "LostAndRecreated"}},
	{"any Open Match ticket is lost", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			if t, err := m.Get(ctx, id); err == nil && e.Kind == ticket.MarkLost {
				e.OpenMatchID = t.OpenMatchID
			}
			return m.Update(ctx, id, e)
		}
	}), []string{"LostAndRecreated"}},
	{"an Open Match ticket that was taken back stays", breaking(func(b *broken, _ *ticket.Memory) {
		b.byOM = func(context.Context, string, ticket.Event) (ticket.Change, error) {
			return ticket.Change{}, ticket.ErrNotFound
		}
	}), []string{"LostAndRecreated"}},
	{"an answer stands for all players", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			if e.Kind == ticket.Accept {
				e.By = ""
			}
			return m.Update(ctx, id, e)
		}
	}), []string{"Acceptance", "AcceptanceAges"}},
	{"an answer is to any proposal", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			if e.Kind == ticket.Accept || e.Kind == ticket.Decline {
				e.Proposal = ""
			}
			return m.Update(ctx, id, e)
		}
	}), []string{"Acceptance"}},
	{"nobody is late", breaking(func(b *broken, m *ticket.Memory) {
		b.byOM = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			if e.Kind == ticket.Propose {
				late := *e.Acceptance
				late.ExpireTime = late.ReleaseTime
				e.Acceptance = &late
			}
			return m.UpdateOpenMatch(ctx, id, e)
		}
	}), []string{"Acceptance", "AcceptanceAges"}},
	{"whoever has accepted is kept for ever", breaking(func(b *broken, m *ticket.Memory) {
		b.byOM = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			if e.Kind == ticket.Propose {
				kept := *e.Acceptance
				kept.ReleaseTime = kept.ReleaseTime.Add(hidden)
				e.Acceptance = &kept
			}
			return m.UpdateOpenMatch(ctx, id, e)
		}
	}), []string{"AcceptanceAges"}},
	{"forgets who is asked", breaking(func(b *broken, _ *ticket.Memory) {
		b.asked = func(context.Context) ([]ticket.Ticket, error) { return nil, nil }
	}), []string{"AcceptingTickets"}},
	{"only those are asked who have accepted", breaking(func(b *broken, m *ticket.Memory) {
		b.asked = func(ctx context.Context) ([]ticket.Ticket, error) {
			all, err := m.Accepting(ctx)
			return slices.DeleteFunc(all, func(t ticket.Ticket) bool { return !t.HasAccepted("") }), err
		}
	}), []string{"AcceptingTickets"}},
	{"of several answers at a time one counts", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			seen, err := m.Get(ctx, id)
			if e.Kind != ticket.Accept || err != nil {
				return m.Update(ctx, id, e)
			}
			pause()
			if now, err := m.Get(ctx, id); err != nil || now.Acceptance != seen.Acceptance {
				return ticket.Change{From: now.State, Ticket: now}, err
			}
			return m.Update(ctx, id, e)
		}
	}), []string{"RaceOfAnswers"}},
	{"looks, and then declines", checkThenAct(ticket.Decline), []string{"RaceOfAnswers"}},
	{"a reason stays", after(func(e ticket.Event, c *ticket.Change) {
		if e.Kind == ticket.Attach {
			c.Ticket.Reason = "lost"
		}
	}), []string{"LostAndRecreated"}},
	{"retries go on for ever", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			if e.Kind == ticket.AbortRetry {
				t, err := m.Get(ctx, id)
				return ticket.Change{From: t.State, Ticket: t}, err
			}
			return m.Update(ctx, id, e)
		}
	}), []string{"LostAndRecreated", "Model"}},
	{"the last end wins", after(func(e ticket.Event, c *ticket.Change) {
		if e.Kind == ticket.Cancel {
			c.Ticket.State = ticket.Cancelled
		}
	}), []string{"FirstEndWins", "Model"}},
	{"two cancels", checkThenAct(ticket.Cancel), []string{"RaceOfEnds"}},
	{"two retries", checkThenAct(ticket.BeginRetry), []string{"RaceOfRetries"}},
	{"expires early", limited(func(l *ticket.Limits) { l.Timeout-- }), []string{"Ages"}},
	{"expires late", limited(func(l *ticket.Limits) { l.Timeout++ }), []string{"Ages"}},
	{"knows no limits of queues", limited(func(l *ticket.Limits) { l.Queues = nil }), []string{"QueueAges"}},
	{"ends all by a queue's limit", limited(func(l *ticket.Limits) {
		if l.Queues != nil {
			l.Timeout = time.Minute
		}
	}), []string{"QueueAges"}},
	{"forgets the assigned early", limited(func(l *ticket.Limits) { l.Assigned = l.Ended }), []string{"Ages"}},
	{"remembers the ended for long", limited(func(l *ticket.Limits) { l.Ended = l.Assigned }), []string{"Ages"}},
	{"takes one too many", limited(func(l *ticket.Limits) { l.Tickets++ }), []string{"Room"}},
	{"makes no room", breaking(func(b *broken, m *ticket.Memory) {
		n := 0
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			if n++; n > 2 {
				return ticket.Ticket{}, ticket.ErrFull
			}
			return m.Create(ctx, t)
		}
	}), []string{"Room"}},
	{"finds parties that have ended", breaking(func(b *broken, m *ticket.Memory) {
		seen := map[string]string{}
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			if t.Party != nil {
				seen[t.Party.Code] = t.ID
			}
			return m.Create(ctx, t)
		}
		b.find = func(ctx context.Context, code string) (ticket.Ticket, error) { return m.Get(ctx, seen[code]) }
	}), []string{"Gathering", "GatheringAges"}},
	{"forgets where players play", breaking(func(b *broken, m *ticket.Memory) {
		b.of = func(ctx context.Context, player string) ([]ticket.Ticket, error) {
			found, err := m.Of(ctx, player)
			return slices.DeleteFunc(found, func(t ticket.Ticket) bool { return t.Ended() }), err
		}
	}), []string{"TicketsOfAPlayer"}},
	{"keeps nothing", breaking(func(b *broken, m *ticket.Memory) {
		b.keep = func(context.Context, *ticket.Ticket) error { return nil }
	}), []string{"Kept"}},
	{"keeps what it does not have", breaking(func(b *broken, m *ticket.Memory) {
		b.keep = func(ctx context.Context, t *ticket.Ticket) error { _ = m.Keep(ctx, t); return nil }
	}), []string{"Kept"}},
	{"knows one ticket of a player alone", breaking(func(b *broken, m *ticket.Memory) {
		b.of = func(ctx context.Context, player string) ([]ticket.Ticket, error) {
			found, err := m.Of(ctx, player)
			return found[:min(1, len(found))], err
		}
	}), []string{"TicketsOfAPlayer"}},
	{"joins a party that has changed", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			if t, err := m.Get(ctx, id); err == nil && e.Kind == ticket.Join {
				e.Revision = t.Party.Revision
			}
			return m.Update(ctx, id, e)
		}
	}), []string{"Gathering"}},
	{"who was removed comes back", breaking(func(b *broken, m *ticket.Memory) {
		b.update = func(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
			e.By = e.Removed
			return m.Update(ctx, id, e)
		}
	}), []string{"Removing"}},
	{"nobody is gone", limited(func(l *ticket.Limits) { l.Gone = 0 }), []string{"Gone"}},
	{"gone too early", limited(func(l *ticket.Limits) { l.Gone -= min(1, l.Gone) }), []string{"Gone"}},
	{"two take the last place", checkThenAct(ticket.Join), []string{"RaceOfJoins"}},
	{"waits for parties too briefly", limited(func(l *ticket.Limits) { l.Gathering-- }), []string{"GatheringAges"}},
	{"waits for parties too long", limited(func(l *ticket.Limits) { l.Gathering++ }), []string{"GatheringAges"}},
	{"parties search as long as if they had never gathered", limited(func(l *ticket.Limits) { l.Timeout -= gather }), []string{"GatheringAges"}},
	{"wakes nobody", breaking(func(b *broken, m *ticket.Memory) {
		b.watch = func(ctx context.Context, id string) (ticket.Ticket, <-chan struct{}, error) {
			t, _, err := m.Watch(ctx, id)
			return t, make(chan struct{}), err
		}
	}), []string{"Watch", "Close", "RaceOfWatch"}},
	{"changes between snapshot and channel", breaking(func(b *broken, m *ticket.Memory) {
		b.watch = func(ctx context.Context, id string) (ticket.Ticket, <-chan struct{}, error) {
			t, err := m.Get(ctx, id)
			if err != nil {
				return t, nil, err
			}
			pause()
			_, changed, err := m.Watch(ctx, id)
			return t, changed, err
		}
	}), []string{"RaceOfWatch"}},
	{"goes on when closed", breaking(func(b *broken, m *ticket.Memory) {
		b.close = func(context.Context) ([]ticket.Ticket, error) { return nil, nil }
	}), []string{"Close"}},
	{"creations race", breaking(func(b *broken, m *ticket.Memory) {
		var mu sync.Mutex
		held := map[string]string{}
		holder := func(t ticket.Ticket) error {
			mu.Lock()
			defer mu.Unlock()
			for _, p := range t.Players {
				if id, ok := held[p.GetId()]; ok {
					return &ticket.ConflictError{Player: p.GetId(), Queue: t.Queue, ID: id}
				}
			}
			return nil
		}
		b.create = func(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
			if err := holder(t); err != nil {
				return ticket.Ticket{}, err
			}
			pause()
			mu.Lock()
			for _, p := range t.Players {
				held[p.GetId()] = t.ID
			}
			mu.Unlock()
			t.Queue += t.ID
			return m.Create(ctx, t)
		}
	}), []string{"RaceOfCreations"}},
}

// TestBrokenStores: every check finds the stores that break what it is about.
func TestBrokenStores(t *testing.T) {
	found := map[string]bool{}
	for _, b := range brokenStores {
		for _, name := range b.fails {
			t.Run(fmt.Sprint(b.name, "/", name), func(t *testing.T) {
				i := slices.IndexFunc(checks, func(c check) bool { return c.name == name })
				if i < 0 {
					t.Fatal("no such check")
				}
				found[name] = true
				synctest.Test(t, func(t *testing.T) {
					r := &recorder{TB: t}
					done := make(chan struct{})
					go func() {
						defer close(done)
						checks[i].run(newHarness(r, b.open))
					}()
					<-done
					if !r.Failed() {
						t.Error("the suite does not find it")
					}
				})
			})
		}
	}
	for _, c := range checks {
		if !found[c.name] {
			t.Errorf("no broken store fails %s", c.name)
		}
	}
}
