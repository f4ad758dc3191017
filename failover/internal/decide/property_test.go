package decide_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// heal makes everything well and lets the longest waits pass.
func (w *harness) heal() {
	w.faults = faults{create: map[string]decide.Result{}}
	w.stale, w.crashIn = nil, 0
	w.version.Image, w.version.Source = w.version.APIServer, ""
	for name, n := range w.nodes {
		n.stuck, n.planned, n.cordoned = false, false, false
		switch {
		case n.health == decide.Gone && w.open(name):
			w.setNode(name, "returns")
		case n.health != decide.Gone:
			w.setNode(name, "ready")
		}
	}
	for _, f := range w.failovers {
		f.Annotations = nil
	}
	w.say("-- all is well again")
	w.advance(90 * time.Minute)
}

// leftovers are what must not be there once all nodes are well.
func (w *harness) leftovers() []string {
	var left []string
	for _, f := range w.failovers {
		if !w.deleted(f) && (f.Status.Phase != v1.Completed || len(f.Finalizers) > 0) {
			left = append(left, fmt.Sprintf("failover %s is %s, finalizers %v", f.Name, f.Status.Phase, f.Finalizers))
		}
	}
	for _, m := range w.vms {
		if !m.foreign {
			left = append(left, "VM "+m.spec.Name)
		}
	}
	for name := range w.temps {
		left = append(left, "Node "+name)
	}
	for uid := range w.probes {
		left = append(left, fmt.Sprintf("probe pod of %s", uid))
	}
	for id := range w.tokens {
		left = append(left, "token "+id)
	}
	for name, n := range w.nodes {
		if n.taint == "ours" {
			left = append(left, "taint on "+name)
		}
	}
	for name, sv := range w.servers {
		if n := w.nodes[sv.Node]; n != nil && n.health == decide.Ready && sv.Hidden {
			left = append(left, fmt.Sprintf("server %s on %s can't be allocated", name, sv.Node))
		}
	}
	return left
}

func (w *harness) verdict(t interface {
	Helper()
	Fatalf(string, ...any)
}) {
	t.Helper()
	left := w.leftovers()
	w.must(nothingLeft, len(left) == 0, "%s", strings.Join(left, ", "))
	if len(w.breach) > 0 {
		t.Fatalf("%s\n\n%s", strings.Join(w.breach, "\n"), strings.Join(w.log, "\n"))
	}
}

// TestCrashBeforeEveryWrite kills the controller before its n-th write of a
// whole failover, for every n, with the next one starting at once.
func TestCrashBeforeEveryWrite(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for n := 1; ; n++ {
			w := newHarness()
			w.setNode("worker-1", "ready")
			w.serve("worker-1", "Ready")
			w.serve("worker-1", "Allocated")
			w.faults.createLost = lost
			w.crashIn = n
			w.setNode("worker-1", "notready")
			w.advance(3 * time.Minute)
			w.serve(w.theTemp(), "Allocated")
			w.setNode("worker-1", "ready")
			w.advance(4 * time.Minute)
			if f := w.failovers[0]; f.Status.Phase != v1.Draining {
				t.Errorf("crash before write %d: after 7 minutes it is %s", n, f.Status.Phase)
			}
			if err := w.setServer("Allocated", "gone"); err != nil {
				t.Errorf("crash before write %d: the game on the temporary node has been ended", n)
			}
			done := w.crashIn > 0
			w.advance(2 * time.Minute)
			w.verdict(t)
			if f := w.failovers[0]; f.Status.Phase != v1.Completed {
				t.Errorf("crash before write %d: in the end it is %s", n, f.Status.Phase)
			}
			if done && w.crashIn > 0 {
				t.Logf("%d writes", n-1)
				if n < 15 {
					t.Errorf("only %d writes: this is not a whole failover", n-1)
				}
				break
			}
		}
	}
}

// TestWorlds throws random events at the controller, in as many worlds as
// -rapid.checks says (make simulate-failover). Whatever happens, no invariant is
// broken meanwhile, and nothing is left once all is well.
func TestWorlds(t *testing.T) {
	sum := newTally()
	rapid.Check(t, func(t *rapid.T) { sum.add(world(t, sum.events)) })
	t.Logf("%s", sum)
	if sum.worlds < 1000 {
		return // what is rare may not have happened
	}
	for _, i := range invariants() {
		if sum.checked[i] == 0 {
			t.Errorf("in %d worlds nobody has looked at this: %s", sum.worlds, i)
		}
	}
	for _, p := range decide.Phases() {
		if p != "" && sum.phases[string(p)] == 0 {
			t.Errorf("in %d worlds nothing was %s", sum.worlds, p)
		}
	}
	for event := range events {
		if sum.events[event] == 0 {
			t.Errorf("in %d worlds this has not happened: %s", sum.worlds, event)
		}
	}
}

