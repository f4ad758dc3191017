// Package conformance checks that an allocator, and what lists and deletes its
// game servers, keep the rules that the director relies on (docs/extend/allocator.md).
package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/proxytest"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
)

// Target is what is checked. Nobody else may change its game servers.
type Target struct {
	// Namespace of all game servers.
	Namespace string
	// Addr is the TCP address of the allocator, and Connect calls it at another
	// address, where a proxy listens.
	Addr    string
	Connect func(t testing.TB, addr string) (servers.Allocator, servers.GameServers)
	// Add makes a game server, and Counts reads its counters and lists.
	Add    func(t testing.TB, s servers.Server, has Counts)
	Counts func(t testing.TB, name string) Counts
	// Touch changes an annotation of a game server.
	Touch func(t testing.TB, name string)
	// Reclaims says that others may give the servers back: they are held then.
	Reclaims bool
	// End begins to delete a game server, which is not gone before the test ends.
	End func(t testing.TB, name string)
}

// Counts are the counters and lists of a game server.
type Counts struct {
	Counters map[string]Counter
	Lists    map[string]List
}

// Counter is a number and its bound.
type Counter struct{ Count, Capacity int64 }

// List holds values, and how many it may.
type List struct {
	Values   []string
	Capacity int64
}

// Run checks all rules, each with servers of its own.
func Run(t *testing.T, target Target) {
	for name, rule := range map[string]func(*suite){
		"stamp":                    stamp,
		"place":                    place,
		"one match each":           oneEach,
		"only allocatable":         onlyAllocatable,
		"busy if none is ready":    busy,
		"refused if never":         refused,
		"not sent":                 notSent,
		"unknown if unanswered":    unanswered,
		"unknown if cut off":       cutOff,
		"list":                     list,
		"list none that ends":      listEnding,
		"find":                     find,
		"delete":                   deleteOnce,
		"delete no other server":   deleteOther,
		"delete no other version":  deleteChanged,
		"delete none without list": deleteUnknown,
		"annotate":                 annotate,
		"annotate no other":        annotateOther,
		"annotate none that ends":  annotateEnding,
		"hold":                     hold,
		"hold none that ends":      holdEnding,
		"selectors in order":       inOrder,
		"metadata":                 metadata,
		"several matches":          several,
		"counters and lists":       countersAndLists,
		"priorities":               priorities,
	} {
		t.Run(name, func(t *testing.T) {
			p := proxytest.New(t, "127.0.0.1:0", target.Addr)
			s := &suite{T: t, Target: target, proxy: p, label: "rule-" + strings.ReplaceAll(name, " ", "-")}
			s.allocator, s.gameServers = target.Connect(t, p.Addr)
			rule(s)
		})
	}
}

// suite is one rule that is checked.
type suite struct {
	*testing.T
	Target
	proxy       *proxytest.Proxy
	allocator   servers.Allocator
	gameServers servers.GameServers
	label       string
	made        int
}

const (
	ruleLabel = "torikumi/rule"
	address   = "192.0.2.1"
)

func (s *suite) selector() servers.Selector {
	return servers.Selector{Namespace: s.Namespace, Allocation: queues.Allocation{Labels: map[string]string{ruleLabel: s.label}}}
}

// add makes a server and returns its name.
func (s *suite) add(state string, change ...func(*servers.Server)) string {
	s.Helper()
	return s.addWith(state, Counts{}, change...)
}

// addWith is add for a server with counters and lists.
func (s *suite) addWith(state string, has Counts, change ...func(*servers.Server)) string {
	s.Helper()
	s.made++
	gs := servers.Server{
		Namespace: s.Namespace, Name: fmt.Sprintf("%s-%d", s.label, s.made), State: state, Address: address,
		Ports:  []servers.Port{{Name: "admin", Number: 7001}, {Name: "default", Number: 7002}},
		Labels: map[string]string{contract.AllocatableLabel: "true", ruleLabel: s.label},
	}
	for _, c := range change {
		c(&gs)
	}
	s.Add(s.T, gs, has)
	return gs.Name
}

