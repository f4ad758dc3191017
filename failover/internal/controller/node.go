package controller

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
)

// patchNode merges a patch into a Node, if it has the given UID (or any, if
// that is empty).
func (r *Reconciler) patchNode(ctx context.Context, name string, uid types.UID, patch map[string]any) error {
	if uid != "" {
		meta, _ := patch["metadata"].(map[string]any)
		if meta == nil {
			meta = map[string]any{}
		}
		meta["uid"] = uid
		patch["metadata"] = meta
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	return client.IgnoreNotFound(r.mergePatch(ctx, n, patch))
}

// taint adds our taint and touches no other. Taints are one list to the API
// server: the lock makes sure that it is the list that was read.
func (r *Reconciler) taint(ctx context.Context, a decide.Action) (added bool, err error) {
	err = r.patchTaints(ctx, a, func(n *corev1.Node) error {
		if health(n) == decide.Ready {
			return conflict(n.Name, "it has become Ready") // the cache was behind
		}
		if r.reports(ctx, n) {
			return conflict(n.Name, "its kubelet reports again")
		}
		if !hasTaint(n, TaintKey, corev1.TaintEffectNoExecute) {
			now := metav1.NewTime(r.opts.Clock.Now())
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: TaintKey, Value: TaintValue, Effect: corev1.TaintEffectNoExecute, TimeAdded: &now})
			added = true
		}
		return nil
	})
	return added, err
}

func (r *Reconciler) untaint(ctx context.Context, a decide.Action) error {
	return r.patchTaints(ctx, a, func(n *corev1.Node) error {
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool {
			return t.Key == TaintKey && t.Effect == corev1.TaintEffectNoExecute
		})
		return nil
	})
}

func (r *Reconciler) patchTaints(ctx context.Context, a decide.Action, change func(*corev1.Node) error) error {
	var n corev1.Node
	if err := r.opts.Live.Get(ctx, client.ObjectKey{Name: a.Node}, &n); err != nil {
		return client.IgnoreNotFound(err)
	}
	if n.UID != a.UID {
		return conflict(a.Node, "it is another object")
	}
	old := n.DeepCopy()
	if err := change(&n); err != nil {
		return err
	}
	if len(n.Spec.Taints) == len(old.Spec.Taints) {
		return nil
	}
	return client.IgnoreNotFound(r.opts.Client.Patch(ctx, &n, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})))
}

func conflict(node, why string) error {
	return apierrors.NewConflict(corev1.Resource("nodes"), node, fmt.Errorf("%s", why))
}

// providedNodeIP is the annotation in which a kubelet that waits for its cloud
// keeps its --node-ip (k8s.io/cloud-provider/api).
const providedNodeIP = "alpha.kubernetes.io/provided-node-ip"

// initNode does what a cloud-controller-manager does for a Node that waits for
// its cloud: the addresses first, because Agones takes them when the first pod
// starts, then the provider id, and the taint last.
func (r *Reconciler) initNode(ctx context.Context, name string, vm cloud.Instance) error {
	var n corev1.Node
	if err := r.opts.Live.Get(ctx, client.ObjectKey{Name: name}, &n); err != nil {
		return client.IgnoreNotFound(err)
	}
	old := n.DeepCopy()
	if ip := n.Annotations[providedNodeIP]; ip != "" {
		vm.InternalIP = ip // the kubelet was told to be reached there, in an overlay network for example
	}
	n.Status.Addresses = addresses(n.Status.Addresses, name, vm)
	if err := r.opts.Client.Status().Patch(ctx, &n, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	old = n.DeepCopy()
	if n.Spec.ProviderID == "" {
		n.Spec.ProviderID = vm.ProviderID
	}
	n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == uninitialized })
	return r.opts.Client.Patch(ctx, &n, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
}

func addresses(have []corev1.NodeAddress, name string, vm cloud.Instance) []corev1.NodeAddress {
	want := []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: name}}
	if vm.InternalIP != "" {
		want = append(want, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: vm.InternalIP})
	}
	if vm.ExternalIP != "" {
		want = append(want, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: vm.ExternalIP})
	}
	for _, a := range have {
		if !slices.ContainsFunc(want, func(w corev1.NodeAddress) bool { return w.Type == a.Type }) {
			want = append(want, a)
		}
	}
	return want
}
