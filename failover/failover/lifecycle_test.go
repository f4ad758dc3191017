package failover_test

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/controller"
	"torikumi/pkg/agones"
)

func tainted(n *corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == controller.TaintKey && t.Effect == corev1.TaintEffectNoExecute
	})
}

// TestLifecycle is the whole way on a real control plane, with two replicas that
// have no rights but those of the manifests: a node is unplugged, a VM
// joins by its startup script, the node is plugged in again.
func TestLifecycle(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.boots(true)
	r.onprem("worker-1")
	r.server("ready", "worker-1", "Ready")
	r.server("playing", "worker-1", "Allocated")
	r.finalizers("ready", "agones.dev/controller") // so it stays until its pod is gone
	r.controller(r.kube)
	r.controller(r.kube)

	r.unplug("worker-1")
	r.eventually("the dead node's Ready server is shut down and deleted", func() error {
		g, err := r.getServer("ready")
		if err == nil && (g.Status.State != agones.Shutdown || g.DeletionTimestamp == nil) {
			err = fmt.Errorf("it is %s, deleted at %v", g.Status.State, g.DeletionTimestamp)
		}
		return err
	})
	r.finalizers("ready")
	r.eventually("nobody is sent to what is in use on the dead node", func() error { return r.hidden("playing") })
	f := r.phase("worker-1", v1.Active)
	r.eventually("the dead node is tainted", func() error {
		if !tainted(r.node("worker-1")) {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	if g, err := r.getServer("playing"); err != nil || g.DeletionTimestamp != nil {
		t.Errorf("the server in use: %v %v", g, err)
	}
	temp := r.node(f.Status.GCPVMName)
	for k, v := range map[string]string{"node-type": "gcp-temporary", "node-location": "gcp", "hardware": "game-runner"} {
		if temp.Labels[k] != v {
			t.Errorf("label %s of the temporary node is %q", k, temp.Labels[k])
		}
	}
	r.eventually("the token is deleted", func() error { return none(r.tokens(), "tokens") })

	r.server("moved", temp.Name, "Allocated")
	r.server("spare", temp.Name, "Ready")
	r.onprem("worker-1") // plugged in again
	r.phase("worker-1", v1.Draining)
	if tainted(r.node("worker-1")) {
		t.Error("the node is drained back while it is tainted")
	}
	r.eventually("what is not in use leaves", func() error { return r.gone("spare") })
	r.eventually("nobody is sent to what is in use", func() error { return r.hidden("moved") })
	if err := r.hidden("playing"); err == nil {
		t.Error("what is in use on the node that has come back can't be allocated")
	}
	if !r.node(temp.Name).Spec.Unschedulable {
		t.Error("the temporary node is not cordoned")
	}
	if n := r.cloud.Live(); n != 1 {
		t.Errorf("%d VMs under a running game", n)
	}

	g, err := r.getServer("moved")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.admin.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	r.ends("worker-1", temp.Name)
	if n := r.cloud.Peak(); n != 1 {
		t.Errorf("%d VMs at one time", n)
	}
	r.waitForEvents(f, "NodeNotReady", "Admitted", "CreatingVM", "VMCreated", "NodeJoined", "TaintApplied", "Recovering", "TaintRemoved", "Draining", "Drained", "Completed")
}

func none(n int, of string) error {
	if n > 0 {
		return fmt.Errorf("%d %s", n, of)
	}
	return nil
}

// ends waits until a failover is over, and checks that nothing is left of it.
func (r *harness) ends(node, temp string) {
	r.Helper()
	r.phase(node, v1.Completed)
	r.eventually("nothing holds the failovers", func() error {
		for _, f := range r.failovers() {
			if f.Spec.OnpremNodeName == node && (f.Status.Phase != v1.Completed || len(f.Finalizers) > 0) {
				return fmt.Errorf("%s is %s, finalizers %v", f.Name, f.Status.Phase, f.Finalizers)
			}
		}
		return nil
	})
	if n := r.cloud.Live(); n != 0 {
		r.Errorf("%d VMs are left", n)
	}
	if n := r.tokens(); n != 0 {
		r.Errorf("%d tokens are left", n)
	}
	var n corev1.Node
	if err := r.admin.Get(r.Context(), client.ObjectKey{Name: temp}, &n); !apierrors.IsNotFound(err) {
		r.Errorf("the temporary Node is left: %v", err)
	}
	if tainted(r.node(node)) {
		r.Error("the taint is left")
	}
	for _, f := range r.failovers() {
		if f.Spec.OnpremNodeName == node {
			if err := r.admin.Delete(r.Context(), &f); err != nil {
				r.Error(err)
			}
		}
	}
}

// waitForEvents waits until a failover has these events, in this order.
func (r *harness) waitForEvents(f *v1.NodeFailover, want ...string) {
	r.Helper()
	r.eventually("the events", func() error {
		var all eventsv1.EventList
		if err := r.admin.List(r.Context(), &all, client.InNamespace("default")); err != nil {
			return err
		}
		told := map[string]bool{}
		for _, e := range all.Items {
			if e.Regarding.UID == f.UID {
				told[e.Reason] = true
			}
		}
		for _, reason := range want {
			if !told[reason] {
				return fmt.Errorf("nothing of %s in %v", reason, told)
			}
		}
		return nil
	})
}