// match is the nth match of the rule.
func (s *suite) match(n int) *match.Match {
	s.Helper()
	id := fmt.Sprintf("%s:%d", s.label, n)
	m, err := match.Parse("duel", &openmatch.Match{MatchId: id, Tickets: []*openmatch.Ticket{{Id: id + "a"}, {Id: id + "b"}}})
	if err != nil {
		s.Fatal(err)
	}
	return m
}

// allocate repeats what says that another try may help, as long as the servers
// that were just made may not have been seen.
func (s *suite) allocate(m *match.Match) servers.Server {
	s.Helper()
	return s.allocateBy(m, s.selector())
}

func (s *suite) allocateBy(m *match.Match, sel servers.Selector) servers.Server {
	s.Helper()
	var got servers.Server
	eventually.NoError(s, "allocated", func() error {
		gs, effect, err := s.allocator.Allocate(s.Context(), m, sel)
		if (effect == call.Done) != (err == nil) {
			s.Fatalf("effect %v with error %v", effect, err)
		}
		if err != nil && effect != call.Busy && effect != call.NotSent {
			s.Fatalf("%v: %v", effect, err)
		}
		got = gs
		return err
	})
	return got
}

func (s *suite) listOf(m *match.Match) []servers.Server {
	s.Helper()
	all, err := s.gameServers.List(s.Context(), s.Namespace, map[string]string{contract.MatchLabel: m.Label})
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// allocated is the one server that a match has.
func (s *suite) allocated(m *match.Match) servers.Server {
	s.Helper()
	all := s.listOf(m)
	if len(all) != 1 {
		s.Fatalf("%d servers carry match %s: %v", len(all), m.ID, all)
	}
	return all[0]
}

func stamp(s *suite) {
	name := s.add(agones.Ready)
	m := s.match(1)
	if got := s.allocate(m); got.Name != name || got.Namespace != s.Namespace || got.State != agones.Allocated ||
		!m.Owns(got.Annotations[contract.RosterAnnotation]) || got.Labels[contract.MatchLabel] != m.Label {
		s.Errorf("allocated %+v", got)
	}
	gs := s.allocated(m)
	if gs.Name != name || gs.State != agones.Allocated || gs.Labels[contract.QueueLabel] != "duel" || !m.Owns(gs.Annotations[contract.RosterAnnotation]) {
		s.Errorf("stamped %+v", gs)
	}
	if gs.Labels[ruleLabel] != s.label {
		s.Errorf("a label was lost: %v", gs.Labels)
	}
}

func place(s *suite) {
	s.add(agones.Ready, func(gs *servers.Server) { gs.Annotations = map[string]string{"studio/address": "[2001:db8::1]:31000"} })
	m := s.match(1)
	gs := s.allocate(m)
	for name, c := range map[string]struct {
		servers.Addresses
		port, want string
	}{
		"as Agones chooses": {servers.Addresses{}, "", address + ":7002"},
		"a port by name":    {servers.Addresses{}, "admin", address + ":7001"},
		"types":             {servers.Addresses{Types: []string{"InternalDNS", "InternalIP"}}, "", address + ":7002"},
		"annotation":        {servers.Addresses{Annotation: "studio/address"}, "", "[2001:db8::1]:31000"},
	} {
		e, err := c.Endpoint(s.Context(), gs, c.port)
		if err != nil || e.Connection() != c.want || len(e.Ports) != 2 {
			s.Errorf("%s: players are sent to %+v, %v; want %s", name, e, err, c.want)
		}
	}
	// Another director that takes it over sends players to the same address.
	listed := s.allocated(m)
	if listed.Address != gs.Address || !slices.Equal(listed.Addresses, gs.Addresses) || listed.Node != gs.Node || gs.Node == "" || len(gs.Addresses) == 0 {
		s.Errorf("listed with %q of %v on %q, allocated with %q of %v on %q", listed.Address, listed.Addresses, listed.Node, gs.Address, gs.Addresses, gs.Node)
	}
}

// oneEach: many matches at a time share no server, and are told to wait if there
// is none for them.
func oneEach(s *suite) {
	const matches, ready = 12, 8
	for range ready {
		s.add(agones.Ready)
	}
	s.seen()
	var mu sync.Mutex
	names := make(map[string]int)
	var running sync.WaitGroup
	for n := 1; n <= matches; n++ {
		m := s.match(n)
		running.Go(func() {
			gs, effect, err := s.allocator.Allocate(s.Context(), m, s.selector())
			mu.Lock()
			defer mu.Unlock()
			switch effect {
			case call.Done:
				names[gs.Name]++
			case call.Busy:
			default:
				s.Errorf("%v: %v", effect, err)
			}
		})
	}
	running.Wait()
	if len(names) == 0 || len(names) > ready {
		s.Errorf("%d servers allocated, of %d", len(names), ready)
	}
	for name, n := range names {
		if n != 1 {
			s.Errorf("%s was allocated %d times", name, n)
		}
	}
}

func onlyAllocatable(s *suite) {
	s.add(agones.Ready, func(gs *servers.Server) { delete(gs.Labels, contract.AllocatableLabel) })
	s.add(agones.Ready, func(gs *servers.Server) { gs.Labels[contract.AllocatableLabel] = "false" })
	s.add(agones.Allocated)
	s.add(agones.Ready, func(gs *servers.Server) { gs.Labels[ruleLabel] = "other" })
	name := s.add(agones.Ready)
	if got := s.allocate(s.match(1)); got.Name != name {
		s.Errorf("allocated %s, want %s", got.Name, name)
	}
	if gs, effect, err := s.allocator.Allocate(s.Context(), s.match(2), s.selector()); effect != call.Busy {
		s.Errorf("%v, %v, %v", gs, effect, err)
	}
}

func busy(s *suite) {
	if gs, effect, err := s.allocator.Allocate(s.Context(), s.match(1), s.selector()); effect != call.Busy || err == nil {
		s.Errorf("%v, %v, %v", gs, effect, err)
	}
}

func refused(s *suite) {
	s.add(agones.Ready)
	sel := s.selector()
	sel.Allocation.Labels["size"] = "not:valid"
	if gs, effect, err := s.allocator.Allocate(s.Context(), s.match(1), sel); effect != call.Refused || err == nil || !strings.Contains(err.Error(), "not:valid") {
		s.Errorf("%v, %v, %v", gs, effect, err)
	}
}

func notSent(s *suite) {
	s.proxy.Refuse()
	if gs, effect, err := s.allocator.Allocate(s.Context(), s.match(1), s.selector()); effect != call.NotSent || err == nil {
		s.Errorf("%v, %v, %v", gs, effect, err)
	}
}

// unanswered: the answer is lost, and the server is found by its match.
func unanswered(s *suite) { s.lose(s.proxy.Swallow, 5*time.Second) }

// cutOff: the connection ends in place of the answer.
func cutOff(s *suite) { s.lose(s.proxy.CutAtAnswer, 10*time.Second) }

// lose loses the answers of allocations until one has had its effect.
func (s *suite) lose(answers func(), limit time.Duration) {
	name := s.add(agones.Ready)
	_, direct := s.Connect(s.T, s.Addr)
	m := s.match(1)
	eventually.NoError(s, "the server is allocated by a call without an answer", func() error {
		s.connected()
		answers()
		ctx, cancel := context.WithTimeout(s.Context(), limit)
		gs, effect, err := s.allocator.Allocate(ctx, m, s.selector())
		cancel()
		s.proxy.Restore()
		if effect != call.Unknown || err == nil {
			s.Fatalf("%v, %v, %v", gs, effect, err)
		}
		all, err := direct.List(s.Context(), s.Namespace, map[string]string{contract.MatchLabel: m.Label})
		if err == nil && (len(all) != 1 || all[0].Name != name) {
			err = fmt.Errorf("the match has %v", all)
		}
		return err
	})
}

// connected waits until the allocator has a connection that works.
func (s *suite) connected() {
	s.Helper()
	sel := s.selector()
	sel.Allocation.Labels[ruleLabel] = "none"
	eventually.NoError(s, "connected", func() error {
		_, effect, err := s.allocator.Allocate(s.Context(), s.match(0), sel)
		if effect == call.Busy {
			return nil
		}
		return fmt.Errorf("%v: %w", effect, err)
	})
}

func list(s *suite) {
	name := s.add(agones.Ready)
	s.add(agones.Ready, func(gs *servers.Server) { gs.Labels[ruleLabel] = "other" })
	all, err := s.gameServers.List(s.Context(), s.Namespace, map[string]string{ruleLabel: s.label, contract.AllocatableLabel: "true"})
	if err != nil || len(all) != 1 {
		s.Fatal(all, err)
	}
	gs := all[0]
	if gs.Namespace != s.Namespace || gs.Name != name || gs.State != agones.Ready || gs.UID == "" || gs.Version == "" || gs.CreateTime.IsZero() ||
		gs.Address != address || len(gs.Ports) != 2 || gs.Labels[ruleLabel] != s.label {
		s.Errorf("listed %+v", gs)
	}
	if all, err := s.gameServers.List(s.Context(), s.Namespace, map[string]string{ruleLabel: s.label, "other": "x"}); err != nil || len(all) != 0 {
		s.Error(all, err)
	}
}

func listEnding(s *suite) {
	name := s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	s.End(s.T, name)
	if all := s.listOf(m); len(all) != 0 {
		s.Errorf("listed %v", all)
	}
	eventually.NoError(s, "it is not found", func() error {
		all, err := s.gameServers.Find(s.Context(), s.Namespace, m.Label)
		if err == nil && len(all) != 0 {
			err = fmt.Errorf("found %v", all)
		}
		return err
	})
}

// find finds what is listed, a moment later.
func find(s *suite) {
	s.add(agones.Ready)
	s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	s.allocate(s.match(2))
	eventually.NoError(s, "it is found", func() error {
		all, err := s.gameServers.Find(s.Context(), s.Namespace, m.Label)
		if err == nil && (len(all) != 1 || all[0].UID != s.allocated(m).UID || !m.Owns(all[0].Annotations[contract.RosterAnnotation])) {
			err = fmt.Errorf("found %v", all)
		}
		return err
	})
}

func deleteOnce(s *suite) {
	s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	gs := s.allocated(m)
	if err := s.gameServers.Delete(s.Context(), gs); err != nil {
		s.Fatal(err)
	}
	if all := s.listOf(m); len(all) != 0 {
		s.Errorf("deleted, and listed: %v", all)
	}
	eventually.NoError(s, "it is gone", func() error {
		err := s.gameServers.Delete(s.Context(), gs)
		if errors.Is(err, servers.ErrGone) {
			return nil
		}
		return fmt.Errorf("deleted again: %w", err)
	})
}

func deleteOther(s *suite) {
	s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	gs := s.allocated(m)
	gs.UID = "6f1f6d0e-0000-4000-8000-000000000000"
	if err := s.gameServers.Delete(s.Context(), gs); !errors.Is(err, servers.ErrChanged) {
		s.Errorf("with another UID: %v", err)
	}
	s.allocated(m)
}

func deleteChanged(s *suite) {
	name := s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	gs := s.allocated(m)
	s.Touch(s.T, name)
	if err := s.gameServers.Delete(s.Context(), gs); !errors.Is(err, servers.ErrChanged) {
		s.Errorf("with an older version: %v", err)
	}
	if err := s.gameServers.Delete(s.Context(), s.allocated(m)); err != nil {
		s.Errorf("with the current version: %v", err)
	}
}

// deleteUnknown: an allocation does not tell the UID.
func deleteUnknown(s *suite) {
	s.add(agones.Ready)
	m := s.match(1)
	if err := s.gameServers.Delete(s.Context(), s.allocate(m)); err == nil {
		s.Error("it was deleted without a UID")
	}
	s.allocated(m)
}

// annotate: what is set is there, what is empty is gone, and the rest stays. The
// server that comes back is the one to go on with.
func annotate(s *suite) {
	s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	gs := s.allocated(m)
	before := maps.Clone(gs.Annotations)
	now, err := s.gameServers.Annotate(s.Context(), gs, map[string]string{"torikumi/one": "1", "torikumi/two": "2"})
	if err != nil {
		s.Fatal(err)
	}
	if now, err = s.gameServers.Annotate(s.Context(), now, map[string]string{"torikumi/one": "", "torikumi/two": "3", "torikumi/none": ""}); err != nil {
		s.Fatal(err)
	}
	before["torikumi/two"] = "3"
	if got := s.allocated(m); !maps.Equal(got.Annotations, before) || !maps.Equal(now.Annotations, before) || got.Version != now.Version ||
		got.UID != gs.UID || got.State != agones.Allocated || !maps.Equal(got.Labels, gs.Labels) {
		s.Errorf("annotated %+v, answered %+v", got, now)
	}
}

// annotateOther: nothing is changed of a server that has changed, or is another one.
func annotateOther(s *suite) {
	name := s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	gs := s.allocated(m)
	set := map[string]string{"torikumi/one": "1"}
	s.Touch(s.T, name)
	if _, err := s.gameServers.Annotate(s.Context(), gs, set); !errors.Is(err, servers.ErrChanged) {
		s.Errorf("with an older version: %v", err)
	}
	gs = s.allocated(m)
	gs.UID = "6f1f6d0e-0000-4000-8000-000000000000"
	if _, err := s.gameServers.Annotate(s.Context(), gs, set); !errors.Is(err, servers.ErrChanged) {
		s.Errorf("with another UID: %v", err)
	}
	gs.UID = ""
	if _, err := s.gameServers.Annotate(s.Context(), gs, set); err == nil {
		s.Error("it was annotated without a UID")
	}
	if got := s.allocated(m).Annotations["torikumi/one"]; got != "" {
		s.Errorf("annotated %q", got)
	}
}

func annotateEnding(s *suite) {
	s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	gs := s.allocated(m)
	gs.Name = s.label + "-none"
	if _, err := s.gameServers.Annotate(s.Context(), gs, map[string]string{"torikumi/one": "1"}); !errors.Is(err, servers.ErrGone) {
		s.Errorf("one that is gone: %v", err)
	}
}

// hold: a deletion that was decided before comes to nothing.
func hold(s *suite) {
	s.reclaims()
	s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	gs := s.allocated(m)
	sel := s.selector()
	sel.Placing = time.Minute
	if err := s.gameServers.Hold(s.Context(), gs, sel); err != nil {
		s.Fatal(err)
	}
	if got := s.allocated(m).Annotations[contract.PlacingAnnotation]; !strings.HasPrefix(got, "1m0s ") {
		s.Errorf("it is held for %q", got)
	}
	if err := s.gameServers.Delete(s.Context(), gs); !errors.Is(err, servers.ErrChanged) {
		s.Errorf("deleted by a version from before: %v", err)
	}
	gs.UID = "6f1f6d0e-0000-4000-8000-000000000000"
	if err := s.gameServers.Hold(s.Context(), gs, sel); !errors.Is(err, servers.ErrChanged) {
		s.Errorf("another server of that name: %v", err)
	}
}

// holdEnding: what has been deleted is held no more, gone or not.
func holdEnding(s *suite) {
	s.reclaims()
	name := s.add(agones.Ready)
	m := s.match(1)
	s.allocate(m)
	gs := s.allocated(m)
	s.End(s.T, name)
	if err := s.gameServers.Hold(s.Context(), gs, s.selector()); !errors.Is(err, servers.ErrGone) {
		s.Errorf("one that is being deleted: %v", err)
	}
	gs.Name = s.label + "-none"
	if err := s.gameServers.Hold(s.Context(), gs, s.selector()); !errors.Is(err, servers.ErrGone) {
		s.Errorf("one that is gone: %v", err)
	}
}

func (s *suite) reclaims() {
	if !s.Reclaims {
		s.Skip("nobody gives these servers back")
	}
}
