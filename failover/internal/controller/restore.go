package controller

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// maxAnnotation is the longest annotation that is recorded: what is longer is some
// program's state and not an operator's word.
const maxAnnotation = 1 << 10

// maxRecord is the longest record with annotations: it stands in an annotation
// itself, and all of an object's have 256 KiB.
const maxRecord = 128 << 10

// encodeRecord leaves the annotations out if they are too many: that the failover
// is made matters more.
func encodeRecord(r decide.Record) ([]byte, error) {
	data, err := json.Marshal(r)
	if len(data) > maxRecord {
		r.Annotations = nil
		return json.Marshal(r)
	}
	return data, err
}

// ownAnnotations are those that somebody has set on a Node.
func ownAnnotations(all map[string]string) map[string]string {
	own := maps.Clone(all)
	maps.DeleteFunc(own, func(k, v string) bool {
		return decide.WellKnown(k) || k == v1.PausedAnnotation || len(v) > maxAnnotation
	})
	return own
}

// ownTaints are those that somebody has set on a Node.
func ownTaints(all []corev1.Taint) []corev1.Taint {
	var own []corev1.Taint
	for _, t := range all {
		if !decide.WellKnown(t.Key) {
			own = append(own, corev1.Taint{Key: t.Key, Value: t.Value, Effect: t.Effect})
		}
	}
	return own
}

// restore gives a Node that was deleted and has come back what it lacks of what it
// had. What it has, it keeps.
func (r *Reconciler) restore(ctx context.Context, s *decide.State, a decide.Action) (result, error) {
	var n corev1.Node
	if err := r.opts.Live.Get(ctx, client.ObjectKey{Name: a.Node}, &n); err != nil {
		return acted, client.IgnoreNotFound(err)
	}
	if n.UID != a.UID {
		return acted, conflict(a.Node, "it is another object")
	}
	old, was := n.DeepCopy(), s.Failover.Status.Recorded
	for k, v := range was.Annotations {
		if _, ok := n.Annotations[k]; !ok {
			if n.Annotations == nil {
				n.Annotations = make(map[string]string)
			}
			n.Annotations[k] = v
		}
	}
	for _, t := range was.Taints {
		if !slices.ContainsFunc(n.Spec.Taints, func(o corev1.Taint) bool { return o.MatchTaint(&t) }) {
			n.Spec.Taints = append(n.Spec.Taints, t)
		}
	}
	n.Spec.Unschedulable = n.Spec.Unschedulable || was.Unschedulable
	if err := r.opts.Client.Patch(ctx, &n, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})); err != nil {
		return acted, client.IgnoreNotFound(err)
	}
	s.Restored = true
	return learnt, nil
}
