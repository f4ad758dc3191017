package failover_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/failover"
)

// refusals: what the CRD says.
func refusals(r *harness) {
	make := func(change func(*v1.NodeFailover)) error {
		f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1"}}
		change(f)
		return r.admin.Create(r.Context(), f)
	}
	for name, change := range map[string]func(*v1.NodeFailover){
		"no node":         func(f *v1.NodeFailover) { f.Spec.OnpremNodeName = "" },
		"bad node":        func(f *v1.NodeFailover) { f.Spec.OnpremNodeName = "Worker_1" },
		"bad label value": func(f *v1.NodeFailover) { f.Spec.TargetNodeLabels = map[string]v1.LabelValue{"a": "no spaces"} },
		"replaces itself": func(f *v1.NodeFailover) { f.Spec.Replaces = "f" },
		"own parent":      func(f *v1.NodeFailover) { f.Spec.ParentFailover, f.Spec.SharedLoad = "f", &v1.SharedLoad{Number: 2} },
		"no load":         func(f *v1.NodeFailover) { f.Spec.ParentFailover = "g" },
		"first VM":        func(f *v1.NodeFailover) { f.Spec.ParentFailover, f.Spec.SharedLoad = "g", &v1.SharedLoad{Number: 1} },
		"drill replaces":  func(f *v1.NodeFailover) { f.Spec.Drill, f.Spec.Replaces = true, "g" },
		"drill adds": func(f *v1.NodeFailover) {
			f.Spec.Drill, f.Spec.ParentFailover, f.Spec.SharedLoad = true, "g", &v1.SharedLoad{Number: 2}
		},
	} {
		if err := make(change); !apierrors.IsInvalid(err) {
			r.Errorf("%s: %v", name, err)
		}
	}
	if err := make(func(f *v1.NodeFailover) { f.Status.Phase = v1.Active }); err != nil {
		r.Fatal(err)
	}
	f, err := r.failover("worker-1")
	if err != nil || f.Status.Phase != v1.Pending {
		r.Fatalf("a new failover is %+v %v, want Pending whatever was asked for", f, err)
	}
	old := f.DeepCopy()
	f.Spec.OnpremNodeName = "worker-2"
	if err := r.admin.Patch(r.Context(), f, client.MergeFrom(old)); !apierrors.IsInvalid(err) {
		r.Errorf("another node: %v", err)
	}
	f = old.DeepCopy()
	f.Spec.ParentFailover, f.Spec.SharedLoad = "g", &v1.SharedLoad{Number: 2}
	if err := r.admin.Patch(r.Context(), f, client.MergeFrom(old)); !apierrors.IsInvalid(err) {
		r.Errorf("it gets a parent: %v", err)
	}
	further := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "further"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1", ParentFailover: "g", SharedLoad: &v1.SharedLoad{Number: 2}}}
	if err := r.admin.Create(r.Context(), further); err != nil {
		r.Fatal(err)
	}
	bare := further.DeepCopy()
	further.Spec.SharedLoad.GameServers = 7
	if err := r.admin.Patch(r.Context(), further, client.MergeFrom(bare)); !apierrors.IsInvalid(err) {
		r.Errorf("another load: %v", err)
	}
	f = old.DeepCopy()
	f.Spec.Drill = true
	if err := r.admin.Patch(r.Context(), f, client.MergeFrom(old)); !apierrors.IsInvalid(err) {
		r.Errorf("a failover becomes a drill: %v", err)
	}
	d := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1", Drill: true}}
	if err := r.admin.Create(r.Context(), d); err != nil {
		r.Fatal(err)
	}
	for _, no := range []string{"false", "null"} {
		if err := r.admin.Patch(r.Context(), d, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"drill":`+no+`}}`))); !apierrors.IsInvalid(err) {
			r.Errorf("a drill becomes a failover: %v", err)
		}
	}
	f = old.DeepCopy()
	f.Status.Phase = "Elsewhere"
	if err := r.admin.Status().Patch(r.Context(), f, client.MergeFrom(old)); !apierrors.IsInvalid(err) {
		r.Errorf("another phase: %v", err)
	}
}

// rights: what the controller must not be able to do.
func rights(r *harness) {
	c, err := client.New(r.kube, client.Options{Scheme: r.admin.Scheme()})
	if err != nil {
		r.Fatal(err)
	}
	for what, err := range map[string]error{
		"read secrets":           c.List(r.Context(), &corev1.SecretList{}, client.InNamespace("kube-system")),
		"make secrets elsewhere": c.Create(r.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}}),
		"delete pods":            c.DeleteAllOf(r.Context(), &corev1.Pod{}, client.InNamespace(r.games)),
		"make pods elsewhere":    c.Create(r.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: r.games, Name: "p"}}),
		"read other config maps": c.List(r.Context(), &corev1.ConfigMapList{}, client.InNamespace("kube-public")),
		"make nodes":             c.Create(r.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}),
	} {
		if !apierrors.IsForbidden(err) {
			r.Errorf("it can %s: %v", what, err)
		}
	}
}

// wholeManifests: the API server takes what is shipped.
func wholeManifests(r *harness) {
	r.cluster.Apply(r.T, "../../manifests/base/namespace", manifests+"/deployment.yaml", "../../manifests/base/kata")
	var d appsv1.Deployment
	if err := r.admin.Get(r.Context(), client.ObjectKey{Namespace: namespace, Name: "failover"}, &d); err != nil {
		r.Fatal(err)
	}
	// Two nodes have no place for a third pod.
	if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxSurge.String() != "0" || u.MaxUnavailable.String() != "1" {
		r.Errorf("the rollout: %+v", d.Spec.Strategy)
	}
	if err := r.admin.Delete(r.Context(), &d); err != nil {
		r.Error(err)
	}
}

// delays: each failover is in the metrics of what the controller adds to it.
// BenchmarkScale says how much that is.
func delays(r *harness) {
	r.cfg.Grace = 2 * time.Second // a server is counted that is seen to be hidden by then
	r.controller(r.kube)
	const n = 3
	for i := range n {
		node := fmt.Sprintf("worker-%d", i)
		r.server("ready-"+node, node, "Ready")
		r.fails(node)
		r.phase(node, v1.Active)
		r.eventually("the dead node is tainted", func() error {
			if !tainted(r.node(node)) {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		r.returns(node)
	}
	res, err := http.Get("http://" + r.addr.Load().(string) + "/metrics")
	if err != nil {
		r.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		r.Fatal(err)
	}
	for _, want := range []string{
		fmt.Sprintf("torikumi_failover_withdrawal_delay_seconds_count %d", n),
		fmt.Sprintf("torikumi_failover_insert_delay_seconds_count %d", n),
		fmt.Sprintf("torikumi_failover_taint_delay_seconds_count %d", n),
	} {
		if !strings.Contains(string(body), want) {
			r.Errorf("not %q", want)
		}
	}
}

// status: what `failover status` prints.
func (r *harness) status(f *v1.NodeFailover, more ...string) {
	var out, errs strings.Builder
	code := failover.Status(r.Context(), process([]string{"--kubeconfig=" + r.kubeconfig()}, &out, &errs))
	for _, want := range append(more, f.Status.GCPVMName, "Active") {
		if code != 0 || !strings.Contains(out.String(), want) {
			r.Errorf("status ends with %d, not with %q: %s%s", code, want, out.String(), errs.String())
		}
	}
}
