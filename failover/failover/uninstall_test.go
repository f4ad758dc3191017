package failover_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/controlplane"
)

// merge patches an object as kubectl annotate, taint and patch do.
func (r *harness) merge(o client.Object, body string) {
	r.Helper()
	if err := r.admin.Patch(r.Context(), o, client.RawPatch(types.MergePatchType, []byte(body))); err != nil {
		r.Fatal(err)
	}
}

// withoutCRD deletes the CustomResourceDefinition, and waits until it is gone: it
// stays for as long as an object of it does.
func (r *harness) withoutCRD() {
	r.Helper()
	crd := new(unstructured.Unstructured)
	crd.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	crd.SetName("nodefailovers." + v1.GroupVersion.Group)
	if err := r.admin.Delete(r.Context(), crd.DeepCopy()); err != nil {
		r.Fatal(err)
	}
	r.eventually("the CustomResourceDefinition is gone", func() error {
		err := r.admin.Get(r.Context(), client.ObjectKeyFromObject(crd), crd)
		if apierrors.IsNotFound(err) {
			return nil
		}
		conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
		return fmt.Errorf("it is there: %v %v", conditions, err)
	})
}

// TestUninstall is the path of docs/failover-setup.md while the controller runs: nodes
// are paused, failovers deleted, and once they are gone the rest goes without a
// finalizer that hangs.
func TestUninstall(t *testing.T) {
	r := newHarness(t, controlplane.Start(t, controlplane.Options{ControllerManager: true, NodeMonitorGrace: monitorGrace}))
	r.boots(true)
	r.onprem("worker-1")
	stop := r.controller(r.kube)
	r.unplug("worker-1")
	f := r.phase("worker-1", v1.Active)
	r.server("spare", f.Status.GCPVMName, "Ready")

	r.merge(r.node("worker-1"), `{"metadata":{"annotations":{"failover.operator.io/paused":"true"}}}`)
	if err := r.admin.DeleteAllOf(t.Context(), &v1.NodeFailover{}); err != nil {
		t.Fatal(err)
	}
	r.eventually("no failover is left", func() error { return none(len(r.failovers()), "failovers") })
	if r.cloud.Live() != 0 || r.tokens() != 0 || tainted(r.node("worker-1")) {
		t.Errorf("left: %d VMs, %d tokens, the node is tainted: %v", r.cloud.Live(), r.tokens(), tainted(r.node("worker-1")))
	}
	stop()
	r.withoutCRD()
}

// TestUninstallWithoutController: the controller is gone already, and with it who
// would have removed the finalizers.
func TestUninstallWithoutController(t *testing.T) {
	r := newHarness(t, controlplane.Start(t, controlplane.Options{ControllerManager: true, NodeMonitorGrace: monitorGrace}))
	r.boots(true)
	r.onprem("worker-1")
	stop := r.controller(r.kube)
	r.unplug("worker-1")
	r.phase("worker-1", v1.Active)
	stop()
	if err := r.admin.DeleteAllOf(t.Context(), &v1.NodeFailover{}); err != nil {
		t.Fatal(err)
	}
	if n := len(r.failovers()); n != 1 {
		t.Fatalf("%d failovers, want the one that its finalizer holds", n)
	}
	f := r.failovers()[0]
	r.merge(&f, `{"metadata":{"finalizers":null}}`)
	r.withoutCRD()
}

// TestEarlierOperator: a cluster in the midst of the earlier operator's failovers gets
// this one: its objects are read, its VM and its taint are left to who made them, and
// one that is under way begins anew.
func TestEarlierOperator(t *testing.T) {
	c := controlplane.Start(t, controlplane.Options{ControllerManager: true, NodeMonitorGrace: monitorGrace})
	bare, err := client.New(c.Config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.InstallCRDs(t, "testdata/earlier")
	made := func(name, node, phase, vm string) error {
		f := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "failover.operator.io/v1", "kind": "NodeFailover", "metadata": map[string]any{"name": name},
			"spec": map[string]any{"onpremNodeName": node, "targetNodeLabels": map[string]any{"hardware": "game-runner"}},
		}}
		if err := bare.Create(t.Context(), f); err != nil {
			return err
		}
		f.Object["status"] = map[string]any{
			"phase": phase, "gcpVmName": vm, "failedAt": "2026-01-02T03:04:05Z", "vmCreationAttempts": int64(1),
			"conditions": []any{map[string]any{"type": "VMCreated", "status": "True", "lastTransitionTime": "2026-01-02T03:04:05Z"}},
		}
		return bare.Status().Update(t.Context(), f)
	}
	if err := made("failover-worker-1", "worker-1", "Active", "gcp-temp-worker-1-old"); err != nil {
		t.Fatal(err)
	}
	if err := made("failover-worker-2", "worker-2", "Completed", "gcp-temp-worker-2-old"); err != nil {
		t.Fatal(err)
	}

	r := newHarness(t, c) // which applies our CRD over it
	r.boots(true)
	r.onprem("worker-1")
	old := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "gcp-temp-worker-1-old", Labels: map[string]string{"node-type": "gcp-temporary", "node-location": "gcp"}}}
	r.setNode(old.Name, corev1.ConditionTrue, old.Labels, "gce://studio-games/europe-west4-a/"+old.Name)
	r.merge(r.node("worker-1"), `{"spec":{"taints":[{"key":"node.kubernetes.io/out-of-service","value":"nodeshutdown","effect":"NoExecute"}]}}`)
	r.unplug("worker-1")
	r.eventually("the node is down", func() error {
		if controlplane.IsReady(r.node("worker-1")) {
			return fmt.Errorf("it is Ready")
		}
		return nil
	})
	r.controller(r.kube)
	var f v1.NodeFailover
	r.eventually("the failover that was under way has a VM of this controller", func() error {
		if err := r.admin.Get(t.Context(), client.ObjectKey{Name: "failover-worker-1"}, &f); err != nil {
			return err
		}
		if f.Status.Phase != v1.Active || f.Status.VM == nil || f.Status.GCPVMName == old.Name {
			return fmt.Errorf("it is %s with %s", f.Status.Phase, f.Status.GCPVMName)
		}
		return nil
	})
	r.waitForEvents(&f, "NoVM", "NodeJoined")
	if n := r.cloud.Live(); n != 1 {
		t.Errorf("%d VMs", n)
	}
	if r.node(old.Name).Spec.Unschedulable {
		t.Error("the earlier operator's Node is touched")
	}
	if !tainted(r.node("worker-1")) {
		t.Error("its taint is gone")
	}
	var over v1.NodeFailover
	if err := r.admin.Get(t.Context(), client.ObjectKey{Name: "failover-worker-2"}, &over); err != nil || over.Status.Phase != v1.Completed {
		t.Errorf("history: %s %v", over.Status.Phase, err)
	}
	// The node is back: the operator removes the taint that nobody else may, and all ends.
	r.onprem("worker-1")
	r.merge(r.node("worker-1"), `{"spec":{"taints":null}}`)
	r.ends("worker-1", f.Status.GCPVMName)
}
