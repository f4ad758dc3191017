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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

func TestWhichPodsLeave(t *testing.T) {
	owned := func(apiVersion, kind string, controls bool) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Controller: &controls}}
		}
	}
	daemon := func(tolerations ...corev1.Toleration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			owned("apps/v1", "DaemonSet", true)(p)
			p.Spec.Tolerations = tolerations
		}
	}
	cordon := corev1.Toleration{Key: "node.kubernetes.io/unschedulable", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}
	for name, tt := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"nobody's":              {func(*corev1.Pod) {}, true},
		"a ReplicaSet's":        {owned("apps/v1", "ReplicaSet", true), true},
		"a DaemonSet's":         {daemon(corev1.Toleration{Key: "a"}, cordon), false},
		"one for all taints":    {daemon(corev1.Toleration{Operator: corev1.TolerationOpExists}), false},
		"says that it is one's": {daemon(), true},
		"stays for others":      {daemon(corev1.Toleration{Key: "a", Operator: corev1.TolerationOpExists}), true},
		"of another DaemonSet":  {owned("studio.example/v1", "DaemonSet", true), true},
		"mirror":                {func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }, false},
		"has succeeded":         {func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }, false},
		"has failed":            {func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, false},
		"a drill's probe":       {owned(v1.GroupVersion.String(), v1.Kind, false), false},
		"another failover kind": {owned("studio.example/v1", v1.Kind, false), true},
	} {
		p := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
		tt.change(p)
		if got := leaves(p); got != tt.want {
			t.Errorf("%s: leaves %v", name, got)
		}
	}
}

func TestSeenPod(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "u", CreationTimestamp: metav1.NewTime(noon), Labels: map[string]string{"agones.dev/role": "gameserver"}, DeletionGracePeriodSeconds: new(int64(40))}}
	if got, want := seenPod(p), (decide.Pod{Namespace: "n", Name: "p", UID: "u", Game: true, Created: noon}); got != want {
		t.Errorf("%+v", got)
	}
	p.DeletionTimestamp = new(metav1.Now())
	if got := seenPod(p); !got.Deleting || got.Grace != 40*time.Second {
		t.Errorf("%+v", got)
	}
}

// What the API server answers is decided on; what is no answer is a failure.
func TestEndPod(t *testing.T) {
	gr := corev1.Resource("pods")
	budget := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
	budget.ErrStatus.Details.Causes = []metav1.StatusCause{{Message: "The disruption budget voice needs 1 healthy pods and has 1 currently"}}
	r, _ := fakeCluster(t)
	for name, tt := range map[string]struct {
		err  error
		want string // of the refusal; "error": none, but a failure
	}{
		"goes":        {nil, ""},
		"is gone":     {apierrors.NewNotFound(gr, "p"), ""},
		"another one": {apierrors.NewConflict(gr, "p", errors.New("UID")), ""},
		"budget":      {budget, "n/p: Cannot evict pod as it would violate the pod's disruption budget. The disruption budget voice needs"},
		"two budgets": {apierrors.NewInternalError(errors.New("more than one")), "more than one"},
		"no right":    {apierrors.NewForbidden(gr, "p", errors.New("no role")), "no role"},
		"webhook":     {apierrors.NewGenericServerResponse(http.StatusBadGateway, "create", gr, "p", "down", 0, true), "n/p: "},
		"no answer":   {errors.New("connection refused"), "error"},
	} {
		err := r.endPod(t.Context(), decide.Pod{Namespace: "n", Name: "p"}, func(context.Context) error { return tt.err })
		refused, ok := errors.AsType[refusal](err)
		switch {
		case tt.want == "" && err == nil, tt.want == "error" && err != nil && !ok:
		case tt.want == "" || tt.want == "error" || !ok || !strings.Contains(string(refused), tt.want):
			t.Errorf("%s: %v", name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, ok := errors.AsType[refusal](r.endPod(ended, decide.Pod{}, func(ctx context.Context) error { return ctx.Err() })); !ok {
		t.Error("a call that took too long is a failure of the run")
	}
}

// A pod of the name that was seen, and of another UID, stays.
func TestEvictOnlyTheOneSeen(t *testing.T) {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p", UID: "other"}}
	r, c := fakeCluster(t, p)
	if err := r.deletePod(t.Context(), decide.Pod{Namespace: "n", Name: "p", UID: "seen"}); err != nil {
		t.Error(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
		t.Error(err)
	}
	if err := r.deletePod(t.Context(), decide.Pod{Namespace: "n", Name: "p", UID: "other"}); err != nil {
		t.Error(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(p), p); !apierrors.IsNotFound(err) {
		t.Errorf("it stays: %v", err)
	}
}
