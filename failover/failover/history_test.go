package failover_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/decide"
)

func (r *harness) collector(c clock.Clock) *controller.Collector {
	return controller.NewCollector(&controller.Options{
		Client: r.admin, Live: r.admin, Cloud: r.cloud, Cluster: "cluster", Clock: c, Log: slog.New(slog.DiscardHandler),
		Metrics:  controller.NewMetrics(prometheus.NewRegistry()),
		Settings: &decide.Settings{NamePrefix: "gcp-temp-", TempLabels: map[string]string{"node-type": "gcp-temporary"}},
	})
}

// longHistory: a node that flaps for days fills the API with no more than its
// newest failovers; those of another node, and those that are not over, stay.
func longHistory(r *harness) {
	began := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	made := func(name, node string, phase v1.Phase, ended time.Time) {
		f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.NodeFailoverSpec{OnpremNodeName: node}}
		if err := r.admin.Create(r.Context(), f); err != nil {
			r.Fatal(err)
		}
		f.Status.Phase, f.Status.CompletedAt = phase, v1.At(ended)
		if err := r.admin.Status().Update(r.Context(), f); err != nil {
			r.Fatal(err)
		}
	}
	const made1 = 60
	for i := range made1 {
		made(fmt.Sprintf("flap-%02d", i), "worker-1", v1.Completed, began.Add(time.Duration(i)*time.Second))
	}
	made("quiet", "worker-2", v1.Completed, began)
	made("open", "worker-1", v1.Active, began)
	if err := r.collector(clock.RealClock{}).Collect(r.Context()); err != nil {
		r.Fatal(err)
	}
	left := map[string]bool{}
	for _, f := range r.failovers() {
		left[f.Name] = true
	}
	if len(left) != 52 || !left["quiet"] || !left["open"] || left["flap-00"] || !left["flap-59"] || !left["flap-10"] || left["flap-09"] {
		r.Errorf("%d are left: %v", len(left), left)
	}
}

// nodesOfOthers: a NotReady Node with our labels and another name is another
// operator's, and one of ours is deleted once two rounds have found it so.
func nodesOfOthers(r *harness) {
	for _, name := range []string{"gcp-temp-worker-1-0", "gke-pool-1"} {
		r.setNode(name, corev1.ConditionFalse, map[string]string{"node-type": "gcp-temporary"}, "")
	}
	c := r.collector(testclock.NewFakeClock(time.Now().Add(time.Hour)))
	for round, want := range []int{2, 1, 1} {
		if err := c.Collect(r.Context()); err != nil {
			r.Fatal(err)
		}
		var all corev1.NodeList
		if err := r.admin.List(r.Context(), &all); err != nil {
			r.Fatal(err)
		}
		if len(all.Items) != want {
			r.Errorf("round %d: %d Nodes, want %d", round, len(all.Items), want)
		}
	}
	if apierrors.IsNotFound(r.admin.Get(r.Context(), client.ObjectKey{Name: "gke-pool-1"}, new(corev1.Node))) {
		r.Error("another operator's Node is deleted")
	}
}

// afterHistory: two failovers of the present outage have completed, as when the
// one that replaced the first was deleted by hand: the node gets a third.
func afterHistory(r *harness) {
	r.fails("worker-1")
	n := r.node("worker-1")
	i := slices.IndexFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	outage := n.Status.Conditions[i].LastTransitionTime.UTC().Format(time.RFC3339)
	since := outage
	for range 2 {
		f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: decide.Name(n.Name, n.UID, since)}, Spec: v1.NodeFailoverSpec{OnpremNodeName: n.Name}}
		if err := r.admin.Create(r.Context(), f); err != nil {
			r.Fatal(err)
		}
		f.Status.Phase, f.Status.CompletedAt = v1.Completed, v1.At(time.Now())
		if err := r.admin.Status().Update(r.Context(), f); err != nil {
			r.Fatal(err)
		}
		since = outage + "/" + string(f.UID)
	}
	r.controller(r.kube)
	r.eventually("a third one that is Active", func() error {
		var phases []v1.Phase
		for _, f := range r.failovers() {
			phases = append(phases, f.Status.Phase)
		}
		if len(phases) != 3 || !slices.Contains(phases, v1.Active) {
			return fmt.Errorf("%v", phases)
		}
		return nil
	})
}

