package controller

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
	"torikumi/pkg/contract"
)

func isReady(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue }

// A failover that is deleted while its node is down leaves the node's servers
// hidden for the next one. If the node is Ready before there is a next one, they
// are shown all the same.
func TestHiddenServersAreShownWithoutFailover(t *testing.T) {
	f := aFailover(func(f *v1.NodeFailover) { f.Status.Recorded = &v1.RecordedNode{UID: "uid-n"} })
	n, g := aNode("worker-1", nil), aServer("gs", "worker-1", "Ready")
	r, c := fakeCluster(t, n, g, f)
	r.opts.Settings = &decide.Settings{Grace: time.Minute, StormNodes: 3, StormShare: 1, MaxFailovers: 1, MaxVMs: 1, Zones: []string{"zone-a"}, MachineTypes: []decide.MachineType{{Name: "m"}}}
	w := &Watcher{opts: r.opts}
	req := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f)}
	label := func() string {
		var got gameserver.GameServer
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(g), &got); err != nil {
			t.Fatal(err)
		}
		return got.Labels[contract.AllocatableLabel]
	}
	for range 2 {
		if _, err := r.Reconcile(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if label() != "" {
		t.Fatal("it is not hidden")
	}
	if err := c.Delete(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := r.Reconcile(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(f), f); err == nil {
		t.Fatalf("it is still there: %s %v", f.Status.Phase, f.Finalizers)
	}
	n = getNode(t, c, "worker-1")
	isReady(n)
	if err := c.Status().Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Reconcile(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if label() != "true" {
		t.Error("the node is Ready, it has no failover, and its server stays hidden")
	}
}

// What the studio has set the label to while the node was down is not written over.
func TestShowLeavesTheStudiosValue(t *testing.T) {
	f := aFailover(func(f *v1.NodeFailover) { f.Status.Recorded = &v1.RecordedNode{UID: "uid-n"} })
	g := aServer("gs", "worker-1", "Ready")
	g.Labels[contract.AllocatableLabel], g.Annotations = "false", map[string]string{gameserver.HiddenAnnotation: "true"}
	r, c := fakeCluster(t, aNode("worker-1", isReady), g, f)
	for range 3 {
		if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f)}); err != nil {
			t.Fatal(err)
		}
	}
	var got gameserver.GameServer
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(g), &got); err != nil {
		t.Fatal(err)
	}
	if _, hidden := got.Annotations[gameserver.HiddenAnnotation]; got.Labels[contract.AllocatableLabel] != "false" || hidden {
		t.Errorf("%v %v", got.Labels, got.Annotations)
	}
}
