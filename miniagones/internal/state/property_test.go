package state_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
)

// subscriber runs a fleet's state as the fleet does, and keeps the naive view of it that
// a subscriber to its changes has.
type subscriber struct {
	*harness
	t *rapid.T
	// live has what was started and is not gone; stopping what was asked to stop.
	live, stopping map[string]bool
	// attached has those that somebody else has started.
	attached map[string]bool
	seen     map[string]*state.Server
	version  uint64
}

// apply does what the state asks for and reads its changes.
func (w *subscriber) apply() {
	before := w.Decide(w.now)
	if again := w.Decide(w.now); !cmp.Equal(before, again) {
		w.t.Fatalf("Decide is not pure: %v", cmp.Diff(before, again))
	}
	for p := before; !p.Empty(); p = w.Decide(w.now) {
		for _, name := range p.Delete {
			if w.attached[name] {
				w.t.Fatalf("scaling takes %s, which is attached", name)
			}
			if s := w.Get(name).State; s == agones.Allocated || s == agones.Reserved {
				w.t.Fatalf("scaling takes %s, which is %s", name, s)
			}
		}
		start, stop := w.Apply(p, w.now)
		for _, s := range start {
			w.live[s.Name] = true
		}
		for _, name := range stop {
			if !w.live[name] || w.stopping[name] {
				w.t.Fatalf("%s is stopped a second time, or never was started", name)
			}
			w.stopping[name] = true
		}
	}
	w.read()
}

// read follows the changes.
func (w *subscriber) read() {
	for _, c := range w.Drain() {
		s := c.Server
		if c.Gone {
			delete(w.seen, s.Name)
			continue
		}
		if s.ResourceVersion <= w.version {
			w.t.Fatalf("%s has version %d after %d", s.Name, s.ResourceVersion, w.version)
		}
		w.version = s.ResourceVersion
		was := w.seen[s.Name]
		if (was == nil) != (c.From == "") || was != nil && was.State != c.From {
			w.t.Fatalf("%s comes from %q, was %v", s.Name, c.From, was)
		}
		if was != nil && was.Going() && was.State != s.State && s.State != agones.Shutdown {
			w.t.Fatalf("%s was on its way out as %s and is %s", s.Name, was.State, s.State)
		}
		w.seen[s.Name] = s
	}
}

// check compares the state with the naive view.
func (w *subscriber) check() {
	if w.Len()-len(w.attached) > 6 {
		w.t.Fatalf("%d servers and %d that are attached, Max is 6", w.Len(), len(w.attached))
	}
	counts := make(map[state.State]int)
	ready := 0
	uids := make(map[string]bool)
	byMatch := make(map[string][]string)
	for name, s := range w.seen {
		counts[s.State]++
		uids[s.UID] = true
		if s.State == agones.Ready && !s.Going() && !w.attached[name] {
			ready++
		}
		if m := s.Labels["match"]; m != "" {
			byMatch[m] = append(byMatch[m], name)
		}
		if w.Get(name) != s {
			w.t.Fatalf("%s: a change is missing", name)
		}
	}
	if diff := cmp.Diff(counts, w.Counts()); diff != "" {
		w.t.Fatalf("counts: %s", diff)
	}
	if ready != w.ReadyCount() || len(uids) != w.Len() || len(w.seen) != w.Len() {
		w.t.Fatalf("%d Ready, %d uids, %d servers; the state has %d Ready, %d servers", ready, len(uids), len(w.seen), w.ReadyCount(), w.Len())
	}
	for match, want := range byMatch {
		var got []string
		for _, s := range w.List("default", map[string]string{"match": match}) {
			got = append(got, s.Name)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			w.t.Fatalf("list by match %s: %s", match, diff)
		}
	}
}

func (w *subscriber) pick() string {
	names := slices.Sorted(maps.Keys(w.live))
	if len(names) == 0 {
		return "none"
	}
	return rapid.SampledFrom(names).Draw(w.t, "server")
}

