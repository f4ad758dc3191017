package failover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/cloud/memory"
	"torikumi/failover/failover"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/controlplane"
	"torikumi/pkg/agones"
)

// output is what a command prints, while it prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// prints waits until a command has printed something.
func (r *harness) prints(o *output, want string) {
	r.Helper()
	r.eventually("it prints "+want, func() error {
		if !strings.Contains(o.String(), want) {
			return errors.New(o.String())
		}
		return nil
	})
}

func (r *harness) kubeconfig() string {
	file := filepath.Join(r.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, r.cluster.Kubeconfig, 0o600); err != nil {
		r.Fatal(err)
	}
	return file
}

// settled is a Node that Kubernetes' own controllers have done with.
func (r *harness) settled(name string) (n *corev1.Node) {
	r.Helper()
	r.eventually("the Node is settled", func() error {
		if n = r.node(name); len(n.Spec.Taints) > 0 || n.Labels[corev1.LabelOSStable] == "" || n.Labels["beta."+corev1.LabelOSStable] == "" {
			return fmt.Errorf("labels %v, taints %v", n.Labels, n.Spec.Taints)
		}
		return nil
	})
	return n
}

// untouched compares a Node with what it was before.
func (r *harness) untouched(before *corev1.Node) {
	r.Helper()
	now := r.node(before.Name)
	if now.UID != before.UID || fmt.Sprint(now.Labels, now.Spec) != fmt.Sprint(before.Labels, before.Spec) {
		r.Errorf("the node was touched: %v %+v, before %v %+v", now.Labels, now.Spec, before.Labels, before.Spec)
	}
}

// nothingLeft: no VM, token or temporary Node, and no drill that is not over.
func (r *harness) nothingLeft() {
	r.Helper()
	r.eventually("nothing is left", func() error {
		var nodes corev1.NodeList
		if err := r.admin.List(r.Context(), &nodes); err != nil {
			return err
		}
		for _, n := range nodes.Items {
			if n.Labels["node-type"] == "gcp-temporary" {
				return fmt.Errorf("node %s", n.Name)
			}
		}
		for _, f := range r.failovers() {
			if f.Spec.Drill && (f.Status.Phase != v1.Completed || len(f.Finalizers) > 0) {
				return fmt.Errorf("drill %s is %s", f.Name, f.Status.Phase)
			}
		}
		return errors.Join(none(r.cloud.Live(), "VMs"), none(r.tokens(), "tokens"))
	})
}

// rehearse runs the command against the harness's cluster; what it returns comes
// from the channel.
func (r *harness) rehearse(o *output, node string, timeout time.Duration, interrupts <-chan os.Signal) <-chan error {
	done := make(chan error, 1)
	r.wg.Go(func() { done <- failover.DrillWith(r.Context(), r.cluster.Config, node, timeout, o, interrupts) })
	return done
}

// ended waits for the command's end, with an error that tells want ("": none).
func (r *harness) ended(done <-chan error, o *output, want string) {
	r.Helper()
	select {
	case err := <-done:
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			r.Errorf("it ends with %v, want %q\n%s", err, want, o)
		}
	case <-time.After(patience):
		r.describe()
		r.Fatalf("it does not end:\n%s", o)
	}
}

