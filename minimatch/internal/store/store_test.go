package store_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"torikumi/minimatch/internal/clock"
	"torikumi/minimatch/internal/filter"
	"torikumi/minimatch/internal/store"
	"torikumi/proto/openmatch"
)

const (
	pendingTimeout  = time.Minute
	assignedTimeout = 10 * time.Minute
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newStore(t interface{ Cleanup(func()) }) (*store.Store, *clock.Fake) {
	c := clock.NewFake(epoch)
	s := store.New(store.Options{Clock: c, PendingTimeout: pendingTimeout, AssignedTimeout: assignedTimeout})
	t.Cleanup(s.Close)
	return s, c
}

func pool(t interface{ Fatal(...any) }, p *openmatch.Pool) *filter.Filter {
	f, err := filter.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func tagged(tags ...string) *openmatch.Ticket {
	return &openmatch.Ticket{SearchFields: &openmatch.SearchFields{Tags: tags}}
}

func queryIDs(s *store.Store, f *filter.Filter) []string {
	var ids []string
	for _, t := range s.Query(f) {
		ids = append(ids, t.GetId())
	}
	slices.Sort(ids)
	return ids
}

func assign(s *store.Store, connection string, ids ...string) []string {
	missing, err := s.Assign([]store.Assignment{{TicketIDs: ids, Assignment: &openmatch.Assignment{Connection: connection}}})
	if err != nil {
		panic(err) // such a short assignment fits everywhere
	}
	return missing
}

func TestCreateGivesIdAndTimeAndKeepsTheRest(t *testing.T) {
	s, _ := newStore(t)
	given := tagged("a")
	given.Id = "mine"
	given.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 0x01}) // field 99
	got := s.Create(given)
	if len(got.GetId()) != 20 || !got.GetCreateTime().AsTime().Equal(epoch) {
		t.Errorf("got %v", got)
	}
	want := proto.CloneOf(given)
	want.Id, want.CreateTime = got.GetId(), got.GetCreateTime()
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if given.GetId() != "mine" {
		t.Error("the given ticket was changed")
	}
}

func TestIdsAreUniqueAndSortByTime(t *testing.T) {
	s, c := newStore(t)
	first := s.Create(tagged()).GetId()
	seen := map[string]bool{first: true}
	c.Advance(time.Second)
	for range 1000 {
		id := s.Create(tagged()).GetId()
		if seen[id] || id < first {
			t.Fatalf("%s came after %s", id, first)
		}
		seen[id] = true
	}
}

