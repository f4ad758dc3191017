package failover_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/pkg/agones"
)

// pod makes a pod that runs on a node.
func (r *harness) pod(name, node string, change func(*corev1.Pod)) {
	r.Helper()
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: name, Labels: map[string]string{"pod": name}, Annotations: map[string]string{}},
		Spec:       corev1.PodSpec{NodeName: node, AutomountServiceAccountToken: new(false), Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
	change(p)
	if err := r.admin.Create(r.Context(), p); err != nil {
		r.Fatal(err)
	}
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if err := r.admin.Status().Update(r.Context(), p); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.admin.Delete(context.Background(), p, client.GracePeriodSeconds(0)) })
}

// budget makes a disruption budget of one pod. No controller manager runs: that it
// allows one to go, or none, is what the test says.
func (r *harness) budget(name, pod string, allows int32) {
	r.Helper()
	b := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: name},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"pod": pod}}},
	}
	err := r.admin.Create(r.Context(), b)
	if apierrors.IsAlreadyExists(err) {
		err = r.admin.Get(r.Context(), client.ObjectKeyFromObject(b), b)
	} else {
		r.Cleanup(func() { _ = r.admin.Delete(context.Background(), b) })
	}
	if err != nil {
		r.Fatal(err)
	}
	b.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, DisruptionsAllowed: allows, CurrentHealthy: 1, DesiredHealthy: 1, ExpectedPods: 1}
	if err := r.admin.Status().Update(r.Context(), b); err != nil {
		r.Fatal(err)
	}
}

// ending are the pods that have been deleted, of those that are left.
func (r *harness) ending() (ending, left []string) {
	var all corev1.PodList
	if err := r.admin.List(r.Context(), &all, client.InNamespace(r.games)); err != nil {
		r.Fatal(err)
	}
	for _, p := range all.Items {
		left = append(left, p.Name)
		if p.DeletionTimestamp != nil {
			ending = append(ending, p.Name)
		}
	}
	return ending, left
}

// kubelet ends a pod that was deleted.
func (r *harness) kubelet(name string) {
	r.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: name}}
	if err := r.admin.Delete(r.Context(), p, client.GracePeriodSeconds(0)); err != nil {
		r.Error(err)
	}
}

// evicted waits until exactly these pods have been deleted, and the condition says so.
func (r *harness) evicted(reason string, says []string, want ...string) {
	r.Helper()
	r.eventually(fmt.Sprintf("%s, and deleted are %v", reason, want), func() error {
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(f.Status.Conditions, v1.PodsEvicted)
		ending, _ := r.ending()
		if c == nil || c.Reason != reason || !slices.Equal(ending, want) {
			return fmt.Errorf("%s: deleted are %v; %+v", f.Status.Phase, ending, c)
		}
		for _, text := range says {
			if !strings.Contains(c.Message, text) {
				return fmt.Errorf("the condition does not say %q: %s", text, c.Message)
			}
		}
		return nil
	})
}

// evictsPods drains a temporary node of whatever runs there: by eviction, as their
// budgets allow, and in the end without them.
func evictsPods(r *harness) {
	r.cfg.EvictTimeout = 3 * time.Second
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: "default"}}
	if err := r.admin.Create(r.Context(), account); err != nil && !apierrors.IsAlreadyExists(err) {
		r.Fatal(err)
	}
	stop := r.controller(r.kube)
	r.fails("worker-1")
	f := r.phase("worker-1", v1.Active)
	vm := f.Status.GCPVMName
	stop() // nothing is drained before all is there
	r.server("game", vm, "Allocated")
	r.pod("free", vm, func(*corev1.Pod) {})
	r.pod("held", vm, func(*corev1.Pod) {})
	r.pod("torn", vm, func(*corev1.Pod) {})
	r.pod("game-pod", vm, func(p *corev1.Pod) { p.Labels[agones.RoleLabel] = agones.RoleGameServer })
	r.pod("mirror", vm, func(p *corev1.Pod) {
		p.Annotations[corev1.MirrorPodAnnotationKey] = "x"
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: vm, UID: r.node(vm).UID, Controller: new(true)}}
	})
	r.pod("daemon", vm, func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "network", UID: types.UID("1-2"), Controller: new(true)}}
		p.Spec.Tolerations = []corev1.Toleration{{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
	})
	r.budget("voice", "held", 0)
	r.budget("one", "torn", 0)
	r.budget("two", "torn", 0)
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.controller(r.kube)

	r.evicted("Blocked", []string{"held: Cannot evict pod", "disruption budget voice needs 1 healthy pods", "torn: ", "more than one PodDisruptionBudget"}, "free")
	r.waitForEvents(f, "EvictionBlocked")
	r.kubelet("free")
	r.budget("voice", "held", 1)
	r.evicted("Blocked", []string{"more than one"}, "held")
	r.kubelet("held")
	// The game holds the VM for longer than any budget may.
	r.eventually("the time of budgets is over", func() error {
		f, err := r.failover("worker-1")
		if err == nil && time.Since(f.Status.DrainStartedAt.Time) < r.cfg.EvictTimeout {
			err = fmt.Errorf("it began at %s", f.Status.DrainStartedAt)
		}
		return err
	})
	r.evicted("Blocked", nil)
	if _, left := r.ending(); !slices.Equal(left, []string{"daemon", "game-pod", "mirror", "torn"}) {
		r.Errorf("left are %v", left)
	}
	if err := r.admin.Delete(r.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: "game-pod"}}, client.GracePeriodSeconds(0)); err != nil {
		r.Error(err)
	}
	g, err := r.getServer("game")
	if err == nil {
		err = r.admin.Delete(r.Context(), g)
	}
	if err != nil {
		r.Fatal(err)
	}
	r.evicted("Evicting", nil, "torn")
	r.waitForEvents(f, "PodsForced")
	r.kubelet("torn")
	r.ends("worker-1", vm)
}