// TestDrill is `failover drill` on a real control plane: the VM joins by its
// startup script, is found fit, and goes, although a game server has come to it
// that nothing should have sent there.
func TestDrill(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	r.boots(true)
	boots := r.cloud.OnRunning
	r.cloud.OnRunning = func(s cloud.Spec, i cloud.Instance) {
		r.server("slipped", s.Name, "Allocated")
		boots(s, i)
	}
	r.onprem("worker-3")
	r.server("ready", "worker-3", "Ready")
	r.server("playing", "worker-3", "Allocated")
	before := r.settled("worker-3")
	r.controller(r.kube)

	var out output
	var errs strings.Builder
	code := make(chan int, 1)
	r.wg.Go(func() {
		code <- failover.Drill(r.Context(), process([]string{"--node=worker-3", "--kubeconfig=" + r.kubeconfig()}, &out, &errs), nil)
	})
	f := r.phase("worker-3", v1.Draining)
	r.eventually("the temporary node is cordoned", func() error {
		if !r.node(f.Status.GCPVMName).Spec.Unschedulable {
			return errors.New("it is not")
		}
		return nil
	})
	if n := r.node(f.Status.GCPVMName); !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == controller.DrillTaint && t.Effect == corev1.TaintEffectNoSchedule
	}) {
		t.Errorf("pods can come to the drill's node before the drain: taints %v", n.Spec.Taints)
	}
	g, err := r.getServer("slipped")
	if err != nil || g.DeletionTimestamp != nil || r.cloud.Live() != 1 {
		t.Fatalf("the game has been ended: %v, %d VMs", err, r.cloud.Live())
	}
	if err := r.admin.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}

	if c := <-code; c != 0 || errs.Len() > 0 {
		t.Errorf("it ends with %d: %s", c, errs.String())
	}
	t.Logf("it prints:\n%s", &out)
	steps := regexp.MustCompile(`(?s)drill drill-worker-3-.*taken it up.*VM asked for: n2-standard-4 gcp-temp-worker-3-\w+ in zone-a.*VM created.*has joined.*is Ready.*found fit.*drained.*are gone` +
		`.*STEP.*VM asked for +\d.*VM created +\d.*joined +\d.*Ready +\d.*drained +\d.*VM gone +\d.*cost +\d`)
	if !steps.MatchString(out.String()) {
		t.Error("this is not the steps")
	}
	r.untouched(before)
	for _, name := range []string{"ready", "playing"} {
		if g, err := r.getServer(name); err != nil || g.DeletionTimestamp != nil {
			t.Errorf("server %s: %v", name, err)
		}
	}
	r.nothingLeft()
	if p := r.cloud.Peak(); p != 1 {
		t.Errorf("%d VMs at one time", p)
	}
}

// drillNodeDies: the drill leaves, and the failover is one of its own.
func drillNodeDies(r *harness) {
	r.cloud.Inject(memory.Fault{Call: cloud.CallCreate, NeverRuns: true})
	r.controller(r.kube)
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	var out output
	done := r.rehearse(&out, "worker-1", patience, nil)
	r.prints(&out, "VM created")
	r.setNode("worker-1", corev1.ConditionFalse, nil, "")
	r.ended(done, &out, "NodeNotReady")
	r.eventually("the node has a failover", func() error {
		for _, f := range r.failovers() {
			if !f.Spec.Drill && f.Status.Phase == v1.Active && tainted(r.node("worker-1")) {
				return nil
			}
		}
		return errors.New("it has not")
	})
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.nothingLeft()
	if n := r.node("worker-1"); tainted(n) {
		r.Error("the taint is left")
	}
}