// answersOfOneOutage: the annotation that a node is off is removed once the node
// has been Ready.
func answersOfOneOutage(r *harness) {
	r.cfg.Fencing = "Manual"
	r.controller(r.kube)
	r.fails("worker-1")
	waiting := func(f *v1.NodeFailover) error {
		for _, c := range f.Status.Conditions {
			if c.Type == v1.TaintApplied && c.Reason == "WaitingForFencing" {
				return nil
			}
		}
		return fmt.Errorf("%+v", f.Status.Conditions)
	}
	f := r.phase("worker-1", v1.Active)
	r.eventually("it waits for the operator", func() error {
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		return waiting(f)
	})
	note, _ := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{v1.FencedAnnotation: "true"}}})
	if err := r.admin.Patch(r.Context(), f, client.RawPatch(types.MergePatchType, note)); err != nil {
		r.Fatal(err)
	}
	r.eventually("the taint", func() error {
		return r.outOfService("worker-1")
	})
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.eventually("the answer is forgotten", func() error {
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		if f.On(v1.FencedAnnotation) || f.Status.AnswersSpent {
			return fmt.Errorf("%v, spent %v", f.Annotations, f.Status.AnswersSpent)
		}
		return nil
	})
	r.ends("worker-1", f.Status.GCPVMName)
}

// tokenStays: whatever keeps tokens from being deleted does not keep the dead
// node's games from starting elsewhere.
func tokenStays(r *harness) {
	all, none := admissionv1.NamespacedScope, "false"
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "tokens-stay"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Delete},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}, Scope: &all},
			}}}},
			Validations: []admissionv1.Validation{{Expression: none, Message: "they stay"}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "tokens-stay"},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "tokens-stay", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}
	for _, o := range []client.Object{policy, binding} {
		if err := r.admin.Create(r.Context(), o); err != nil {
			r.Fatal(err)
		}
		defer func() { _ = r.admin.Delete(r.Context(), o) }()
	}
	probe := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: "kube-system"}}
	if err := r.admin.Create(r.Context(), probe); err != nil {
		r.Fatal(err)
	}
	r.eventually("secrets can't be deleted", func() error {
		if err := r.admin.Delete(r.Context(), probe, client.DryRunAll); err == nil {
			return fmt.Errorf("they can")
		}
		return nil
	})
	r.controller(r.kube)
	r.fails("worker-1")
	f := r.phase("worker-1", v1.Active)
	r.eventually("the taint", func() error {
		if r.tokens() == 0 {
			r.Fatal("the token was deleted all the same")
		}
		return r.outOfService("worker-1")
	})
	if err := r.admin.Delete(r.Context(), binding); err != nil {
		r.Fatal(err)
	}
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.ends("worker-1", f.Status.GCPVMName)
}

// oldObjects: what an earlier operator has left, whole seconds and no VM that
// is known, neither hides the other failovers nor keeps its node from one.
func oldObjects(r *harness) {
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	r.setNode("worker-1", corev1.ConditionFalse, nil, "")
	f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "worker-1-failover"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1"}}
	if err := r.admin.Create(r.Context(), f); err != nil {
		r.Fatal(err)
	}
	status := `{"status":{"phase":"Active","gcpVmName":"gcp-temp-worker-1-old","failedAt":"` + time.Now().UTC().Format(time.RFC3339) + `"}}`
	if err := r.admin.SubResource("status").Patch(r.Context(), f, client.RawPatch(types.MergePatchType, []byte(status))); err != nil {
		r.Fatal(err)
	}
	r.controller(r.kube)
	r.fails("worker-2")
	r.phase("worker-2", v1.Active)
	r.eventually("the old one has a VM of its own", func() error {
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		if f.Name != "worker-1-failover" || f.Status.Phase != v1.Active || f.Status.VM == nil && f.Status.SharesWith == "" {
			return fmt.Errorf("%s is %s with %+v", f.Name, f.Status.Phase, f.Status.VM)
		}
		return nil
	})
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.setNode("worker-2", corev1.ConditionTrue, nil, "")
	r.eventually("both end", func() error {
		for _, f := range r.failovers() {
			if f.Status.Phase != v1.Completed {
				return fmt.Errorf("%s is %s", f.Name, f.Status.Phase)
			}
		}
		return errors.Join(none(r.cloud.Live(), "VMs"), none(r.tokens(), "tokens"))
	})
	// And what nobody can have meant is refused.
	for _, share := range []string{`"cpu":"1e3","memory":"1"`, `"cpu":"-1","memory":"1"`, `"cpu":"1","memory":"` + strings.Repeat("1", 30) + `"`} {
		bad := fmt.Sprintf(`{"apiVersion":"failover.operator.io/v1","kind":"NodeFailover","metadata":{"name":"bad"},"spec":{"onpremNodeName":"w","adds":"x","share":{"number":2,"gameServers":1,%s}}}`, share)
		if err := r.post(bad); !apierrors.IsInvalid(err) {
			r.Errorf("%s: %v", share, err)
		}
	}
}

