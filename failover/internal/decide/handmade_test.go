package decide_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// hand makes a failover as somebody with kubectl could.
func (w *harness) hand(name string, spec v1.NodeFailoverSpec) *v1.NodeFailover {
	f := &v1.NodeFailover{Spec: spec}
	f.Name, f.UID, f.CreationTimestamp = name, w.next("failover"), metav1.Time{Time: w.now}
	w.failovers = append(w.failovers, f)
	w.changes++
	return f
}

// play lets the commands of scenarios happen.
func (w *harness) play(t *testing.T, script string) {
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
	w := newHarness()
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
	w := newHarness()
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
// and replace one another. One whose parent they are finds no end of that chain.
func TestReplaceOneAnother(t *testing.T) {
	a, b := made("a", v1.Active, time.Hour), made("b", v1.Active, time.Hour)
	a.Spec.Replaces, b.Spec.Replaces = "b", "a"
	a.Status.ActiveAt, b.Status.ActiveAt = ago(time.Hour), ago(time.Hour)
	for _, phase := range []v1.Phase{v1.Pending, v1.Active} {
		c := down(made("c", phase, time.Hour))
		c.Spec.ParentFailover, c.Spec.SharedLoad = "a", &v1.SharedLoad{Number: 2}
		st, _ := decided(&decide.State{Failover: c, Node: decide.Node{Health: decide.NotReady, UID: "n"}, Siblings: []v1.NodeFailover{*a, *b}})
		if st.ParentFailover != "" {
			t.Errorf("%s: it follows %s", phase, st.ParentFailover)
		}
	}
}