// drillEnds: every way in which a drill ends without having passed.
func drillEnds(r *harness) {
	stop := r.controller(r.kube)
	r.setNode("desk", corev1.ConditionTrue, map[string]string{"node-type": "desk"}, "")
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	before := r.node("worker-1")
	var out output
	r.ended(r.rehearse(&out, "nowhere", patience, nil), &out, "NodeUnknown")
	r.ended(r.rehearse(&out, "desk", patience, nil), &out, "NodeNotWatched")
	r.ended(r.rehearse(&out, "No_Name", patience, nil), &out, "make the drill")
	if n := r.cloud.Count(cloud.CallCreate); n != 0 {
		r.Errorf("%d VMs for drills that were refused", n)
	}
	r.cloud.Inject(memory.Fault{Call: cloud.CallCreate, Err: cloud.ErrQuota})
	r.ended(r.rehearse(&out, "worker-1", patience, nil), &out, "Quota")
	r.nothingLeft()

	r.cloud.Inject(memory.Fault{Call: cloud.CallCreate, NeverRuns: true, Times: -1})
	var late output
	r.ended(r.rehearse(&late, "worker-1", 20*time.Second, nil), &late, "not done within 20s: waits for the VM's Node")
	r.nothingLeft()

	var broken output
	interrupts := make(chan os.Signal, 2)
	done := r.rehearse(&broken, "worker-1", patience, interrupts)
	r.prints(&broken, "VM created")
	var other output
	r.ended(r.rehearse(&other, "worker-1", patience, nil), &other, "Duplicate")
	interrupts <- os.Interrupt
	r.ended(done, &broken, "interrupted")
	if !strings.Contains(broken.String(), "is deleted") {
		r.Errorf("it does not say that it deletes the drill:\n%s", &broken)
	}
	r.nothingLeft()

	var twice output
	done = r.rehearse(&twice, "worker-1", patience, interrupts)
	r.prints(&twice, "VM created")
	stop()
	interrupts <- os.Interrupt
	r.prints(&twice, "is deleted")
	interrupts <- os.Interrupt
	r.ended(done, &twice, "left before")
	r.controller(r.kube) // clears away what was left
	r.nothingLeft()
	r.untouched(before)
}

// drillAlone: no controller runs.
func drillAlone(r *harness) {
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	var out output
	r.ended(r.rehearse(&out, "worker-1", 10*time.Second, nil), &out, "no controller has taken it up")
	if n := len(r.failovers()); n != 0 || strings.Count(out.String(), "no controller") < 2 {
		r.Errorf("%d failovers are left, it prints:\n%s", n, &out)
	}
}

// drillThroughRestart: the API server goes away while the command watches.
func drillThroughRestart(r *harness) {
	r.cloud.Inject(memory.Fault{Call: cloud.CallCreate, NeverRuns: true})
	stop := r.controller(r.kube)
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	var out output
	done := r.rehearse(&out, "worker-1", 2*patience, nil)
	r.prints(&out, "VM created")
	r.cluster.StopAPIServer(r.T)
	r.prints(&out, "can't be seen")
	stop()
	r.cluster.StartAPIServer(r.T)
	r.controller(r.kube)
	vm := r.cloud.VMs()[0]
	r.cloud.SetState(vm.Ref, cloud.Running)
	r.setNode(vm.Name, corev1.ConditionTrue, map[string]string{"node-type": "gcp-temporary", "node-location": "gcp", "hardware": "game-runner"}, vm.ProviderID)
	r.ended(done, &out, "")
	r.nothingLeft()
}

// drillOldCRD: an API server drops what its CRD does not know. What is left
// would be a real failover.
func drillOldCRD(r *harness) {
	kube := rest.CopyConfig(r.cluster.Config)
	kube.Wrap(func(base http.RoundTripper) http.RoundTripper { return &forgetful{base} })
	var out output
	err := failover.DrillWith(r.Context(), kube, "worker-1", patience, &out, nil)
	if err == nil || !strings.Contains(err.Error(), "CRD") || len(r.failovers()) != 0 {
		r.Errorf("it ends with %v, %d failovers are left\n%s", err, len(r.failovers()), &out)
	}
}

type forgetful struct{ base http.RoundTripper }

func (f *forgetful) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Body != nil && q.Method == http.MethodPost {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.Replace(body, []byte(`,"drill":true`), nil, 1)
		q = q.Clone(q.Context())
		q.Body, q.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return f.base.RoundTrip(q)
}