// outOfService is nil once a node has the taint.
func (r *harness) outOfService(node string) error {
	taints := r.node(node).Spec.Taints
	if !slices.ContainsFunc(taints, func(t corev1.Taint) bool { return t.Key == controller.TaintKey }) {
		return fmt.Errorf("the taints are %v", taints)
	}
	return nil
}

// post sends an object as it is written.
func (r *harness) post(text string) error {
	var u unstructured.Unstructured
	if err := json.Unmarshal([]byte(text), &u); err != nil {
		return err
	}
	return r.admin.Create(r.Context(), &u)
}

// earlierNames: a failover for a further VM, as the earlier version has stored
// it, is read, goes its way and ends with its parent. Its fields are immutable
// under either name.
func earlierNames(r *harness) {
	r.controller(r.kube)
	r.fails("worker-1")
	first := r.phase("worker-1", v1.Active)
	const text = `{"apiVersion":"failover.operator.io/v1","kind":"NodeFailover","metadata":{"name":"further"},
		"spec":{"onpremNodeName":"worker-1","adds":%q,"share":{"number":2,"gameServers":1,"cpu":"3","memory":"2Gi"}%s}}`
	if err := r.post(fmt.Sprintf(text, first.Name, `,"parentFailover":"x","sharedLoad":{"number":2,"gameServers":1,"cpu":"3","memory":"2Gi"}`)); !apierrors.IsInvalid(err) {
		r.Errorf("both names: %v", err)
	}
	if err := r.post(fmt.Sprintf(text, first.Name, "")); err != nil {
		r.Fatal(err)
	}
	further := r.second("worker-1", v1.Active)
	if l := further.Spec.SharedLoad; further.Spec.ParentFailover != first.Name || l == nil || l.Number != 2 || l.CPU.String() != "3" {
		r.Errorf("read as %+v", further.Spec)
	}
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(v1.GroupVersion.WithKind("NodeFailover"))
	if err := r.admin.Get(r.Context(), client.ObjectKeyFromObject(further), stored); err != nil {
		r.Fatal(err)
	}
	if adds, _, _ := unstructured.NestedString(stored.Object, "spec", "adds"); adds != first.Name {
		r.Errorf("the stored spec has changed: %v", stored.Object["spec"])
	}
	for _, patch := range []string{`{"spec":{"adds":"x"}}`, `{"spec":{"adds":null,"share":null}}`, `{"spec":{"share":{"number":3}}}`} {
		if err := r.admin.Patch(r.Context(), further.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))); !apierrors.IsInvalid(err) {
			r.Errorf("%s: %v", patch, err)
		}
	}
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.second("worker-1", v1.Completed)
	r.phase("worker-1", v1.Completed)

	// A status is read by its earlier names, and written by the present ones.
	old := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "old"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-2"}}
	old.Annotations = map[string]string{v1.PausedAnnotation: "true"}
	if err := r.admin.Create(r.Context(), old); err != nil {
		r.Fatal(err)
	}
	status := `{"status":{"phase":"Creating","lead":"l","leadUID":"u","shares":[{"gameServers":4,"cpu":"1","memory":"1"}]}}`
	if err := r.admin.SubResource("status").Patch(r.Context(), old, client.RawPatch(types.MergePatchType, []byte(status))); err != nil {
		r.Fatal(err)
	}
	if st := old.Status; st.ParentFailover != "l" || st.ParentFailoverUID != "u" || len(st.SharedLoads) != 1 || st.SharedLoads[0].GameServers != 4 {
		r.Errorf("read as %+v", st)
	}
	if err := r.admin.Status().Update(r.Context(), old); err != nil {
		r.Fatal(err)
	}
	if err := r.admin.Get(r.Context(), client.ObjectKeyFromObject(old), stored); err != nil {
		r.Fatal(err)
	}
	if got, _ := json.Marshal(stored.Object["status"]); !strings.Contains(string(got), `"sharedLoads":[{`) || strings.Contains(string(got), `"lead`) || strings.Contains(string(got), `"shares"`) {
		r.Errorf("written as %s", got)
	}
}
