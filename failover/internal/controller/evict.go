package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
	"torikumi/pkg/agones"
)

// refusal is why the API server lets a pod not go: an answer that is decided on, and
// no failure of the run.
type refusal string

func (r refusal) Error() string { return string(r) }

// observePods lists what would end with the temporary node.
func (r *Reconciler) observePods(ctx context.Context, s *decide.State) error {
	var all corev1.PodList
	if err := r.opts.Live.List(ctx, &all, client.MatchingFields{"spec.nodeName": s.Failover.Status.GCPVMName}); err != nil {
		return fmt.Errorf("list pods on %q: %w", s.Failover.Status.GCPVMName, err)
	}
	s.Pods, s.PodsSeen = nil, true
	for i := range all.Items {
		if p := &all.Items[i]; leaves(p) {
			s.Pods = append(s.Pods, seenPod(p))
		}
	}
	return nil
}

// leaves reports whether a pod has to go before its node does. Those of a DaemonSet
// would be made again at once, as Kubernetes lets all of them tolerate the cordon; a
// mirror pod is the kubelet's own, and a drill takes its probe pod away itself.
func leaves(p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return false
	}
	if _, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return false
	}
	owner := metav1.GetControllerOf(p)
	daemon := owner != nil && owner.Kind == "DaemonSet" && strings.HasPrefix(owner.APIVersion, "apps/") && slices.ContainsFunc(p.Spec.Tolerations, toleratesCordon)
	probe := len(p.OwnerReferences) == 1 && p.OwnerReferences[0].Kind == v1.Kind && p.OwnerReferences[0].APIVersion == v1.GroupVersion.String()
	return !daemon && !probe
}

func toleratesCordon(t corev1.Toleration) bool {
	return (t.Key == corev1.TaintNodeUnschedulable || t.Key == "") && (t.Effect == corev1.TaintEffectNoSchedule || t.Effect == "")
}

func seenPod(p *corev1.Pod) decide.Pod {
	seen := decide.Pod{Namespace: p.Namespace, Name: p.Name, UID: p.UID, Game: p.Labels[agones.RoleLabel] == agones.RoleGameServer, Deleting: p.DeletionTimestamp != nil, Created: p.CreationTimestamp.Time}
	if s := p.DeletionGracePeriodSeconds; s != nil && seen.Deleting {
		seen.Grace = time.Duration(*s) * time.Second
	}
	return seen
}

// evictPod asks the API server to delete a pod, if its disruption budget allows it.
func (r *Reconciler) evictPod(ctx context.Context, pod decide.Pod) error {
	meta := metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}
	return r.endPod(ctx, pod, func(ctx context.Context) error {
		return r.opts.Client.SubResource("eviction").Create(ctx, &corev1.Pod{ObjectMeta: meta}, &policyv1.Eviction{
			ObjectMeta: meta, DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}},
		})
	})
}

// deletePod deletes a pod, which has its grace to end.
func (r *Reconciler) deletePod(ctx context.Context, pod decide.Pod) error {
	return r.endPod(ctx, pod, func(ctx context.Context) error {
		return r.opts.Client.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}, client.Preconditions{UID: &pod.UID})
	})
}

// endPod tells answers from failures. The client waits for what the API server asks it
// to wait for; nobody else's pod waits for that.
func (r *Reconciler) endPod(ctx context.Context, pod decide.Pod, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	err := call(ctx)
	status := apierrors.APIStatus(nil)
	switch {
	case err == nil:
		r.opts.Log.Info("pod ends with its node's drain", "pod", pod.Namespace+"/"+pod.Name)
		return nil
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // it is gone, or another one
		return nil
	case errors.As(err, &status):
		return refusal(fmt.Sprintf("%s/%s: %s", pod.Namespace, pod.Name, why(status)))
	case ctx.Err() != nil:
		return refusal(fmt.Sprintf("%s/%s: no answer within %s", pod.Namespace, pod.Name, lookTimeout))
	}
	return err
}

// why is what the API server says, with the budget that it names.
func why(s apierrors.APIStatus) string {
	text := s.Status().Message
	if d := s.Status().Details; d != nil {
		for _, c := range d.Causes {
			if c.Message != "" && !strings.Contains(text, c.Message) {
				text += " " + c.Message
			}
		}
	}
	return text
}
