package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
)

// heal makes everything well and lets the longest waits pass.
func (w *harness) heal() {
	w.faults = faults{create: map[string]decide.Result{}}
	w.stale, w.crashIn = nil, 0
	for name, n := range w.nodes {
		n.stuck = false
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
	if wrong := append(slices.Clone(w.breach), w.leftovers()...); len(wrong) > 0 {
		t.Fatalf("%s\n\n%s", strings.Join(wrong, "\n"), strings.Join(w.log, "\n"))
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

// TestAnythingMayHappen throws random events at the controller. Whatever they
// are, no promise is broken meanwhile, and nothing is left once all is well.
func TestAnythingMayHappen(t *testing.T) { rapid.Check(t, play) }

func FuzzAnythingMayHappen(f *testing.F) { f.Fuzz(rapid.MakeFuzz(play)) }

// play plays a random run.
func play(t *rapid.T) {
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
	// Else nobody knows, while no read of the VM comes back, that its Node needs one.
	w.set.NeedExternalIP = true
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
	for range rapid.IntRange(1, 25).Draw(t, "events") {
		node := rapid.SampledFrom(names).Draw(t, "node")
		happen(t, w, node)
		w.advance(rapid.SampledFrom([]time.Duration{0, time.Second, 7 * time.Second, 31 * time.Second, 61 * time.Second, 11 * time.Minute, 45 * time.Minute}).Draw(t, "wait"))
	}
	w.cpu = 500
	w.settle()
	w.heal()
	w.verdict(t)
}

func happen(t *rapid.T, w *harness, name string) {
	event := rapid.SampledFrom([]string{
		"down", "down", "down", "reports", "reports", "up", "up", "delete", "return", "allocate", "finish", "serve", "stockout", "quota", "lost reply",
		"reads fail", "never joins", "no network", "has-taint", "stuck", "works", "unclear", "unusable", "fit", "type stocked out", "cloud ok", "preempted", "vanishes", "crash", "outage", "writes fail", "pause", "resume", "delete failover", "fenced", "foreign taint", "temp down", "temp up", "drill", "drill",
	}).Draw(t, "event")
	w.say("-- %s (%s)", event, name)
	n := w.nodes[name]
	if w.faults.writes && slices.Contains([]string{"down", "reports", "up", "delete", "return"}, event) {
		return // to report that is a write too
	}
	switch event {
	case "down":
		if n.health == decide.Ready || n.reports {
			w.setNode(name, "notready")
		}
	case "reports":
		if n.health != decide.Gone {
			w.setNode(name, event)
		}
	case "up":
		if n.health == decide.NotReady {
			w.setNode(name, "ready")
		}
	case "delete":
		w.setNode(name, "deleted")
	case "return":
		if n.health == decide.Gone {
			w.setNode(name, rapid.SampledFrom([]string{"returns", "returns-dead"}).Draw(t, "how"))
			n.labels["node-type"] = "onpremise"
		}
	case "allocate":
		_ = w.setServer("Ready", "Allocated")
	case "finish":
		_ = w.setServer("Allocated", "gone")
	case "serve":
		if temp := w.theTemp(); temp != "" && !w.temps[temp].cordoned {
			w.serve(temp, rapid.SampledFrom([]string{"Ready", "Allocated"}).Draw(t, "state"))
		} else if n.health == decide.Ready && n.taint == "" {
			w.serve(name, "Ready")
		}
	case "stockout":
		w.faults.create["zone-a"] = decide.Stockout
	case "quota":
		w.faults.create["*"] = decide.Quota
	case "lost reply":
		w.faults.createLost = true
	case "reads fail":
		w.faults.get = true
	case "unusable":
		w.faults.unusable = rapid.SampledFrom([]string{"tainted", "no-address"}).Draw(t, "how")
	case "fit":
		w.faults.unusable = ""
		for _, t := range w.temps {
			t.taints, t.noIP = nil, false
		}
	case "stuck", "works", "has-taint":
		w.setNode(name, event)
	case "no network":
		w.faults.noNetwork = "zone-a"
	case "unclear":
		w.faults.create["zone-a"] = decide.Unclear
	case "type stocked out":
		w.faults.create["n2-standard-4"] = decide.Stockout
	case "never joins":
		w.faults.neverJoins = true
	case "cloud ok":
		w.faults = faults{create: map[string]decide.Result{}}
	case "preempted", "vanishes":
		_ = w.setVM(event)
	case "crash":
		w.crashIn = rapid.IntRange(1, 6).Draw(t, "in")
	case "outage":
		w.apiHealthySince = w.now
	case "drill":
		w.drill(name)
	case "writes fail":
		w.faults.writes = true
	default:
		steer(w, name, event)
	}
}

// steer is what operators do.
func steer(w *harness, name, event string) {
	for _, f := range w.failovers {
		if f.Spec.OnpremNodeName != name || f.Status.Phase == v1.Completed {
			continue
		}
		switch event {
		case "pause":
			f.Annotations = map[string]string{v1.PausedAnnotation: "true"}
		case "resume":
			f.Annotations = nil
		case "fenced":
			f.Annotations = map[string]string{v1.FencedAnnotation: "true"}
		case "delete failover":
			f.DeletionTimestamp = &metav1.Time{Time: w.now}
		}
	}
	switch event {
	case "foreign taint":
		if n := w.nodes[name]; n.taint == "" && n.health != decide.Gone && !slices.ContainsFunc(w.failovers, func(f *v1.NodeFailover) bool {
			return f.Spec.OnpremNodeName == name && f.Status.Taint != v1.TaintNone
		}) {
			n.taint = "foreign"
		}
	case "temp down":
		if t := w.theTemp(); t != "" {
			w.temps[t].ready = false
		}
	case "temp up":
		if t := w.theTemp(); t != "" && w.temps[t].vm.state == cloud.Running {
			w.temps[t].ready = true
		}
	}
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
