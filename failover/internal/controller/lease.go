package controller

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// defaultLease is how long a node's lease lasts, if it does not say.
const defaultLease = 40 * time.Second

// renewal is a node's lease as it was last seen to change.
type renewal struct {
	told time.Time // what the node wrote, by its own clock, which is compared with nothing else
	seen time.Time
}

// reports reports whether a node is not Ready by its kubelet's own word, and that
// goes on renewing its lease. Where the lease can't be read, it is taken to: the
// taint ends games.
func (r *Reconciler) reports(ctx context.Context, n *corev1.Node) bool {
	if c := readyCondition(n); c == nil || c.Status != corev1.ConditionFalse || n.DeletionTimestamp != nil {
		return false
	}
	var l coordinationv1.Lease
	err := r.opts.Live.Get(ctx, client.ObjectKey{Namespace: corev1.NamespaceNodeLease, Name: n.Name}, &l)
	switch {
	case apierrors.IsNotFound(err):
		return false
	case err != nil:
		if _, before := r.unread.Swap(n.Name, true); !before {
			r.opts.Log.Warn("the lease of a node that reports that it is not Ready can't be read: it counts as alive", "node", n.Name, "error", err)
		}
		return true
	case l.Spec.RenewTime == nil:
		return false
	}
	r.unread.Delete(n.Name)
	lasts := defaultLease
	if s := l.Spec.LeaseDurationSeconds; s != nil {
		lasts = time.Duration(*s) * time.Second
	}
	now := r.opts.Clock.Now()
	v, _ := r.renewals.Load(n.Name)
	last, ok := v.(renewal)
	if !ok || !last.told.Equal(l.Spec.RenewTime.Time) {
		last = renewal{told: l.Spec.RenewTime.Time, seen: now}
		r.renewals.Store(n.Name, last)
	}
	return now.Sub(last.seen) < lasts
}
