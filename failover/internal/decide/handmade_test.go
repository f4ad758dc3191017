package decide_test

import (
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