// TestDrillCrashPoints kills the controller at its n-th write of a drill, for
// every n, in turn before and after that write. The next one ends the drill
// with the same verdict, and nothing is left.
func TestDrillCrashPoints(t *testing.T) {
	r := newHarness(t, controlplane.Start(t, controlplane.Options{}))
	r.plain()
	r.podAccount()
	r.cfg.ProbeImage = "pause"
	r.runPods()
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	before := r.node("worker-1")
	for n := 1; ; n++ {
		c := &crashing{left: n, after: n%2 == 0, dead: make(chan struct{})}
		kube := rest.CopyConfig(r.kube)
		kube.Wrap(func(base http.RoundTripper) http.RoundTripper { c.base = base; return c })
		stop := r.controller(kube)
		var out output
		done := r.rehearse(&out, "worker-1", patience, nil)
		over := make(chan struct{})
		r.wg.Go(func() {
			select {
			case <-c.dead:
				stop()
				r.controller(r.kube)
			case <-over:
			}
		})
		r.ended(done, &out, "")
		r.nothingLeft()
		close(over)
		r.stopAll()
		r.untouched(before)
		if n := len(r.probePods()); n > 0 {
			t.Errorf("%d probe pods are left", n)
		}
		if p := r.cloud.Peak(); p > 1 {
			t.Errorf("%d VMs at one time", p)
		}
		c.mu.Lock()
		what := c.what
		c.mu.Unlock()
		if t.Failed() {
			t.Fatalf("crash at write %d (after: %v): %s", n, c.after, what)
		}
		if what == "" {
			if n < 14 {
				t.Errorf("%d writes: this is not a whole drill", n-1)
			}
			break
		}
		t.Logf("write %d (after: %v): %s", n, c.after, what)
	}
}

// gamePod is a game server's pod on a node, with the RuntimeClass of its fleet.
func (r *harness) gamePod(node, image, runtime string) {
	r.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.games, Name: node + "-game", Labels: map[string]string{agones.RoleLabel: agones.RoleGameServer},
			Annotations: map[string]string{"agones.dev/container": "game"},
		},
		Spec: corev1.PodSpec{
			NodeName: node, RuntimeClassName: &runtime, AutomountServiceAccountToken: new(false),
			Containers: []corev1.Container{{Name: "sidecar", Image: "sidecar"}, {Name: "game", Image: image}},
		},
	}
	if err := r.admin.Create(r.Context(), pod); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = r.admin.Delete(context.Background(), pod, client.GracePeriodSeconds(0)) })
}

// probePods are those that drills have made.
func (r *harness) probePods() []corev1.Pod {
	var all corev1.PodList
	if err := r.admin.List(context.Background(), &all, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/managed-by": "torikumi-failover"}); err != nil {
		r.Fatal(err)
	}
	return all.Items
}

