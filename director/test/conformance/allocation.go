package conformance

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"torikumi/director/internal/call"
	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
)

// busyBy sees that nothing is left for a match.
func (s *suite) busyBy(n int, sel servers.Selector) {
	s.Helper()
	if gs, effect, err := s.allocator.Allocate(s.Context(), s.match(n), sel); effect != call.Busy || err == nil {
		s.Errorf("match %d got %v, %v, %v", n, gs, effect, err)
	}
}

// labelled gives a server a label more.
func labelled(key, value string) func(*servers.Server) {
	return func(gs *servers.Server) { gs.Labels[key] = value }
}

// inOrder: the second selector is for when nothing fits the first, over nodes or not.
func inOrder(s *suite) {
	for i, scheduling := range []string{"", queues.Packed, queues.Distributed} {
		sel := s.selector()
		sel.Allocation.Scheduling = scheduling
		sel.Allocation.Selectors = []queues.Selector{{Labels: map[string]string{"site": "on-prem"}}, {Labels: map[string]string{"site": "cloud"}}}
		cloud := s.add(agones.Ready, labelled("site", "cloud"))
		onPrem := s.add(agones.Ready, labelled("site", "on-prem"))
		s.add(agones.Ready, labelled("site", "elsewhere"))
		s.seen(labelled("site", "elsewhere"))
		if got := s.allocateBy(s.match(10*i+1), sel); got.Name != onPrem {
			s.Errorf("%q: the first match got %s, want %s", scheduling, got.Name, onPrem)
		}
		if got := s.allocateBy(s.match(10*i+2), sel); got.Name != cloud {
			s.Errorf("%q: the second match got %s, want %s", scheduling, got.Name, cloud)
		}
		s.busyBy(10*i+3, sel)
	}
}

// seen waits until a server that has just been made can be allocated: those from
// before can be then.
func (s *suite) seen(change ...func(*servers.Server)) {
	s.Helper()
	name := s.add(agones.Ready, append(change, labelled("last", s.label))...)
	sel := s.selector()
	sel.Allocation.Labels["last"] = s.label
	if got := s.allocateBy(s.match(900+s.made), sel); got.Name != name {
		s.Errorf("got %s, want %s", got.Name, name)
	}
}

// metadata: what the queue says is on the server with the stamp.
func metadata(s *suite) {
	s.add(agones.Ready)
	sel := s.selector()
	sel.Allocation.Metadata = queues.Metadata{Labels: map[string]string{"tier": "ranked"}, Annotations: map[string]string{"studio.example.com/build": "1 2"}}
	sel.Allocation.MatchData = queues.MatchData{Annotation: "studio.example.com/match", MaxBytes: queues.DefaultMatchData, Values: map[string]string{"map": "arena"}}
	m := s.match(1)
	want := fmt.Sprintf(`{"match":%q,"queue":"duel","values":{"map":"arena"}}`, m.Label)
	for _, gs := range []servers.Server{s.allocateBy(m, sel), s.allocated(m)} {
		if gs.Labels["tier"] != "ranked" || gs.Annotations["studio.example.com/build"] != "1 2" || gs.Annotations["studio.example.com/match"] != want ||
			!m.Owns(gs.Annotations[contract.RosterAnnotation]) {
			s.Errorf("%+v", gs)
		}
	}
}

// room is the allocation of a queue with several matches on a server.
func (s *suite) room() servers.Selector {
	sel := s.selector()
	a := &sel.Allocation
	a.Selectors = []queues.Selector{
		{State: queues.Allocated, Counters: map[string]queues.CounterSelector{"rooms": {MinAvailable: 1}}},
		{State: queues.Ready},
	}
	a.Counters = map[string]queues.CounterAction{"rooms": {Action: queues.Increment, Amount: 1}}
	a.MatchData = queues.MatchData{Annotation: contract.MatchDataAnnotation, MaxBytes: queues.DefaultMatchData, Values: map[string]string{"map": "arena"}}
	return sel
}

