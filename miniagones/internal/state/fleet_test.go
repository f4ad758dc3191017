package state_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// config is a fleet whose names and uids are counted.
func config() state.Config {
	n := 0
	return state.Config{
		Name: "local", Namespace: "default", Ready: 2, Max: 4,
		Labels:     map[string]string{"torikumi/allocatable": "true"},
		Health:     state.Health{Period: 5 * time.Second, FailureThreshold: 3, InitialDelay: 5 * time.Second},
		BackoffMin: 100 * time.Millisecond, BackoffMax: 10 * time.Second,
		NewName: func() string { n++; return fmt.Sprintf("local-aaaaa-%05d", n) },
		NewUID:  func() string { return fmt.Sprintf("uid-%d", n) },
		Pick:    func(int) int { return 0 },
	}
}

// harness is a fleet with a clock.
type harness struct {
	*state.Fleet
	t   testing.TB
	now time.Time
}

func newHarness(t testing.TB, edit func(*state.Config)) *harness {
	t.Helper()
	cfg := config()
	if edit != nil {
		edit(&cfg)
	}
	m, err := state.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &harness{Fleet: m, t: t, now: epoch}
}

// step decides and applies until nothing is to be done.
func (r *harness) step() (start []*state.Server, stop []string) {
	for {
		p := r.Decide(r.now)
		if p.Empty() {
			return start, stop
		}
		a, b := r.Apply(p, r.now)
		start, stop = append(start, a...), append(stop, b...)
	}
}

// boot takes a new server to Scheduled.
func (r *harness) boot(name string) {
	r.Placed(name, "127.0.0.1", "local", []state.Port{{Name: "default", Port: 7000}})
	r.Starting(name)
	r.Started(name, r.now)
}

// up makes the fleet's servers Ready and returns their names.
func (r *harness) up() (names []string) {
	r.t.Helper()
	start, _ := r.step()
	for _, s := range start {
		r.boot(s.Name)
		r.must(r.SDKReady(s.Name))
		names = append(names, s.Name)
	}
	return names
}

func (r *harness) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *harness) allocate(labels map[string]string) *state.Server {
	r.t.Helper()
	s, err := r.Allocate(state.Allocation{
		Namespace: "default",
		Selectors: []state.Selector{{State: agones.Ready, Labels: map[string]string{"torikumi/allocatable": "true"}}},
		Labels:    labels,
	}, r.now)
	r.must(err)
	return s
}

// states lists the states that a server went through since the last Drain.
func (r *harness) states(name string) (states []state.State) {
	for _, c := range r.Drain() {
		if c.Server.Name != name {
			continue
		}
		switch n := len(states); {
		case c.Gone:
			states = append(states, "gone")
		case n == 0 || states[n-1] != c.Server.State:
			states = append(states, c.Server.State)
		}
	}
	return states
}

