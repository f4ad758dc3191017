package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// drill makes a rehearsal, as the command does.
func (w *harness) drill(node string) *v1.NodeFailover {
	f := &v1.NodeFailover{}
	f.UID = w.next("failover")
	f.Name = "drill-" + node + "-" + string(f.UID)
	f.CreationTimestamp = metav1.Time{Time: w.now}
	f.Spec = v1.NodeFailoverSpec{OnpremNodeName: node, Drill: true}
	w.failovers = append(w.failovers, f)
	w.changes++
	return f
}

func (w *harness) isDrill(uid types.UID) bool {
	return slices.ContainsFunc(w.failovers, func(f *v1.NodeFailover) bool { return f.UID == uid && f.Spec.Drill })
}

// drillMay checks that a drill does nothing to the node that it is for, nor to
// what runs there.
func (w *harness) drillMay(f *v1.NodeFailover, a decide.Action) {
	if !f.Spec.Drill {
		return
	}
	forbidden := []decide.Kind{decide.Taint, decide.Untaint, decide.Fence, decide.CreateReplacement}
	touches := slices.Contains(forbidden, a.Kind) || a.Node == f.Spec.OnpremNodeName || a.Server.Node == f.Spec.OnpremNodeName
	w.must(drillTouchesNothing, !touches, "a drill does %s", a)
}

func verdict(f *v1.NodeFailover) string {
	if c := meta.FindStatusCondition(f.Status.Conditions, v1.Rehearsed); c != nil {
		return fmt.Sprintf("%s %s", c.Status, c.Reason)
	}
	return "none"
}

// TestDrillCrashBeforeEveryWrite kills the controller before each write of a
// drill. The next one ends it with the same verdict.
func TestDrillCrashBeforeEveryWrite(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for n := 1; ; n++ {
			w := newHarness()
			w.setNode("worker-1", "ready")
			w.serve("worker-1", "Ready")
			w.serve("worker-1", "Allocated")
			w.faults.createLost = lost
			w.crashIn = n
			f := w.drill("worker-1")
			w.advance(3 * time.Minute)
			w.verdict(t)
			if got := verdict(f); got != "True Passed" {
				t.Errorf("crash before write %d: the verdict is %s", n, got)
			}
			if got := len(w.servers); got != 2 {
				t.Errorf("crash before write %d: %d servers on the node", n, got)
			}
			if w.crashIn > 0 {
				t.Logf("%d writes", n-1)
				if n < 12 {
					t.Errorf("only %d writes: this is not a whole drill", n-1)
				}
				break
			}
		}
	}
}

// TestDrillVerdicts: whatever keeps a drill from passing is said, and nothing
// is left of it.
func TestDrillVerdicts(t *testing.T) {
	for want, spoil := range map[string]func(*harness){
		"False NodeUnknown":    func(w *harness) { w.setNode("worker-1", "deleted") },
		"False NodeNotReady":   func(w *harness) { w.setNode("worker-1", "notready"); w.nodes["worker-1"].labels = nil },
		"False NodeNotWatched": func(w *harness) { w.nodes["worker-1"].labels = map[string]string{"node-type": "desk"} },
		"False Failover": func(w *harness) {
			w.setNode("worker-1", "notready")
			w.advance(time.Minute)
			w.setNode("worker-1", "ready")
		},
		"False Yielded": func(w *harness) { w.setNode("worker-2", "notready") },
		// One that waits for something else than room is in nobody's way.
		"True Passed ": func(w *harness) {
			w.set.EmptyStartsVM = false
			w.setNode("worker-2", "notready")
			w.advance(time.Minute)
		},
		"False Duplicate":   func(w *harness) { w.drill("worker-1") },
		"False Quota":       func(w *harness) { w.faults.create["*"] = decide.Quota },
		"False Stockout":    func(w *harness) { w.faults.create["*"] = decide.Stockout },
		"False Invalid":     func(w *harness) { w.faults.create["*"] = decide.Invalid },
		"False NeverJoined": func(w *harness) { w.faults.neverJoins = true },
		"True Passed":       func(w *harness) { w.faults.create["zone-a"] = decide.Stockout },
	} {
		w := newHarness()
		w.setNode("worker-1", "ready")
		w.setNode("worker-2", "ready")
		spoil(w)
		f := w.drill("worker-1")
		w.advance(15 * time.Minute)
		if got := verdict(f); got != strings.TrimSpace(want) || f.Status.Phase != v1.Completed {
			t.Errorf("the verdict is %s in phase %s, want %s", got, f.Status.Phase, want)
		}
		w.heal()
		w.verdict(t)
	}
}

// TestDrillsOfOneSecond: creation is told by the second. The drill that has
// begun goes on, whatever the other one is called.
func TestDrillsOfOneSecond(t *testing.T) {
	for _, name := range []string{"a", "z"} {
		w := newHarness()
		w.setNode("worker-1", "ready")
		first := w.drill("worker-1")
		w.advance(time.Second)
		if first.Status.Phase != v1.Creating {
			t.Fatalf("the drill is %s", first.Status.Phase)
		}
		second := w.drill("worker-1")
		second.Name, second.CreationTimestamp = name, first.CreationTimestamp
		w.advance(3 * time.Minute)
		if verdict(first) != "True Passed" || verdict(second) != "False Duplicate" {
			t.Errorf("%s: the first ends with %s, the second with %s", name, verdict(first), verdict(second))
		}
		w.verdict(t)
	}
}