func FuzzWorlds(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { world(t, map[string]int{}) }))
}

// world plays a random one, and counts what happens in it.
func world(t *rapid.T, happened map[string]int) *harness {
	w := newHarness()
	// The hours pass sooner.
	w.set.Poll, w.set.Watch = 20*time.Second, 5*time.Minute
	w.set.MaxWait, w.set.ReplaceLead = 40*time.Minute, 50*time.Minute
	w.set.MaxVMs = rapid.IntRange(1, 3).Draw(t, "max VMs")
	w.set.MaxFailovers = rapid.IntRange(1, 3).Draw(t, "max failovers")
	w.set.StormNodes = rapid.IntRange(2, 4).Draw(t, "storm")
	w.set.InitNodes = rapid.Bool().Draw(t, "init nodes")
	w.set.Lifetime = rapid.SampledFrom([]time.Duration{24 * time.Hour, 65 * time.Minute}).Draw(t, "lifetime")
	w.set.MaxMilliCost = rapid.SampledFrom([]int64{0, 400, 600}).Draw(t, "max cost")
	w.set.EmptyStartsVM = rapid.Bool().Draw(t, "empty starts VM")
	w.set.StabilityMax = rapid.SampledFrom([]time.Duration{time.Minute, 8 * time.Minute}).Draw(t, "stability max")
	w.set.TaintGrace = rapid.SampledFrom([]time.Duration{0, 2 * time.Minute}).Draw(t, "taint grace")
	w.set.Zones = rapid.SampledFrom([][]string{{"zone-a", "zone-b"}, {"zone-a", "zone-b"}, {"zone-a"}, {"europe-west3-a", "europe-west3-b", "europe-west4-a"}}).Draw(t, "zones")
	// Else nobody knows, while no read of the VM comes back, that its Node needs one.
	w.set.NeedExternalIP = true
	w.set.CordonedGrace = rapid.SampledFrom([]time.Duration{0, 10 * time.Minute}).Draw(t, "cordoned grace")
	w.set.FalseStartsVM = rapid.Bool().Draw(t, "false starts VM")
	w.set.Fencing = rapid.SampledFrom([]decide.Fencing{decide.FenceNone, decide.FenceWebhook, decide.FenceManual}).Draw(t, "fencing")
	names := []string{"worker-1", "worker-10", "worker-2"}
	for _, n := range names {
		w.setNode(n, "ready")
		for range rapid.IntRange(0, 4).Draw(t, "servers") {
			w.cpu = rapid.SampledFrom([]int64{500, 500, 2000, 4000, 8000}).Draw(t, "cpu") // the last fits no VM
			w.serve(n, rapid.SampledFrom([]string{"Ready", "Allocated", "Reserved", "Starting"}).Draw(t, "state"))
		}
	}
	kinds := weighted()
	for range rapid.IntRange(3, 30).Draw(t, "events") {
		node, event := draw(t, names, "node"), draw(t, kinds, "event")
		w.say("-- %s (%s)", event, node)
		if events[event].happen(t, w, node) {
			happened[event]++
		}
		w.advance(draw(t, []time.Duration{0, time.Second, 7 * time.Second, 31 * time.Second, 61 * time.Second, 3 * time.Minute, 11 * time.Minute, 45 * time.Minute}, "wait"))
	}
	w.cpu = 500
	w.settle()
	w.heal()
	w.verdict(t)
	return w
}

// TestWayBack lets a node return that may not be able to run games, for any time:
// no server goes while one that went before has no replacement, and in the end all
// have gone.
func TestWayBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newHarness()
		w.setNode("worker-1", "ready")
		n := rapid.IntRange(1, 6).Draw(t, "servers")
		for range n {
			w.serve("worker-1", "Allocated")
		}
		w.setNode("worker-1", "notready")
		w.advance(2 * time.Minute)
		how := rapid.SampledFrom([]string{"stuck", "works"})
		w.setNode("worker-1", how.Draw(t, "at first"))
		w.setNode("worker-1", "ready")
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			w.advance(rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second, 65 * time.Second, 4 * time.Minute}).Draw(t, "wait"))
			w.setNode("worker-1", how.Draw(t, "then"))
			if rapid.Bool().Draw(t, "allocate") {
				_ = w.setServer("Ready", "Allocated")
			}
		}
		w.heal()
		for w.setServer("Allocated", "gone") == nil {
		}
		w.heal()
		w.verdict(t)
	})
}