func TestIndexAndFilterAgree(t *testing.T) {
	s, _ := newStore(t)
	a := s.Create(&openmatch.Ticket{SearchFields: &openmatch.SearchFields{
		Tags: []string{"x", "x", "y"}, StringArgs: map[string]string{"region": "eu", "empty": ""}}})
	b := s.Create(&openmatch.Ticket{SearchFields: &openmatch.SearchFields{
		Tags: []string{"x"}, StringArgs: map[string]string{"region": "us", "x": "y"}}})
	c := s.Create(&openmatch.Ticket{})
	tag := func(tag string) *openmatch.TagPresentFilter { return &openmatch.TagPresentFilter{Tag: tag} }
	equal := func(arg, value string) *openmatch.StringEqualsFilter {
		return &openmatch.StringEqualsFilter{StringArg: arg, Value: value}
	}
	for name, tc := range map[string]struct {
		pool *openmatch.Pool
		want []*openmatch.Ticket
	}{
		"all":               {&openmatch.Pool{}, []*openmatch.Ticket{a, b, c}},
		"tag":               {&openmatch.Pool{TagPresentFilters: []*openmatch.TagPresentFilter{tag("x")}}, []*openmatch.Ticket{a, b}},
		"two tags":          {&openmatch.Pool{TagPresentFilters: []*openmatch.TagPresentFilter{tag("x"), tag("y")}}, []*openmatch.Ticket{a}},
		"string":            {&openmatch.Pool{StringEqualsFilters: []*openmatch.StringEqualsFilter{equal("region", "us")}}, []*openmatch.Ticket{b}},
		"empty string":      {&openmatch.Pool{StringEqualsFilters: []*openmatch.StringEqualsFilter{equal("empty", "")}}, []*openmatch.Ticket{a}},
		"missing string":    {&openmatch.Pool{StringEqualsFilters: []*openmatch.StringEqualsFilter{equal("mode", "")}}, nil},
		"contradiction":     {&openmatch.Pool{StringEqualsFilters: []*openmatch.StringEqualsFilter{equal("region", "us"), equal("region", "eu")}}, nil},
		"tag is not string": {&openmatch.Pool{TagPresentFilters: []*openmatch.TagPresentFilter{tag("region")}}, nil},
	} {
		var want []string
		for _, w := range tc.want {
			want = append(want, w.GetId())
		}
		slices.Sort(want)
		if got := queryIDs(s, pool(t, tc.pool)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestPendingEndsAtItsTimeout(t *testing.T) {
	s, c := newStore(t)
	all := pool(t, nil)
	a, b := s.Create(tagged("a")).GetId(), s.Create(tagged("a")).GetId()
	s.SetPending([]string{a, "unknown"})
	c.Advance(pendingTimeout / 2)
	s.SetPending([]string{a, b}) // starts a's time anew
	c.Advance(pendingTimeout/2 + 1)
	if got := s.Query(all); len(got) != 0 {
		t.Fatalf("visible too early: %v", got)
	}
	c.Advance(pendingTimeout/2 - 1)
	if got := s.Query(all); len(got) != 2 {
		t.Errorf("not visible after the timeout: %v", got)
	}
}

func TestReleaseShowsOnlyPendingTickets(t *testing.T) {
	s, _ := newStore(t)
	all := pool(t, nil)
	a, b, c := s.Create(tagged()).GetId(), s.Create(tagged()).GetId(), s.Create(tagged()).GetId()
	s.SetPending([]string{a, b, c})
	if missing := assign(s, "x", c); missing != nil {
		t.Fatal(missing)
	}
	s.Release([]string{a, c, "unknown"})
	if got := queryIDs(s, all); !slices.Equal(got, []string{a}) {
		t.Errorf("after Release: %v, want %v", got, a)
	}
	s.SetPending([]string{c})
	s.ReleaseAll()
	if got := queryIDs(s, all); len(got) != 2 || slices.Contains(got, c) {
		t.Errorf("after ReleaseAll: %v, want %v and %v", got, a, b)
	}
	if size := s.Size(); size != (store.Size{Waiting: 2, Assigned: 1}) {
		t.Errorf("size %+v", size)
	}
}

func TestReleaseHeldUndoesOneSetPending(t *testing.T) {
	s, c := newStore(t)
	visible := func(want ...string) {
		t.Helper()
		got := queryIDs(s, pool(t, nil))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("visible: %v, want %v", got, want)
		}
	}
	a, b := s.Create(tagged()).GetId(), s.Create(tagged()).GetId()

	// Two hold a ticket: the last one shows it.
	first, second := s.SetPending([]string{a, b, "unknown"}), s.SetPending([]string{b})
	s.ReleaseHeld([]string{a, b, "unknown"}, first)
	visible(a)
	s.ReleaseHeld([]string{b}, second)
	visible(a, b)

	// A ticket that was shown and is hidden again is another's.
	old := s.SetPending([]string{a, b})
	c.Advance(pendingTimeout)
	timedOut := s.SetPending([]string{a})
	s.ReleaseHeld([]string{a, b}, old)
	visible(b)
	s.Release([]string{a})
	released := s.SetPending([]string{a})
	s.ReleaseHeld([]string{a}, timedOut)
	visible(b)
	s.ReleaseHeld([]string{a}, released)
	visible(a, b)

	// An assigned one stays where it is.
	assigned := s.SetPending([]string{a})
	assign(s, "x", a)
	s.ReleaseHeld([]string{a}, assigned)
	visible(b)
}

func TestWatchIsWokenByEachChange(t *testing.T) {
	s, c := newStore(t)
	id := s.Create(tagged()).GetId()
	next := func() (*openmatch.Ticket, <-chan struct{}) {
		ticket, changed, ok := s.Watch(id)
		if !ok {
			t.Fatal("gone")
		}
		return ticket, changed
	}
	_, changed := next()
	s.SetPending([]string{id})
	select {
	case <-changed:
		t.Fatal("woken without an assignment")
	default:
	}
	assign(s, "one", id)
	<-changed
	ticket, changed := next()
	if ticket.GetAssignment().GetConnection() != "one" {
		t.Errorf("got %v", ticket)
	}
	c.Advance(assignedTimeout - 1)
	assign(s, "two", id) // starts the time anew
	<-changed
	ticket, changed = next()
	if ticket.GetAssignment().GetConnection() != "two" {
		t.Errorf("got %v", ticket)
	}
	c.Advance(assignedTimeout - 1)
	if _, ok := s.Get(id); !ok {
		t.Fatal("deleted too early")
	}
	c.Advance(1)
	<-changed // by the timer alone
	if _, _, ok := s.Watch(id); ok {
		t.Error("still there")
	}
	if n, _ := c.Waiting(); n != 0 {
		t.Errorf("%d timers left", n)
	}
}

func TestHugeTagListsStayCheap(t *testing.T) {
	s, _ := newStore(t)
	tags := make([]string, 200_000)
	for i := range tags {
		tags[i] = string(rune('a'+i%26)) + string(rune(i))
	}
	id := s.Create(tagged(tags...)).GetId()
	if !s.Delete(id) || s.Size() != (store.Size{}) {
		t.Error("not deleted")
	}
}

// model is the store as one would write it without a thought for speed.
type model struct {
	now     time.Time
	tickets map[string]*modelTicket
}

type modelTicket struct {
	fields   *openmatch.SearchFields
	pending  time.Time
	assigned time.Time
	conn     string
}

func (m *model) expire() {
	for id, t := range m.tickets {
		if !t.assigned.IsZero() && !m.now.Before(t.assigned.Add(assignedTimeout)) {
			delete(m.tickets, id)
		}
		if !t.pending.IsZero() && !m.now.Before(t.pending.Add(pendingTimeout)) {
			t.pending = time.Time{}
		}
	}
}

func (m *model) query(f *filter.Filter) []string {
	var ids []string
	for id, t := range m.tickets {
		if t.assigned.IsZero() && t.pending.IsZero() && f.Pass(t.fields, nil) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestStoreBehavesAsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var clean cleanups
		defer clean.run()
		s, c := newStore(&clean)
		m := &model{now: epoch, tickets: map[string]*modelTicket{}}
		known := []string{"unknown"}
		some := rapid.Custom(func(rt *rapid.T) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(known), 1, min(3, len(known)), rapid.ID[string]).Draw(rt, "ids")
		})
		tags := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3)
		rt.Repeat(map[string]func(*rapid.T){
			"create": func(rt *rapid.T) {
				created := s.Create(tagged(tags.Draw(rt, "tags")...))
				m.tickets[created.GetId()] = &modelTicket{fields: created.GetSearchFields()}
				known = append(known, created.GetId())
			},
			"delete": func(rt *rapid.T) {
				id := rapid.SampledFrom(known).Draw(rt, "id")
				_, want := m.tickets[id]
				delete(m.tickets, id)
				if got := s.Delete(id); got != want {
					rt.Fatalf("delete %s: %v, want %v", id, got, want)
				}
			},
			"pend": func(rt *rapid.T) {
				ids := some.Draw(rt, "ids")
				for _, id := range ids {
					if t, ok := m.tickets[id]; ok {
						t.pending = m.now
					}
				}
				s.SetPending(ids)
			},
			"release": func(rt *rapid.T) {
				ids := some.Draw(rt, "ids")
				for _, id := range ids {
					if t, ok := m.tickets[id]; ok {
						t.pending = time.Time{}
					}
				}
				s.Release(ids)
			},
			"releaseAll": func(*rapid.T) {
				for _, t := range m.tickets {
					t.pending = time.Time{}
				}
				s.ReleaseAll()
			},
			"assign": func(rt *rapid.T) {
				ids, conn := some.Draw(rt, "ids"), rapid.StringN(1, 3, 3).Draw(rt, "conn")
				var want []string
				for _, id := range ids {
					if t, ok := m.tickets[id]; ok {
						t.assigned, t.conn, t.pending = m.now, conn, time.Time{}
					} else {
						want = append(want, id)
					}
				}
				if got := assign(s, conn, ids...); !slices.Equal(got, want) {
					rt.Fatalf("missing %v, want %v", got, want)
				}
			},
			"advance": func(rt *rapid.T) {
				d := time.Duration(rapid.IntRange(1, int(pendingTimeout)).Draw(rt, "d"))
				m.now = m.now.Add(d)
				m.expire()
				c.Advance(d)
			},
			"": func(rt *rapid.T) {
				f := pool(rt, &openmatch.Pool{})
				for _, tag := range []string{"", "a", "d"} {
					if tag != "" {
						f = pool(rt, &openmatch.Pool{TagPresentFilters: []*openmatch.TagPresentFilter{{Tag: tag}}})
					}
					if got, want := queryIDs(s, f), m.query(f); !slices.Equal(got, want) {
						rt.Fatalf("tag %q: %v, want %v", tag, got, want)
					}
				}
				for _, id := range known {
					got, ok := s.Get(id)
					want, there := m.tickets[id]
					if ok != there || ok && got.GetAssignment().GetConnection() != want.conn {
						rt.Fatalf("get %s: %v %v, want %v %v", id, got, ok, want, there)
					}
				}
			},
		})
	})
}

type cleanups []func()

func (c *cleanups) Cleanup(f func()) { *c = append(*c, f) }

func (c *cleanups) run() {
	for _, f := range *c {
		f()
	}
}

func TestConcurrentUse(t *testing.T) {
	s, c := newStore(t)
	all := pool(t, nil)
	ids := make([]string, 64)
	for i := range ids {
		ids[i] = s.Create(tagged("a")).GetId()
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 500 {
				id := ids[r.IntN(len(ids))]
				switch r.IntN(8) {
				case 0:
					assign(s, "x", id)
				case 1:
					s.Delete(id)
				case 2:
					s.SetPending([]string{id})
				case 3:
					s.Release([]string{id})
				case 4:
					s.Watch(id)
				case 5:
					s.Create(tagged("a"))
				case 6:
					for _, t := range s.Query(all) {
						_ = t.String()
					}
				case 7:
					c.Advance(time.Second)
				}
			}
		})
	}
	wg.Wait()
	s.ReleaseAll()
	if got, size := len(s.Query(all)), s.Size(); got != size.Waiting || size.Pending != 0 {
		t.Errorf("%d visible, %+v", got, size)
	}
}