// several: a server with room gets further matches before one that is Ready, all of
// their stamps stay, and none beyond its room; many at a time put no match too many.
func several(s *suite) {
	rooms := Counts{Counters: map[string]Counter{"rooms": {Capacity: 3}}}
	first := s.addWith(agones.Ready, rooms)
	s.seen()
	sel := s.room()
	if got := s.allocateBy(s.match(1), sel); got.Name != first {
		s.Fatalf("got %s", got.Name)
	}
	second := s.addWith(agones.Ready, rooms)
	s.addWith(agones.Allocated, Counts{}, labelled(contract.SharedLabel, "true")) // has no rooms
	alone := s.addWith(agones.Ready, rooms, labelled("alone", "yes"), labelled(contract.SharedLabel, "true"))
	one := s.selector()
	one.Allocation.Labels["alone"] = "yes"
	if got := s.allocateBy(s.match(50), one); got.Name != alone { // for one match, though it was for several
		s.Fatalf("got %s", got.Name)
	}
	s.seen()
	got := make(map[string]int)
	for n := 2; n <= 6; n++ {
		got[s.allocateBy(s.match(n), sel).Name]++
	}
	if got[first] != 2 || got[second] != 3 {
		s.Errorf("%v: want two more on %s, and then three on %s", got, first, second)
	}
	s.busyBy(7, sel)
	s.together(sel, rooms)
	if has := s.Counts(s.T, first).Counters["rooms"]; has != (Counter{3, 3}) {
		s.Errorf("%s has %v", first, has)
	}
	list, err := s.gameServers.List(s.Context(), s.Namespace, map[string]string{ruleLabel: s.label})
	if err != nil {
		s.Fatal(err)
	}
	for n := 1; n <= 6; n++ {
		m := s.match(n)
		of := 0
		for _, gs := range list {
			if m.Owns(gs.Annotations[contract.OfMatch(contract.RosterAnnotation, m.Label)]) && gs.Annotations[contract.OfMatch(contract.MatchDataAnnotation, m.Label)] != "" &&
				gs.Labels[contract.MatchLabel] == "" {
				of++
			}
		}
		if of != 1 {
			s.Errorf("match %d is on %d servers", n, of)
		}
	}
}

// together: of many matches at a time no more get a server than it has rooms. Some
// may be told to wait although there is one.
func (s *suite) together(sel servers.Selector, rooms Counts) {
	third := s.addWith(agones.Ready, rooms)
	s.seen()
	var got atomic.Int64
	var running sync.WaitGroup
	for n := range 12 {
		m := s.match(100 + n)
		running.Go(func() {
			gs, effect, err := s.allocator.Allocate(s.Context(), m, sel)
			switch {
			case effect == call.Done && gs.Name == third:
				got.Add(1)
			case effect != call.Busy:
				s.Errorf("%v, %v, %v", gs, effect, err)
			}
		})
	}
	running.Wait()
	if has := s.Counts(s.T, third).Counters["rooms"]; got.Load() == 0 || has != (Counter{got.Load(), 3}) {
		s.Errorf("%d matches got %s, which has %v", got.Load(), third, has)
	}
}

// countersAndLists: quantities are those of the match, and what does not fit is
// not selected.
func countersAndLists(s *suite) {
	s.addWith(agones.Ready, Counts{Lists: map[string]List{"players": {Values: []string{"x"}, Capacity: 2}}}) // room for one
	s.addWith(agones.Ready, Counts{Lists: map[string]List{"players": {Capacity: 9}}})                        // without x
	s.addWith(agones.Ready, Counts{Counters: map[string]Counter{"players": {Capacity: 9}}})                  // no list
	name := s.addWith(agones.Ready, Counts{
		Lists: map[string]List{"players": {Values: []string{"x", "y"}, Capacity: 4}}, Counters: map[string]Counter{"seats": {Count: 5, Capacity: 8}},
	})
	s.seen()
	sel := s.selector()
	sel.Allocation.Selectors = []queues.Selector{{Lists: map[string]queues.ListSelector{"players": {ContainsValue: "x", MinAvailable: queues.Players}}}}
	sel.Allocation.Lists = map[string]queues.ListAction{"players": {AddValues: []string{queues.PlayerIDs, "x"}}}
	sel.Allocation.Counters = map[string]queues.CounterAction{
		"seats": {Action: queues.Decrement, Amount: queues.Players, Capacity: 7}, "none": {Action: queues.Increment, Amount: 1},
	}
	m := s.match(1) // of two players, named as their tickets are
	if got := s.allocateBy(m, sel); got.Name != name {
		s.Errorf("got %s, want %s", got.Name, name)
	}
	has := s.Counts(s.T, name)
	if l := has.Lists["players"]; !slices.Equal(l.Values, []string{"x", "y", m.Tickets[0], m.Tickets[1]}) || l.Capacity != 4 {
		s.Errorf("players: %v", l)
	}
	if has.Counters["seats"] != (Counter{3, 7}) || len(has.Counters) != 1 {
		s.Errorf("counters: %v", has.Counters)
	}
	s.busyBy(2, sel)
}

// priorities choose among the servers that fit.
func priorities(s *suite) {
	for i, order := range []string{queues.Ascending, queues.Descending} {
		with := func(free int64) string {
			return s.addWith(agones.Ready, Counts{Counters: map[string]Counter{"rooms": {Count: 10 - free, Capacity: 10}}}, labelled("order", order))
		}
		some, least, most := with(5), with(1), with(9)
		s.seen()
		sel := s.selector()
		sel.Allocation.Labels["order"] = order
		sel.Allocation.Priorities = []queues.Priority{{Type: queues.Counter, Key: "rooms", Order: order}}
		want := []string{least, some, most}
		if order == queues.Descending {
			slices.Reverse(want)
		}
		for n, name := range want {
			if got := s.allocateBy(s.match(10*i+n+1), sel); got.Name != name {
				s.Errorf("%s: match %d got %s, want %s", order, n, got.Name, name)
			}
		}
	}
}