func (w *subscriber) allocate(match string) {
	sel := state.Selector{State: agones.Ready}
	if rapid.Bool().Draw(w.t, "allocated") {
		sel = state.Selector{State: agones.Allocated, Labels: map[string]string{"match": "m-1"}}
	}
	before := maps.Clone(w.seen)
	s, err := w.Allocate(state.Allocation{
		Namespace: "default", Selectors: []state.Selector{sel},
		Labels: map[string]string{"match": match}, Spread: rapid.Bool().Draw(w.t, "spread"),
	}, w.now)
	fits, attached := 0, 0
	for name, b := range before {
		if b.State == sel.State && !b.Going() && (sel.Labels == nil || b.Labels["match"] == "m-1") {
			fits++
			if w.attached[name] {
				attached++
			}
		}
	}
	if (err == nil) != (fits > 0) {
		w.t.Fatalf("Allocate: %v with %d servers that fit", err, fits)
	}
	if err == nil && (before[s.Name].State != sel.State || before[s.Name].Going()) {
		w.t.Fatalf("%s was handed out as %s", s.Name, before[s.Name].State)
	}
	if err == nil && sel.State == agones.Ready && attached > 0 && !w.attached[s.Name] {
		w.t.Fatalf("%s was handed out before one that is attached", s.Name)
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &subscriber{
			harness: newHarness(t, func(c *state.Config) { c.Ready, c.Max = 3, 6; c.Pick = func(n int) int { return n - 1 } }),
			t:       rt, live: map[string]bool{}, stopping: map[string]bool{}, attached: map[string]bool{}, seen: map[string]*state.Server{},
		}
		if rapid.Bool().Draw(rt, "sessions") {
			w.harness = newHarness(t, func(c *state.Config) { c.Ready, c.Max, c.Session = 3, 6, 20*time.Second })
		}
		w.apply()
		n := 0
		rt.Repeat(map[string]func(*rapid.T){
			"boot":  func(*rapid.T) { w.boot(w.own()) },
			"ready": func(*rapid.T) { _ = w.SDKReady(w.pick()) },
			"self":  func(*rapid.T) { _ = w.SDKAllocate(w.pick(), w.now) },
			"reserve": func(rt *rapid.T) {
				_ = w.SDKReserve(w.pick(), time.Duration(rapid.IntRange(0, 9).Draw(rt, "s"))*time.Second, w.now)
			},
			"shutdown":   func(*rapid.T) { _ = w.SDKShutdown(w.pick()) },
			"health":     func(*rapid.T) { w.SDKHealth(w.pick(), w.now) },
			"label":      func(*rapid.T) { _ = w.SDKLabel(w.pick(), "map", "desert") },
			"annotation": func(*rapid.T) { _ = w.SDKAnnotation(w.pick(), "mood", "fine") },
			"exit":       func(*rapid.T) { w.Exited(w.own(), state.Failure{Time: w.now}) },
			"fail":       func(*rapid.T) { w.Failed(w.own(), state.Failure{Time: w.now}) },
			"allocate":   func(*rapid.T) { n++; w.allocate(fmt.Sprintf("m-%d", n)) },
			"delete": func(*rapid.T) {
				if s := w.Get(w.pick()); s != nil {
					_ = w.Delete("default", s.Name, s.UID, "", w.now)
				}
			},
			"gone": func(*rapid.T) {
				// Only what was asked to stop can be gone.
				for _, name := range slices.Sorted(maps.Keys(w.stopping)) {
					w.gone(name)
					break
				}
			},
			"attach": func(*rapid.T) {
				if s := w.Attach(state.Attachment{Address: "127.0.0.1"}, w.now); s != nil {
					w.live[s.Name], w.attached[s.Name] = true, true
				}
			},
			"wait": func(rt *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 8000).Draw(rt, "ms")) * time.Millisecond)
			},
			"": func(*rapid.T) { w.read(); w.apply(); w.check() },
		})
		w.recover()
	})
}

// own is pick for what the fleet has started itself.
func (w *subscriber) own() string {
	if name := w.pick(); !w.attached[name] {
		return name
	}
	return "none"
}

func (w *subscriber) gone(name string) {
	w.Gone(name)
	delete(w.live, name)
	delete(w.stopping, name)
	delete(w.attached, name)
}

// recover lets everything that was started become Ready and everything that
// was asked to stop end, after which the fleet must be as full as it may be.
func (w *subscriber) recover() {
	for name := range w.attached {
		w.gone(name)
	}
	w.read()
	for range 10 {
		w.now = w.now.Add(10 * time.Second)
		for name := range w.live {
			w.SDKHealth(name, w.now)
		}
		w.apply()
		for name := range w.stopping {
			w.gone(name)
		}
		for name := range w.live {
			w.boot(name)
			if s := w.Get(name).State; s != agones.Allocated && s != agones.Reserved {
				_ = w.SDKReady(name)
			}
		}
		w.read()
	}
	w.check()
	counts := w.Counts()
	want := min(3, 6-counts[agones.Allocated]-counts[agones.Reserved])
	if w.ReadyCount() != want || w.Len() != want+counts[agones.Allocated]+counts[agones.Reserved] {
		w.t.Fatalf("after everything has come to rest: %v, want %d Ready", counts, want)
	}
}