// runPods is a scheduler and a kubelet for probe pods: each runs at once.
func (r *harness) runPods() {
	r.wg.Go(func() {
		for r.Context().Err() == nil {
			for _, pod := range r.probePods() {
				pod.Status.Phase = corev1.PodRunning
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "probe", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
				_ = r.admin.Status().Update(context.Background(), &pod) // it may be gone
			}
			select {
			case <-r.Context().Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}

// podAccount is what the controller manager makes in each namespace.
func (r *harness) podAccount() { r.account(namespace) }

func (r *harness) account(namespace string) {
	r.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}}
	if err := r.admin.Create(r.Context(), account); err != nil && !apierrors.IsAlreadyExists(err) {
		r.Fatal(err)
	}
}

// runtimeClass is what a fleet's pods name.
func (r *harness) runtimeClass(name string) {
	r.Helper()
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Handler: "kata"}
	if err := r.admin.Create(r.Context(), class); err != nil && !apierrors.IsAlreadyExists(err) {
		r.Fatal(err)
	}
}

// TestDrillStartsAPod: the probe pod has the fleet's image and RuntimeClass, comes to
// the temporary node alone, is let in by a namespace that is restricted, and is gone
// before the VM is.
func TestDrillStartsAPod(t *testing.T) {
	r := newHarness(t, shared.Get(t))
	restricted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := r.admin.Patch(t.Context(), restricted, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}`))); err != nil {
		t.Fatal(err)
	}
	r.boots(true)
	r.onprem("worker-5")
	r.runtimeClass("drill-kata")
	r.gamePod("worker-5", "fleet", "drill-kata")
	r.cfg.TempTaints = []string{"studio/game=only:NoSchedule"}
	r.controller(r.kube)

	var out output
	done := r.rehearse(&out, "worker-5", patience, nil)
	var pod corev1.Pod
	r.eventually("there is a probe pod", func() error {
		all := r.probePods()
		if len(all) != 1 {
			return fmt.Errorf("there are %d", len(all))
		}
		pod = all[0]
		return nil
	})
	if c := pod.Spec.Containers[0]; c.Image != "fleet" || *pod.Spec.RuntimeClassName != "drill-kata" {
		t.Errorf("it runs %s with %s", c.Image, *pod.Spec.RuntimeClassName)
	}
	f, err := r.failover("worker-5")
	if err != nil {
		t.Fatal(err)
	}
	on := pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms[0].MatchFields[0].Values
	if len(on) != 1 || on[0] != f.Status.GCPVMName || pod.OwnerReferences[0].UID != f.UID {
		t.Errorf("it goes to %v, and belongs to %v", on, pod.OwnerReferences)
	}
	for _, key := range []string{controller.DrillTaint, "studio/game"} {
		if !slices.ContainsFunc(r.node(f.Status.GCPVMName).Spec.Taints, func(t corev1.Taint) bool { return t.Key == key }) {
			t.Errorf("the temporary node has not the taint %s", key)
		}
		if !slices.ContainsFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool { return t.Key == key }) {
			t.Errorf("the taint %s keeps it away: %v", key, pod.Spec.Tolerations)
		}
	}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "no node has the label of the RuntimeClass"}}
	if err := r.admin.Status().Update(t.Context(), &pod); err != nil {
		t.Fatal(err)
	}
	r.prints(&out, "the probe pod waits: no node has the label of the RuntimeClass")
	r.runPods()
	r.ended(done, &out, "")
	for _, want := range []string{"a probe pod is made on it, with the RuntimeClass drill-kata", "the probe pod has started", "a pod has started there with the RuntimeClass drill-kata", "pod started"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not print %q:\n%s", want, &out)
		}
	}
	r.nothingLeft()
	if n := len(r.probePods()); n != 0 {
		t.Errorf("%d probe pods are left", n)
	}
}

// drillPodRefused: there is no such RuntimeClass.
func drillPodRefused(r *harness) {
	r.podAccount()
	r.cfg.ProbeImage, r.cfg.ProbeRuntime = "pause", "nowhere"
	r.controller(r.kube)
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	var out output
	r.ended(r.rehearse(&out, "worker-1", patience, nil), &out, "ProbeRefused")
	if !strings.Contains(out.String(), `RuntimeClass "nowhere" not found`) {
		r.Errorf("it does not say why:\n%s", &out)
	}
	r.nothingLeft()
}

// drillPodFails: the container can't be started.
func drillPodFails(r *harness) {
	r.podAccount()
	r.cfg.ProbeImage = "pause"
	r.controller(r.kube)
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	var out output
	done := r.rehearse(&out, "worker-1", patience, nil)
	r.eventually("the probe pod has failed", func() error {
		all := r.probePods()
		if len(all) != 1 {
			return fmt.Errorf("%d probe pods", len(all))
		}
		all[0].Status.Phase = corev1.PodFailed
		all[0].Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "probe", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "no KVM", StartedAt: metav1.Unix(0, 0)},
		}}}
		return r.admin.Status().Update(r.Context(), &all[0])
	})
	r.ended(done, &out, "ProbeFailed: StartError: no KVM")
	r.nothingLeft()
	if n := len(r.probePods()); n != 0 {
		r.Errorf("%d probe pods are left", n)
	}
}
