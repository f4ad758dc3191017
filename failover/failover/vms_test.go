package failover_test

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/pkg/agones"
)

// pods makes game servers' pods on a node.
func (r *harness) pods(node string, n int, cpu string) {
	r.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: "default"}}
	if err := r.admin.Create(r.Context(), account); err != nil && !apierrors.IsAlreadyExists(err) {
		r.Fatal(err)
	}
	for i := range n {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: fmt.Sprintf("%s-%d", node, i), Labels: map[string]string{agones.RoleLabel: agones.RoleGameServer}},
			Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "game", Image: "game", Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("1Gi")},
			}}}},
		}
		if err := r.admin.Create(r.Context(), p); err != nil {
			r.Fatal(err)
		}
		r.Cleanup(func() { // no kubelet ends it
			_ = r.admin.Delete(context.Background(), p, client.GracePeriodSeconds(0))
		})
	}
}

// second is the further failover of a node, once it is in that phase.
func (r *harness) second(node string, want v1.Phase) *v1.NodeFailover {
	r.Helper()
	var second *v1.NodeFailover
	r.eventually(fmt.Sprintf("the second failover of %s becomes %s", node, want), func() error {
		all := r.failovers()
		second = nil
		for i := range all {
			if f := &all[i]; f.Spec.OnpremNodeName == node && f.Spec.ParentFailover != "" {
				if second != nil {
					r.Errorf("a third failover: %s", f.Name)
				}
				second = f
			}
		}
		if second == nil || second.Status.Phase != want {
			return fmt.Errorf("it is %+v", second)
		}
		return nil
	})
	return second
}

// TestTwoVMs: three game servers of 1.5 CPUs ran on a node, and the largest
// VM has room for two. The same way as TestLifecycle, with two VMs.
func TestTwoVMs(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.cfg.Machines = []string{"small:2:8Gi:3600", "large:4:16Gi:7200"} // one and two a second
	r.boots(true)
	r.onprem("worker-4")
	r.pods("worker-4", 3, "1500m")
	r.controller(r.kube)
	r.controller(r.kube)

	r.unplug("worker-4")
	second := r.second("worker-4", v1.Active)
	first := r.phase("worker-4", v1.Active)
	if a, b := first.Status.VM.MachineType, second.Status.VM.MachineType; a != "large" || b != "small" || second.Spec.ParentFailover != first.Name {
		t.Errorf("VMs are %s and %s, the parent of the second is %s", a, b, second.Spec.ParentFailover)
	}
	if s := second.Spec.SharedLoad; s.Number != 2 || s.GameServers != 1 || s.CPU.String() != "1500m" || s.Memory.String() != "1Gi" {
		t.Errorf("the second's share: %+v", s)
	}
	r.eventually("the dead node's pods are deleted", func() error {
		var all corev1.PodList
		if err := r.admin.List(t.Context(), &all, client.InNamespace(r.games)); err != nil {
			return err
		}
		for _, p := range all.Items {
			if p.DeletionTimestamp == nil {
				return fmt.Errorf("%s stays", p.Name)
			}
		}
		return nil
	})
	if n := r.cloud.Live(); n != 2 {
		t.Errorf("%d VMs", n)
	}
	r.status(first, "worker-4 #1", "worker-4 #2")

	r.server("game", second.Status.GCPVMName, "Allocated")
	r.server("spare", first.Status.GCPVMName, "Ready")
	r.onprem("worker-4") // plugged in again
	r.second("worker-4", v1.Draining)
	first = r.phase("worker-4", v1.Completed)
	if first.Status.Spent.AsApproximateFloat64() < 2 {
		t.Errorf("the first VM has cost %s", first.Status.Spent.String())
	}
	if n := r.cloud.Live(); n != 1 {
		t.Errorf("%d VMs under a running game", n)
	}
	g, err := r.getServer("game")
	if err != nil || g.DeletionTimestamp != nil {
		t.Fatalf("the game has been ended: %v", err)
	}
	if err := r.admin.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	r.ends("worker-4", second.Status.GCPVMName)
	if n := r.cloud.Peak(); n != 2 {
		t.Errorf("%d VMs at one time", n)
	}
	r.waitForEvents(first, "SeveralVMs", "Completed")
	r.waitForEvents(second, "Admitted", "CreatingVM", "VMCreated", "NodeJoined", "Recovering", "Draining", "Drained", "Completed")
}
