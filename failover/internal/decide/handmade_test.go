package decide_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
)

// hand makes a failover as somebody with kubectl could.
func (w *world) hand(name string, spec v1.NodeFailoverSpec) *v1.NodeFailover {
	f := &v1.NodeFailover{Spec: spec}
	f.Name, f.UID, f.CreationTimestamp = name, w.next("failover"), metav1.Time{Time: w.now}
	w.failovers = append(w.failovers, f)
	w.changes++
	return f
}

// play lets the commands of scenarios happen.
func (w *world) play(t *testing.T, script string) {
	t.Helper()
	for line := range strings.Lines(script) {
		if words := strings.Fields(line); len(words) > 0 {
			if err := w.command(words); err != nil {
				t.Fatalf("%s: %v", strings.TrimSpace(line), err)
			}
		}
	}
}

// TestReplacesAnotherNodes: one for another node that is said to replace ours,
// by mistake, takes nothing over, and waits as any other.
func TestReplacesAnotherNodes(t *testing.T) {
	w := newWorld()
	w.play(t, `
		node worker-1 ready
		node worker-2 ready
		servers worker-1 Allocated
		node worker-1 notready
		wait 3m
		set server-cpu 3000
		servers worker-2 Allocated
		node worker-2 notready`)
	first := w.failovers[0]
	x := w.hand("x", v1.NodeFailoverSpec{OnpremNodeName: "worker-2", Replaces: first.Name})
	w.advance(25 * time.Second)
	if x.Status.VM != nil {
		t.Error("it has a VM within the grace")
	}
	w.advance(5 * time.Minute)
	if x.Status.Phase != v1.Active || first.Status.Phase != v1.Active || w.nodes["worker-1"].taint != "ours" {
		t.Errorf("worker-2's is %s, worker-1's %s and its taint %q", x.Status.Phase, first.Status.Phase, w.nodes["worker-1"].taint)
	}
	w.heal()
	w.verdict(t)
}

// TestReplacesNobody: what a failover is said to replace is not there.
func TestReplacesNobody(t *testing.T) {
	w := newWorld()
	w.setNode("worker-1", "ready")
	x := w.hand("x", v1.NodeFailoverSpec{OnpremNodeName: "worker-1", Replaces: "nobody"})
	w.setNode("worker-1", "notready")
	w.advance(25 * time.Second)
	if x.Status.VM != nil {
		t.Error("it has a VM within the grace")
	}
	w.advance(5 * time.Minute)
	if x.Status.Phase != v1.Active {
		t.Errorf("it is %s", x.Status.Phase)
	}
	w.heal()
	w.verdict(t)
}

// TestReplaceOneAnother: the CRD cannot refuse failovers that are made by hand
// and replace one another. They end with their node's failure, and so does one
// that adds to them.
func TestReplaceOneAnother(t *testing.T) {
	w := newWorld()
	w.setNode("worker-1", "ready")
	one := w.hand("a", v1.NodeFailoverSpec{OnpremNodeName: "worker-1", Replaces: "b"})
	other := w.hand("b", v1.NodeFailoverSpec{OnpremNodeName: "worker-1", Replaces: "a"})
	w.setNode("worker-1", "notready")
	for range 120 {
		if w.advance(time.Second); one.Status.ActiveAt != nil && other.Status.ActiveAt != nil {
			break
		}
	}
	if one.Status.Phase == v1.Completed || other.Status.Phase == v1.Completed {
		t.Fatalf("they are %s and %s: no chain without an end", one.Status.Phase, other.Status.Phase)
	}
	w.hand("c", v1.NodeFailoverSpec{OnpremNodeName: "worker-1", Adds: "a", Share: &v1.Share{Number: 2}})
	w.advance(30 * time.Minute)
	w.setNode("worker-1", "ready")
	w.advance(30 * time.Minute)
	for _, f := range w.failovers {
		if f.Status.Phase != v1.Completed {
			t.Errorf("%s is %s", f.Name, f.Status.Phase)
		}
	}
	w.verdict(t)
}
