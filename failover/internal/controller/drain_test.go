package controller

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
)

// The decision that begins a drain takes the first server away, and knows by then
// how many run: without that number no server would wait for a replacement.
func TestDrainKnowsWhatRuns(t *testing.T) {
	n := aNode("worker-1", func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue })
	vm := aNode("vm", func(n *corev1.Node) {
		n.UID, n.Labels = "uid-vm", nil
		n.Status.Conditions[0].Status = corev1.ConditionTrue
	})
	f := aFailover(func(f *v1.NodeFailover) {
		f.Status = v1.NodeFailoverStatus{
			Phase: v1.Recovering, GCPVMName: "vm", FailedAt: v1.At(noon.Add(-time.Hour)), ActiveAt: v1.At(noon.Add(-time.Hour)), RecoveryDetectedAt: v1.At(noon.Add(-time.Minute)),
			Recorded: &v1.RecordedNode{UID: "uid-n"}, VM: &v1.VMStatus{Zone: "zone-a", MachineType: "m", StartedAt: *v1.At(noon.Add(-time.Hour))},
		}
	})
	objects := []client.Object{n, vm, f}
	for _, name := range []string{"a", "b", "c"} {
		objects = append(objects, aServer(name, "vm", "Ready"))
	}
	r, c := fakeCluster(t, objects...)
	r.opts.Settings = &decide.Settings{WatchedKey: "node-type", WatchedValue: "onpremise", Grace: time.Second, Poll: time.Second, Watch: time.Minute, MaxWait: time.Hour, ReturnTimeout: time.Minute, Settle: time.Second, MachineTypes: []decide.MachineType{{Name: "m"}}, Zones: []string{"zone-a"}}
	r.opts.APIHealthySince = func() time.Time { return noon.Add(-time.Hour) }
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f)}); err != nil {
		t.Fatal(err)
	}
	var got v1.NodeFailover
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(f), &got); err != nil {
		t.Fatal(err)
	}
	var left gameserver.GameServerList
	if err := c.List(t.Context(), &left); err != nil {
		t.Fatal(err)
	}
	if h := got.Status.Handover; got.Status.Phase != v1.Draining || h == nil || h.Running != 3 || len(left.Items) != 2 {
		t.Errorf("%s, handover %+v, %d servers left", got.Status.Phase, h, len(left.Items))
	}
}

// unlisted is a cluster whose pods can't be listed.
type unlisted struct{ client.Reader }

func (c unlisted) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if _, ok := list.(*corev1.PodList); ok {
		return errors.New("no pods today")
	}
	return c.Reader.List(ctx, list, opts...)
}

// A list of pods that fails keeps nothing waiting that needs none: servers of a dead
// node are hidden, those of a temporary node that is drained leave it.
func TestPodsCannotBeListed(t *testing.T) {
	dead := aFailover(nil)
	drained := aFailover(func(f *v1.NodeFailover) {
		f.Status = v1.NodeFailoverStatus{
			Phase: v1.Draining, GCPVMName: "vm", FailedAt: v1.At(noon.Add(-time.Hour)), ActiveAt: v1.At(noon.Add(-time.Hour)), DrainStartedAt: v1.At(noon.Add(-time.Minute)), RecoveryDetectedAt: v1.At(noon.Add(-time.Minute)),
			Recorded: &v1.RecordedNode{UID: "uid-n"}, VM: &v1.VMStatus{Zone: "zone-a", MachineType: "m", StartedAt: *v1.At(noon.Add(-time.Hour))},
		}
	})
	for name, tt := range map[string]struct {
		failover *v1.NodeFailover
		ready    corev1.ConditionStatus
		fails    bool // the run does, and is tried again
	}{
		"dead": {dead, corev1.ConditionUnknown, false}, "drained": {drained, corev1.ConditionTrue, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := aNode("worker-1", func(n *corev1.Node) { n.Status.Conditions[0].Status = tt.ready })
			vm := aNode("vm", func(n *corev1.Node) {
				n.UID, n.Labels, n.Spec.Unschedulable = "uid-vm", nil, true
				n.Status.Conditions[0].Status = corev1.ConditionTrue
			})
			on := map[string]string{"dead": "worker-1", "drained": "vm"}[name]
			r, c := fakeCluster(t, n, vm, tt.failover, aServer("played", on, "Allocated"))
			r.opts.Live = unlisted{c}
			r.opts.Settings = &decide.Settings{Grace: time.Minute, Poll: time.Second, Watch: time.Minute, MaxWait: time.Hour, ReturnTimeout: time.Minute, Settle: time.Second, MachineTypes: []decide.MachineType{{Name: "m"}}, Zones: []string{"zone-a"}}
			r.opts.APIHealthySince = func() time.Time { return noon.Add(-time.Hour) }
			_, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(tt.failover)})
			if failed := err != nil && strings.Contains(err.Error(), "no pods today"); failed != tt.fails {
				t.Errorf("the run ends with %v", err)
			}
			var g gameserver.GameServer
			if err := c.Get(t.Context(), client.ObjectKey{Namespace: "games", Name: "played"}, &g); err != nil {
				t.Fatal(err)
			}
			if g.Annotations[gameserver.HiddenAnnotation] == "" {
				t.Error("the server in use can be allocated again")
			}
		})
	}
}