func TestTransitions(t *testing.T) {
	const (
		PortAllocation, Creating, Starting = agones.PortAllocation, agones.Creating, agones.Starting
		Scheduled, RequestReady, Ready     = agones.Scheduled, agones.RequestReady, agones.Ready
		Reserved, Allocated, Shutdown      = agones.Reserved, agones.Allocated, agones.Shutdown
		Error, Unhealthy                   = agones.Error, agones.Unhealthy
	)
	type step func(r *harness, name string)
	boot := step(func(r *harness, n string) { r.boot(n) })
	ready := step(func(r *harness, n string) { r.must(r.SDKReady(n)) })
	allocate := step(func(r *harness, n string) { r.must(r.SDKAllocate(n, r.now)) })
	shutdown := step(func(r *harness, n string) { r.must(r.SDKShutdown(n)) })
	reserve := func(d time.Duration) step { return func(r *harness, n string) { r.must(r.SDKReserve(n, d, r.now)) } }
	exit := step(func(r *harness, n string) { r.Exited(n, state.Failure{Time: r.now, Reason: "exit status 3"}) })
	failed := step(func(r *harness, n string) { r.Failed(n, state.Failure{Time: r.now, Reason: "no such file"}) })
	gone := step(func(r *harness, n string) { r.Gone(n) })
	after := func(d time.Duration) step {
		return func(r *harness, _ string) { r.now = r.now.Add(d); r.step() }
	}
	start := []state.State{PortAllocation, Creating, Starting, Scheduled}

	for name, c := range map[string]struct {
		steps []step
		want  []state.State
	}{
		"ready":                     {[]step{boot, ready}, []state.State{RequestReady, Ready}},
		"ready twice":               {[]step{boot, ready, ready}, []state.State{RequestReady, Ready, RequestReady, Ready}},
		"ready again after a match": {[]step{boot, ready, allocate, ready}, []state.State{RequestReady, Ready, Allocated, RequestReady, Ready}},
		"self allocation":           {[]step{boot, allocate}, []state.State{Allocated}},
		"shutdown":                  {[]step{boot, ready, shutdown, after(0), exit, gone}, []state.State{RequestReady, Ready, Shutdown, "gone"}},
		"nothing leads out of shutdown": {
			[]step{boot, shutdown, ready, allocate, reserve(0), exit}, []state.State{Shutdown}},
		"nothing leads out of unhealthy": {
			[]step{boot, exit, ready, allocate, reserve(0), shutdown}, []state.State{Unhealthy}},
		"nothing leads out of error": {[]step{boot, failed, ready, exit}, []state.State{Error}},
		"exit while ready":           {[]step{boot, ready, exit}, []state.State{RequestReady, Ready, Unhealthy}},
		"exit while allocated":       {[]step{boot, allocate, exit, after(0), gone}, []state.State{Allocated, Unhealthy, "gone"}},
		"reserved for a while":       {[]step{boot, reserve(time.Second), after(time.Second)}, []state.State{Reserved, RequestReady, Ready}},
		"reserved not yet over":      {[]step{boot, reserve(time.Second), after(999 * time.Millisecond)}, []state.State{Reserved}},
		"reserved for ever":          {[]step{boot, reserve(0), after(4 * time.Second)}, []state.State{Reserved}},
		"reserved longer":            {[]step{boot, reserve(time.Second), reserve(3 * time.Second), after(time.Second)}, []state.State{Reserved}},
		"ready ends a reservation":   {[]step{boot, reserve(time.Second), ready, allocate, after(time.Second)}, []state.State{Reserved, RequestReady, Ready, Allocated}},
		"late report of the start":   {[]step{boot, ready, boot}, []state.State{RequestReady, Ready}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, func(c *state.Config) { c.Ready = 1 })
			made, _ := r.step()
			server := made[0].Name
			for _, s := range c.steps {
				s(r, server)
			}
			if diff := cmp.Diff(append(append([]state.State(nil), start...), c.want...), r.states(server)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNewServer(t *testing.T) {
	r := newHarness(t, nil)
	start, _ := r.step()
	if len(start) != 2 {
		t.Fatalf("%d servers are started, want 2", len(start))
	}
	want := map[string]string{
		"torikumi/allocatable": "true", "agones.dev/fleet": "local", "agones.dev/gameserverset": "local-aaaaa",
	}
	for _, s := range start {
		if diff := cmp.Diff(want, s.Labels); diff != "" {
			t.Error(diff)
		}
		if s.Namespace != "default" || s.UID == "" || s.Generation != 1 || !s.Created.Equal(epoch) {
			t.Errorf("new server %+v", s)
		}
	}
}

func TestAllocationMetadata(t *testing.T) {
	r := newHarness(t, nil)
	r.up()
	r.Drain()
	s := r.allocate(map[string]string{"torikumi/match": "m-1"})
	changes := r.Drain()
	if len(changes) != 1 || changes[0].From != agones.Ready || changes[0].Server.Labels["torikumi/match"] != "m-1" {
		t.Errorf("changes %+v: want one, with state and label", changes)
	}
	r.must(r.SDKReady(s.Name))
	again := r.Get(s.Name)
	if again.State != agones.Ready || again.Labels["torikumi/match"] != "m-1" || again.Annotations[agones.LastAllocatedAnnotation] == "" {
		t.Errorf("after Ready: %+v", again)
	}
	if s.State != agones.Allocated {
		t.Error("a version that was handed out has changed")
	}
	if again.ResourceVersion <= s.ResourceVersion || again.Generation <= s.Generation {
		t.Errorf("version %d → %d, generation %d → %d", s.ResourceVersion, again.ResourceVersion, s.Generation, again.Generation)
	}
}

func TestAllocateSelectors(t *testing.T) {
	r := newHarness(t, nil)
	names := r.up()
	r.must(r.SDKLabel(names[1], "map", "desert"))
	ask := func(namespace string, sel ...state.Selector) (string, error) {
		s, err := r.Allocate(state.Allocation{Namespace: namespace, Selectors: sel}, r.now)
		if err != nil {
			return "", err
		}
		return s.Name, nil
	}
	desert := map[string]string{"agones.dev/sdk-map": "desert"}
	for name, ask := range map[string]func() (string, error){
		"other namespace": func() (string, error) { return ask("other", state.Selector{State: agones.Ready}) },
		"no selector":     func() (string, error) { return ask("default") },
		"unknown value": func() (string, error) {
			return ask("default", state.Selector{State: agones.Ready, Labels: map[string]string{"agones.dev/sdk-map": "sea"}})
		},
		"state": func() (string, error) {
			return ask("default", state.Selector{State: agones.Allocated, Labels: desert})
		},
	} {
		if got, err := ask(); !errors.Is(err, state.ErrNoneFits) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if got, err := ask("default", state.Selector{State: agones.Ready, Labels: desert}); got != names[1] {
		t.Errorf("got %q, %v, want %q", got, err, names[1])
	}
	if got, err := ask("default", state.Selector{State: agones.Allocated, Labels: desert}); got != names[1] {
		t.Errorf("again: got %q, %v, want %q", got, err, names[1])
	}
	r.must(r.Delete("default", names[1], r.Get(names[1]).UID, "", r.now))
	if got, err := ask("default", state.Selector{State: agones.Allocated, Labels: desert}); err == nil {
		t.Errorf("got %q, which is being deleted", got)
	}
}

func TestDelete(t *testing.T) {
	r := newHarness(t, nil)
	name := r.up()[0]
	s := r.Get(name)
	version := state.FormatVersion(s.ResourceVersion)
	for _, c := range []struct {
		namespace, name, uid, version string
		want                          error
	}{
		{"other", name, s.UID, "", state.ErrNotFound},
		{"default", "none", s.UID, "", state.ErrNotFound},
		{"default", name, "other", "", state.ErrPrecondition},
		{"default", name, s.UID, version + "0", state.ErrPrecondition},
		{"default", name, s.UID, version, nil},
		{"default", name, s.UID, "", nil},
	} {
		if err := r.Delete(c.namespace, c.name, c.uid, c.version, r.now); !errors.Is(err, c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
	if _, stop := r.step(); !cmp.Equal(stop, []string{name}) {
		t.Errorf("stop %v, want %s once", stop, name)
	}
	if _, stop := r.step(); stop != nil {
		t.Errorf("stop again %v", stop)
	}
}

func TestScaling(t *testing.T) {
	r := newHarness(t, nil)
	r.up()
	a, b := r.allocate(nil), r.allocate(nil)
	if got := len(r.up()); got != 2 {
		t.Errorf("%d servers replace two in use, want 2", got)
	}
	c, d := r.allocate(nil), r.allocate(nil)
	if start, stop := r.step(); start != nil || stop != nil {
		t.Errorf("start %v, stop %v beyond Max", start, stop)
	}
	r.must(r.SDKReserve(d.Name, 0, r.now))
	if start, stop := r.step(); start != nil || stop != nil {
		t.Errorf("start %v, stop %v for a Reserved server", start, stop)
	}
	for _, s := range []*state.Server{a, b, c} {
		r.must(r.SDKReady(s.Name))
	}
	_, stop := r.step()
	if len(stop) != 1 || stop[0] == d.Name {
		t.Errorf("stop %v, want one of the three Ready ones", stop)
	}
}

func TestHealth(t *testing.T) {
	// As Agones counts: the first check is InitialDelay after the start, the
	// next ones follow each Period, and a check misses if the last sign is more
	// than a Period ago.
	type sign struct{ at, until int }
	for name, c := range map[string]struct {
		edit func(*state.Config)
		// signs come each second in these intervals, in seconds after the start.
		signs []sign
		// unhealthy is the second in which it is found out, 0 for not in 120.
		unhealthy int
	}{
		"never a sign":      {unhealthy: 20},
		"always":            {signs: []sign{{0, 120}}},
		"stops at 30":       {signs: []sign{{0, 30}}, unhealthy: 50},
		"a pause of two":    {signs: []sign{{0, 30}, {44, 120}}},
		"disabled":          {edit: func(c *state.Config) { c.Health = state.Health{Disabled: true} }},
		"one is enough":     {edit: func(c *state.Config) { c.Health.FailureThreshold = 1 }, unhealthy: 10},
		"longer to start":   {edit: func(c *state.Config) { c.Health.InitialDelay = 60 * time.Second }, unhealthy: 70},
		"a sign before end": {signs: []sign{{19, 19}}, unhealthy: 35},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, func(cfg *state.Config) {
				cfg.Ready, cfg.Max = 1, 1
				if c.edit != nil {
					c.edit(cfg)
				}
			})
			made, _ := r.step()
			server := made[0].Name
			r.boot(server)
			found := 0
			for s := 1; s <= 120 && found == 0; s++ {
				r.now = epoch.Add(time.Duration(s) * time.Second)
				r.step()
				if r.Get(server).State == agones.Unhealthy {
					found = s
				}
				for _, g := range c.signs {
					if s >= g.at && s <= g.until {
						r.SDKHealth(server, r.now)
					}
				}
			}
			if found != c.unhealthy {
				t.Errorf("Unhealthy after %d s, want %d", found, c.unhealthy)
			}
			if f, _ := r.LastFailure(); found > 0 && (f == nil || !strings.Contains(f.Reason, "no sign of life")) {
				t.Errorf("last failure %+v", f)
			}
		})
	}
}

func TestSleepingComputer(t *testing.T) {
	r := newHarness(t, nil)
	name := r.up()[0]
	r.now = r.now.Add(time.Hour)
	r.step()
	if got := r.Get(name).State; got != agones.Ready {
		t.Errorf("%s after an hour without a check", got)
	}
}

func TestBackoff(t *testing.T) {
	r := newHarness(t, func(c *state.Config) { c.Ready = 1 })
	var pauses []time.Duration
	for range 9 {
		start, _ := r.step()
		if len(start) != 1 {
			t.Fatalf("%d servers are started, want 1", len(start))
		}
		r.boot(start[0].Name)
		r.Exited(start[0].Name, state.Failure{Time: r.now, ExitCode: 3, Reason: "exit status 3"})
		r.step()
		r.Gone(start[0].Name)
		p := r.Decide(r.now)
		if p.Create != 0 || p.Next.IsZero() {
			t.Fatalf("plan right after a failure: %+v", p)
		}
		pauses = append(pauses, p.Next.Sub(r.now))
		r.now = p.Next
	}
	ms := time.Millisecond
	want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10000 * ms, 10000 * ms}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Error(diff)
	}
	if f, n := r.LastFailure(); n != 9 || f.ExitCode != 3 {
		t.Errorf("last failure %+v, %d in a row", f, n)
	}

	name := r.up()[0]
	if _, n := r.LastFailure(); n != 0 {
		t.Errorf("%d failures in a row after a server became Ready", n)
	}
	pause := func(lived time.Duration) time.Duration {
		t.Helper()
		r.now = r.now.Add(lived)
		r.Exited(name, state.Failure{Time: r.now})
		r.step()
		r.Gone(name)
		p := r.Decide(r.now)
		paused := p.Next.Sub(r.now)
		r.now = p.Next
		name = r.up()[0]
		return paused
	}
	// Ready or not, what crashes again and again waits.
	if got := pause(time.Second); got != 10000*ms {
		t.Errorf("pause %v after a server that was Ready for a second", got)
	}
	if got := pause(time.Minute); got != 100*ms {
		t.Errorf("pause %v after a server that was Ready for a minute", got)
	}
	if got := pause(0); got != 200*ms {
		t.Errorf("pause %v after another failure", got)
	}
	if err := r.SDKShutdown(name); err != nil {
		t.Fatal(err)
	}
	start, _ := r.step()
	r.Gone(name)
	name = start[0].Name
	r.boot(name)
	if got := pause(0); got != 100*ms {
		t.Errorf("pause %v after a server that did as it was asked", got)
	}
}

func TestFailuresAtOnce(t *testing.T) {
	r := newHarness(t, nil)
	for _, name := range r.up() {
		r.Exited(name, state.Failure{Time: r.now})
	}
	if _, n := r.LastFailure(); n != 1 {
		t.Errorf("%d failures in a row, want 1: both had the same cause", n)
	}
	if got := r.Totals().Failed; got != 2 {
		t.Errorf("%d failures in all, want 2", got)
	}
}

func TestSession(t *testing.T) {
	r := newHarness(t, func(c *state.Config) { c.Session = time.Minute; c.Health = state.Health{Disabled: true} })
	r.up()
	a, b := r.allocate(nil), r.allocate(nil)
	r.must(r.SDKReady(b.Name))
	r.now = r.now.Add(time.Minute - 1)
	r.step()
	if got := r.Get(a.Name).State; got != agones.Allocated {
		t.Errorf("%s before the session is over", got)
	}
	if got := r.Decide(r.now).Next; !got.Equal(epoch.Add(time.Minute)) {
		t.Errorf("next decision at %v, want at the end of the session", got)
	}
	r.now = r.now.Add(1)
	_, stop := r.step()
	if !cmp.Equal(stop, []string{a.Name}) || r.Get(a.Name).State != agones.Shutdown {
		t.Errorf("stop %v, state %s, want %s Shutdown", stop, r.Get(a.Name).State, a.Name)
	}
	if _, n := r.LastFailure(); n != 0 {
		t.Error("the end of a session counts as a failure")
	}
}

func TestClose(t *testing.T) {
	r := newHarness(t, nil)
	names := r.up()
	taken := r.allocate(nil)
	r.step()
	r.Close(r.now)
	_, stop := r.step()
	if len(stop) != r.Len() || r.Len() != 3 {
		t.Errorf("%d of %d servers are stopped, want all", len(stop), r.Len())
	}
	if _, err := r.Allocate(state.Allocation{Namespace: "default", Selectors: []state.Selector{{State: agones.Ready}}}, r.now); err == nil {
		t.Error("a closed fleet hands out servers")
	}
	for _, name := range stop {
		r.Gone(name)
	}
	if start, _ := r.step(); r.Len() != 0 || len(start) != 0 {
		t.Errorf("%d servers left, %d started", r.Len(), len(start))
	}
	if r.Get(names[0]) != nil || r.Get(taken.Name) != nil || len(r.Counts()) != 0 {
		t.Error("something is left")
	}
}

func TestConfig(t *testing.T) {
	for field, edit := range map[string]func(*state.Config){
		"Name":                    func(c *state.Config) { c.Name = "" },
		"Namespace":               func(c *state.Config) { c.Namespace = "" },
		"Ready":                   func(c *state.Config) { c.Ready = -1 },
		"Max":                     func(c *state.Config) { c.Max = 1 },
		"Session":                 func(c *state.Config) { c.Session = -1 },
		"BackoffMin":              func(c *state.Config) { c.BackoffMin = 0 },
		"BackoffMax":              func(c *state.Config) { c.BackoffMax = 1 },
		"NewName":                 func(c *state.Config) { c.NewName = nil },
		"Health.Period":           func(c *state.Config) { c.Health.Period = 0 },
		"Health.FailureThreshold": func(c *state.Config) { c.Health.FailureThreshold = 0 },
		"Health.InitialDelay":     func(c *state.Config) { c.Health.InitialDelay = -1 },
	} {
		cfg := config()
		edit(&cfg)
		if _, err := state.New(cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: got %v, want an error that names it", field, err)
		}
	}
}
