package controller

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
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
	r.opts.Settings = &decide.Settings{WatchedKey: "node-type", WatchedValue: "onpremise", Grace: time.Minute, StormNodes: 3, StormShare: 1, MaxFailovers: 1, MaxVMs: 1, Zones: []string{"zone-a"}, MachineTypes: []decide.MachineType{{Name: "m"}}}
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

// What the API server says where a policy refuses a Node, and where a webhook does: that
// is a bad request without a reason.
var (
	byPolicy  = apierrors.NewForbidden(corev1.Resource("nodes"), "worker-1", errors.New("a policy says no"))
	byWebhook = &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: http.StatusBadRequest, Message: `admission webhook "studio.example.com" denied the request: a policy says no`}}
)

// refuseNodes lets no patch of a Node through.
func refuseNodes(r *Reconciler, c *tracked, why error) {
	r.opts.Client = interceptor.NewClient(c, interceptor.Funcs{Patch: func(ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
		if _, node := o.(*corev1.Node); node {
			return why
		}
		return w.Patch(ctx, o, p, opts...)
	}})
}

// A taint that the API server does not let the controller take away keeps the servers
// of a node that is Ready again from nobody.
func TestRefusedUntaintHidesNoServer(t *testing.T) {
	f := aFailover(func(f *v1.NodeFailover) {
		since := v1.At(noon.Add(-time.Hour))
		f.Status = v1.NodeFailoverStatus{
			Phase: v1.Active, Recorded: &v1.RecordedNode{UID: "uid-n"}, FailedAt: since, NotReadySince: since, ActiveAt: since,
			GCPVMName: "vm", VM: &v1.VMStatus{Zone: "zone-a", StartedAt: *since, SeenAt: since}, Taint: v1.TaintSet,
		}
	})
	g := aServer("gs", "worker-1", "Ready")
	g.Labels, g.Annotations = nil, map[string]string{gameserver.HiddenAnnotation: "true"}
	r, c := fakeCluster(t, aNode("worker-1", func(n *corev1.Node) {
		isReady(n)
		n.Spec.Taints = []corev1.Taint{{Key: TaintKey, Value: TaintValue, Effect: corev1.TaintEffectNoExecute}}
	}), g, f)
	refuseNodes(r, c, byPolicy)
	if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f)}); !apierrors.IsForbidden(err) {
		t.Errorf("it is not told: %v", err)
	}
	var got gameserver.GameServer
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(g), &got); err != nil || got.Labels[contract.AllocatableLabel] != "true" {
		t.Errorf("%v %v", err, got.Labels)
	}
}

// TestRefusedNode: what the API server refuses to do with a node is a condition, and
// not in the log alone.
func TestRefusedNode(t *testing.T) {
	ready := func(n *corev1.Node) {
		isReady(n)
		n.Spec.Taints = []corev1.Taint{{Key: TaintKey, Effect: corev1.TaintEffectNoExecute}}
	}
	for name, tt := range map[string]struct {
		node      func(*corev1.Node)
		status    func(*v1.NodeFailoverStatus)
		kind      string
		reason    string
		condition metav1.ConditionStatus
	}{
		"taint":   {nil, func(st *v1.NodeFailoverStatus) {}, v1.TaintApplied, "Refused", metav1.ConditionFalse},
		"untaint": {ready, func(st *v1.NodeFailoverStatus) { st.Taint = v1.TaintSet }, v1.TaintApplied, "Refused", metav1.ConditionTrue},
		"label": {isReady, func(st *v1.NodeFailoverStatus) {
			st.Phase, st.Recorded.UID, st.Recorded.Labels = v1.Recovering, "earlier", map[string]string{"hardware": "game-runner"}
		}, v1.OnPremRecovered, "NotRestored", metav1.ConditionFalse},
		"annotate": {isReady, func(st *v1.NodeFailoverStatus) {
			st.Phase, st.Recorded.UID, st.Recorded.Annotations = v1.Recovering, "earlier", map[string]string{"studio/rack": "7"}
		}, v1.OnPremRecovered, "NotRestored", metav1.ConditionFalse},
	} {
		for who, why := range map[string]error{"by a policy": byPolicy, "by a webhook": byWebhook} {
			t.Run(name+" "+who, func(t *testing.T) {
				f := aFailover(func(f *v1.NodeFailover) {
					since := v1.At(noon.Add(-time.Hour))
					f.Status = v1.NodeFailoverStatus{
						Phase: v1.Active, Recorded: &v1.RecordedNode{UID: "uid-n"}, FailedAt: since, NotReadySince: since, ActiveAt: since,
						GCPVMName: "vm", VM: &v1.VMStatus{Zone: "zone-a", StartedAt: *since, SeenAt: since},
					}
					tt.status(&f.Status)
				})
				temp := aNode("vm", func(n *corev1.Node) { isReady(n); n.Labels = nil })
				r, c := fakeCluster(t, aNode("worker-1", tt.node), temp, f)
				set := r.opts.Settings
				set.StormNodes, set.StormShare, set.Lifetime, set.ReplaceLead, set.JoinTimeout, set.MaxWait = 3, 1, 24*time.Hour, time.Hour, time.Minute, time.Hour
				r.opts.APIHealthySince = func() time.Time { return noon.Add(-time.Hour) }
				r.looks.Store(f.UID, look{at: noon, name: "vm", vm: decide.VM{Presence: decide.VMPresent, Instance: cloud.Instance{State: cloud.Running}}})
				refuseNodes(r, c, why)
				for range 2 { // it is asked for again
					if _, err := r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f)}); !errors.Is(err, why) {
						t.Errorf("it is not told: %v", err)
					}
				}
				if err := c.Get(t.Context(), client.ObjectKeyFromObject(f), f); err != nil {
					t.Fatal(err)
				}
				got := meta.FindStatusCondition(f.Status.Conditions, tt.kind)
				if got == nil || got.Status != tt.condition || got.Reason != tt.reason || !strings.Contains(got.Message, "a policy says no") {
					t.Errorf("%+v", got)
				}
			})
		}
	}
}
