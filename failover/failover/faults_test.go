package failover_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/cloud/cloudtest"
	"torikumi/failover/failover"
	"torikumi/failover/internal/agones"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/controlplane"
	"torikumi/failover/internal/decide"
	"torikumi/pkg/config"
)

var onpremLabels = map[string]string{"node-type": "onpremise", "hardware": "game-runner"}

// TestFaults plays failovers in which something goes wrong, one after the
// other, on a control plane without a controller manager.
func TestFaults(t *testing.T) {
	c := controlplane.Start(t, controlplane.Options{})
	for name, test := range map[string]func(*rig){
		"stockout":              stockout,
		"lost reply":            lostReply,
		"hanging cloud":         hangingCloud,
		"never runs":            neverRuns,
		"foreign machine":       foreignMachine,
		"foreign taint":         foreignTaint,
		"allocated meanwhile":   allocatedMeanwhile,
		"two leaders":           twoLeaders,
		"API server restarts":   restart,
		"orphan VM":             orphanVM,
		"dry run":               dryRun,
		"node deleted":          nodeDeleted,
		"deleted while healthy": deletedWhileHealthy,
		"initialise":            initialise,
		"what the API refuses":  refusals,
		"rights":                rights,
		"manifests":             wholeManifests,
		"delays":                delays,
		"drill: node dies":      drillNodeDies,
		"drill: ends":           drillEnds,
		"drill: no controller":  drillAlone,
		"drill: API restarts":   drillThroughRestart,
		"drill: old CRD":        drillOldCRD,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, c)
			r.plain()
			defer func() { // also if it fails: the next one shares the cluster
				r.stopAll()
				r.clean()
			}()
			test(r)
		})
	}
}

// clean removes what a scenario has left on purpose.
func (r *rig) clean() {
	for _, f := range r.failovers() {
		old := f.DeepCopy()
		f.Finalizers = nil
		_ = r.admin.Patch(r.ctx, &f, client.MergeFrom(old))
		_ = r.admin.Delete(r.ctx, &f)
	}
	var nodes corev1.NodeList
	if err := r.admin.List(r.ctx, &nodes); err != nil {
		r.Fatal(err)
	}
	for _, n := range nodes.Items {
		_ = r.admin.Delete(r.ctx, &n)
	}
	_ = r.admin.DeleteAllOf(r.ctx, &agones.GameServer{}, client.InNamespace(r.games))
	_ = r.admin.DeleteAllOf(r.ctx, &corev1.Secret{}, client.InNamespace("kube-system"))
}

// fails lets a new node die; returns lets it be Ready again.
func (r *rig) fails(node string) {
	r.setNode(node, corev1.ConditionTrue, onpremLabels, "")
	r.setNode(node, corev1.ConditionFalse, nil, "")
}

func (r *rig) returns(node string) {
	f, err := r.failover(node)
	if err != nil {
		r.Fatal(err)
	}
	r.setNode(node, corev1.ConditionTrue, nil, "")
	r.ends(node, f.Status.GCPVMName)
}

func stockout(r *rig) {
	r.cloud.Inject(cloudtest.Fault{Call: cloudtest.Create, Zone: "zone-a", Err: cloud.ErrStockout, Later: true, Times: -1})
	r.controller(r.kube)
	r.fails("worker-1")
	f := r.phase("worker-1", v1.Active)
	if f.Status.VM.Zone != "zone-b" {
		r.Errorf("the VM is in %s", f.Status.VM.Zone)
	}
	r.returns("worker-1")
	if p := r.cloud.Peak(); p != 1 {
		r.Errorf("%d VMs at one time", p)
	}
}

// lostReply: both the insert's and the deletion's answers are lost, and reads
// fail in between: the one VM is found, and deleted.
func lostReply(r *rig) {
	unavailable := fmt.Errorf("503")
	r.cloud.Inject(
		cloudtest.Fault{Call: cloudtest.Create, Err: unavailable, Commit: true},
		cloudtest.Fault{Call: cloudtest.Get, Err: unavailable, Times: 3},
		cloudtest.Fault{Call: cloudtest.Delete, Err: unavailable, Commit: true},
	)
	r.controller(r.kube)
	r.fails("worker-1")
	r.phase("worker-1", v1.Active)
	r.returns("worker-1")
	if p := r.cloud.Peak(); p != 1 {
		r.Errorf("%d VMs at one time", p)
	}
}

// neverRuns: the first VM never comes up. It is deleted before the next.
func neverRuns(r *rig) {
	r.cfg.JoinTimeout = 2 * time.Second
	r.cloud.Inject(cloudtest.Fault{Call: cloudtest.Create, NeverRuns: true})
	r.controller(r.kube)
	r.fails("worker-1")
	if f := r.phase("worker-1", v1.Active); f.Status.TotalAttempts != 2 {
		r.Errorf("%d attempts", f.Status.TotalAttempts)
	}
	if n, p := r.cloud.Live(), r.cloud.Peak(); n != 1 || p != 1 {
		r.Errorf("%d VMs, %d at one time", n, p)
	}
	r.eventually("the tokens of both are deleted", func() error { return none(r.tokens(), "tokens") })
	r.returns("worker-1")
}

// foreignMachine: another cluster's machine has the name that ours would get.
func foreignMachine(r *rig) {
	r.cloud.Inject(cloudtest.Fault{Call: cloudtest.Create, Err: cloud.ErrForeign})
	r.controller(r.kube)
	r.fails("worker-1")
	if f := r.phase("worker-1", v1.Active); f.Status.TotalAttempts != 2 {
		r.Errorf("%d attempts", f.Status.TotalAttempts)
	}
	r.returns("worker-1")
}

func foreignTaint(r *rig) {
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	n := r.node("worker-1")
	foreign := []corev1.Taint{
		{Key: "studio/maintenance", Effect: corev1.TaintEffectNoSchedule},
		{Key: controller.TaintKey, Value: "by-hand", Effect: corev1.TaintEffectNoExecute},
	}
	n.Spec.Taints = foreign
	if err := r.admin.Update(r.ctx, n); err != nil {
		r.Fatal(err)
	}
	r.controller(r.kube)
	r.setNode("worker-1", corev1.ConditionFalse, nil, "")
	f := r.phase("worker-1", v1.Active)
	r.eventually("the taint is left to whoever made it", func() error {
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		for _, c := range f.Status.Conditions {
			if c.Type == v1.TaintApplied && c.Reason == "Foreign" {
				return nil
			}
		}
		return fmt.Errorf("%+v", f.Status.Conditions)
	})
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.phase("worker-1", v1.Completed)
	if got := r.node("worker-1").Spec.Taints; len(got) != 2 || got[1].Value != "by-hand" {
		r.Errorf("taints of the node: %v", got)
	}
	_ = f
}

// meanwhile changes a game server just before a change of it arrives.
type meanwhile struct {
	base http.RoundTripper
	do   func(path string)
}

func (m *meanwhile) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method == http.MethodPatch && strings.Contains(q.URL.Path, "/gameservers/") {
		m.do(q.URL.Path)
	}
	return m.base.RoundTrip(q)
}

// allocatedMeanwhile: a server of the dead node is allocated in the moment in
// which it is deleted as a Ready one. The API server has the last word.
func allocatedMeanwhile(r *rig) {
	var times atomic.Int32
	kube := rest.CopyConfig(r.kube)
	kube.Wrap(func(base http.RoundTripper) http.RoundTripper {
		return &meanwhile{base, func(string) {
			if times.Add(1) > 1 {
				return
			}
			g, err := r.getServer("lucky")
			if err != nil {
				r.Error(err)
				return
			}
			old := g.DeepCopy()
			g.Status.State = "Allocated"
			if err := r.admin.Patch(r.ctx, g, client.MergeFrom(old)); err != nil {
				r.Error(err)
			}
		}}
	})
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	r.server("lucky", "worker-1", "Ready")
	r.controller(kube)
	r.setNode("worker-1", corev1.ConditionFalse, nil, "")
	r.phase("worker-1", v1.Active)
	if g, err := r.getServer("lucky"); err != nil || g.DeletionTimestamp != nil || times.Load() == 0 {
		r.Errorf("the allocated server: %v, deletions: %d", err, times.Load())
	}
	r.returns("worker-1")
}

// twoLeaders: a leader that was paused wakes up beside the next one, so that
// both act at the same time.
func twoLeaders(r *rig) {
	r.controller(r.kube)
	other := *r.cfg
	other.Namespace = r.games
	mine := r.cfg
	r.cfg = &other
	r.controller(r.cluster.Config) // whose rights allow a lease elsewhere
	r.cfg = mine
	r.fails("worker-1")
	f := r.phase("worker-1", v1.Active)
	r.server("game", f.Status.GCPVMName, "Allocated")
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.phase("worker-1", v1.Draining)
	g, err := r.getServer("game")
	if err != nil || g.DeletionTimestamp != nil {
		r.Fatalf("the game has been ended: %v", err)
	}
	if err := r.admin.Delete(r.ctx, g); err != nil {
		r.Error(err)
	}
	r.ends("worker-1", f.Status.GCPVMName)
	if p := r.cloud.Peak(); p != 1 {
		r.Errorf("%d VMs at one time", p)
	}
	if n := len(r.failovers()); n > 1 {
		r.Errorf("%d failovers for one spell", n)
	}
}

func restart(r *rig) {
	r.controller(r.kube)
	r.fails("worker-1")
	f := r.phase("worker-1", v1.Active)
	r.status(f)
	r.server("game", f.Status.GCPVMName, "Allocated")
	r.cluster.StopAPIServer(r.T)
	r.cluster.StartAPIServer(r.T)
	r.stopAll() // it may have lost its lease or not
	r.controller(r.kube)
	if p := r.cloud.Peak(); p != 1 {
		r.Errorf("%d VMs at one time", p)
	}
	g, err := r.getServer("game")
	if err != nil || g.DeletionTimestamp != nil {
		r.Fatalf("the game has been ended: %v", err)
	}
	if err := r.admin.Delete(r.ctx, g); err != nil {
		r.Error(err)
	}
	r.returns("worker-1")
}

// orphanVM: a machine of this cluster that no failover claims is deleted, once
// it is old enough; those of others are not.
func orphanVM(r *rig) {
	var ns corev1.Namespace
	if err := r.admin.Get(r.ctx, client.ObjectKey{Name: "kube-system"}, &ns); err != nil {
		r.Fatal(err)
	}
	r.cloud.OnRunning = nil
	r.cloud.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	for name, cluster := range map[string]string{"ours": string(ns.UID), "theirs": "another"} {
		err := r.cloud.Create(r.ctx, cloud.Spec{
			Ref: cloud.Ref{Name: name, Zone: "zone-a"}, RequestID: name,
			Owner: cloud.Owner{Cluster: cluster, Node: "worker-1", NodeUID: "u", Failover: "long gone"},
		})
		if err != nil {
			r.Fatal(err)
		}
	}
	c := controller.NewCollector(&controller.Options{
		Client: r.admin, Live: r.admin, Cloud: r.cloud, Cluster: string(ns.UID), Clock: clock.RealClock{},
		Log: slog.New(slog.DiscardHandler), Metrics: controller.NewMetrics(prometheus.NewRegistry()), Settings: &decide.Settings{},
	})
	for round, want := range []int{2, 1, 1} { // two rounds have to agree
		if err := c.Collect(r.ctx); err != nil {
			r.Fatal(err)
		}
		if n := r.cloud.Live(); n != want {
			r.Errorf("round %d: %d machines, want %d", round, n, want)
		}
	}
	if all := r.cloud.Machines(); len(all) != 1 || all[0].Name != "theirs" {
		r.Errorf("left: %+v", all)
	}
	// An error is no absence: nothing is deleted when a list fails.
	r.cloud.Inject(cloudtest.Fault{Call: cloudtest.List, Err: fmt.Errorf("503"), Times: -1})
	if err := c.Collect(r.ctx); err == nil {
		r.Error("the failed list was taken for an empty one")
	}
}

func dryRun(r *rig) {
	r.cfg.DryRun = true
	r.controller(r.kube)
	r.server("ready", "worker-1", "Ready")
	r.fails("worker-1")
	f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "by-hand"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1"}}
	if err := r.admin.Create(r.ctx, f); err != nil {
		r.Fatal(err)
	}
	time.Sleep(2 * time.Second) // that nothing happens takes time
	if n := len(r.failovers()); n != 1 || r.cloud.Count(cloudtest.Create) != 0 {
		r.Errorf("%d failovers, %d inserts", n, r.cloud.Count(cloudtest.Create))
	}
	if got, err := r.failover("worker-1"); err != nil || got.Status.FailedAt != nil || len(got.Finalizers) > 0 {
		r.Errorf("the failover was touched: %+v %v", got, err)
	}
	if _, err := r.getServer("ready"); err != nil {
		r.Error(err)
	}
}

// nodeDeleted: a cloud-controller-manager deletes the NotReady Node; it comes
// back as a new object without its labels.
func nodeDeleted(r *rig) {
	r.controller(r.kube)
	r.fails("worker-1")
	r.phase("worker-1", v1.Pending)
	if err := r.admin.Delete(r.ctx, r.node("worker-1")); err != nil {
		r.Fatal(err)
	}
	f := r.phase("worker-1", v1.Active)
	time.Sleep(500 * time.Millisecond)
	r.phase("worker-1", v1.Active)
	r.setNode("worker-1", corev1.ConditionTrue, map[string]string{"kubernetes.io/hostname": "worker-1"}, "")
	r.ends("worker-1", f.Status.GCPVMName)
	for k, v := range onpremLabels {
		if got := r.node("worker-1").Labels[k]; got != v {
			r.Errorf("label %s is %q", k, got)
		}
	}
}

func deletedWhileHealthy(r *rig) {
	r.controller(r.kube)
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	r.setNode("worker-2", corev1.ConditionTrue, onpremLabels, "")
	if err := r.admin.Delete(r.ctx, r.node("worker-1")); err != nil {
		r.Fatal(err)
	}
	r.setNode("worker-2", corev1.ConditionFalse, nil, "") // proves that the controller is awake
	r.phase("worker-2", v1.Active)
	if f, err := r.failover("worker-1"); err == nil {
		r.Errorf("a failover for a Node that was healthy when it was deleted: %+v", f.Status)
	}
	r.returns("worker-2")
}

// initialise: no cloud-controller-manager; the controller does its work.
func initialise(r *rig) {
	r.cfg.InitNodes = true
	r.cloud.OnRunning = func(s cloud.Spec, _ cloud.Instance) {
		n := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Name: s.Name, Labels: map[string]string{"node-type": "gcp-temporary", "node-location": "gcp"},
				Annotations: map[string]string{"alpha.kubernetes.io/provided-node-ip": "100.64.0.7"}, // in an overlay network
			},
			Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule}}},
		}
		if err := r.admin.Create(r.ctx, n); err != nil {
			r.Error(err)
		}
		r.setNode(s.Name, corev1.ConditionTrue, nil, "")
	}
	r.controller(r.kube)
	r.fails("worker-1")
	f := r.phase("worker-1", v1.Active)
	n := r.node(f.Status.GCPVMName)
	addresses := map[corev1.NodeAddressType]string{}
	for _, a := range n.Status.Addresses {
		addresses[a.Type] = a.Address
	}
	vm := r.cloud.Machines()[0]
	if n.Spec.ProviderID != vm.ProviderID || strings.Contains(fmt.Sprint(n.Spec.Taints), "uninitialized") || addresses[corev1.NodeExternalIP] != vm.ExternalIP || addresses[corev1.NodeInternalIP] != "100.64.0.7" {
		r.Errorf("provider id %q, taints %v, addresses %v of VM %+v", n.Spec.ProviderID, n.Spec.Taints, addresses, vm)
	}
	if n.Labels["hardware"] != "game-runner" {
		r.Errorf("labels %v: one that the kubelet has not registered is missing", n.Labels)
	}
	r.returns("worker-1")
}

// refusals: what the CRD says.
func refusals(r *rig) {
	make := func(change func(*v1.NodeFailover)) error {
		f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "f"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1"}}
		change(f)
		return r.admin.Create(r.ctx, f)
	}
	for name, change := range map[string]func(*v1.NodeFailover){
		"no node":         func(f *v1.NodeFailover) { f.Spec.OnpremNodeName = "" },
		"bad node":        func(f *v1.NodeFailover) { f.Spec.OnpremNodeName = "Worker_1" },
		"bad label value": func(f *v1.NodeFailover) { f.Spec.TargetNodeLabels = map[string]v1.LabelValue{"a": "no spaces"} },
		"replaces itself": func(f *v1.NodeFailover) { f.Spec.Replaces = "f" },
		"adds to itself":  func(f *v1.NodeFailover) { f.Spec.Adds, f.Spec.Share = "f", &v1.Share{Number: 2} },
		"adds nothing":    func(f *v1.NodeFailover) { f.Spec.Adds = "g" },
		"adds the first":  func(f *v1.NodeFailover) { f.Spec.Adds, f.Spec.Share = "g", &v1.Share{Number: 1} },
		"drill replaces":  func(f *v1.NodeFailover) { f.Spec.Drill, f.Spec.Replaces = true, "g" },
		"drill adds":      func(f *v1.NodeFailover) { f.Spec.Drill, f.Spec.Adds, f.Spec.Share = true, "g", &v1.Share{Number: 2} },
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
	if err := r.admin.Patch(r.ctx, f, client.MergeFrom(old)); !apierrors.IsInvalid(err) {
		r.Errorf("another node: %v", err)
	}
	f = old.DeepCopy()
	f.Spec.Adds, f.Spec.Share = "g", &v1.Share{Number: 2}
	if err := r.admin.Patch(r.ctx, f, client.MergeFrom(old)); !apierrors.IsInvalid(err) {
		r.Errorf("it adds to another: %v", err)
	}
	further := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "further"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1", Adds: "g", Share: &v1.Share{Number: 2}}}
	if err := r.admin.Create(r.ctx, further); err != nil {
		r.Fatal(err)
	}
	bare := further.DeepCopy()
	further.Spec.Share.GameServers = 7
	if err := r.admin.Patch(r.ctx, further, client.MergeFrom(bare)); !apierrors.IsInvalid(err) {
		r.Errorf("another share: %v", err)
	}
	f = old.DeepCopy()
	f.Spec.Drill = true
	if err := r.admin.Patch(r.ctx, f, client.MergeFrom(old)); !apierrors.IsInvalid(err) {
		r.Errorf("a failover becomes a drill: %v", err)
	}
	d := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1", Drill: true}}
	if err := r.admin.Create(r.ctx, d); err != nil {
		r.Fatal(err)
	}
	for _, no := range []string{"false", "null"} {
		if err := r.admin.Patch(r.ctx, d, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"drill":`+no+`}}`))); !apierrors.IsInvalid(err) {
			r.Errorf("a drill becomes a failover: %v", err)
		}
	}
	f = old.DeepCopy()
	f.Status.Phase = "Elsewhere"
	if err := r.admin.Status().Patch(r.ctx, f, client.MergeFrom(old)); !apierrors.IsInvalid(err) {
		r.Errorf("another phase: %v", err)
	}
}

// rights: what the controller must not be able to do.
func rights(r *rig) {
	c, err := client.New(r.kube, client.Options{Scheme: r.admin.Scheme()})
	if err != nil {
		r.Fatal(err)
	}
	for what, err := range map[string]error{
		"read secrets":           c.List(r.ctx, &corev1.SecretList{}, client.InNamespace("kube-system")),
		"make secrets elsewhere": c.Create(r.ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}}),
		"delete pods":            c.DeleteAllOf(r.ctx, &corev1.Pod{}, client.InNamespace(r.games)),
		"read other config maps": c.List(r.ctx, &corev1.ConfigMapList{}, client.InNamespace("kube-public")),
		"make nodes":             c.Create(r.ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}),
	} {
		if !apierrors.IsForbidden(err) {
			r.Errorf("it can %s: %v", what, err)
		}
	}
}

// wholeManifests: the API server takes what is shipped, and the shipped
// settings exist.
func wholeManifests(r *rig) {
	r.cluster.Apply(r.T, manifests+"/config.yaml", manifests+"/deployment.yaml")
	var cm corev1.ConfigMap
	if err := r.admin.Get(r.ctx, client.ObjectKey{Namespace: namespace, Name: "failover"}, &cm); err != nil {
		r.Fatal(err)
	}
	var help strings.Builder
	err := config.Load("failover", "FAILOVER_", new(failover.Config), []string{"--help"}, func(string) string { return "" }, &help)
	if !errors.Is(err, config.ErrHelp) {
		r.Fatal(err)
	}
	given := map[string]string{"FAILOVER_GCE_PROJECT": "studio-games", "FAILOVER_GCE_ZONES": "europe-west4-a", "FAILOVER_VM_IMAGE": "image"}
	err = config.Load("failover", "FAILOVER_", new(failover.Config), nil, func(k string) string {
		if v := given[k]; v != "" {
			return v
		}
		return cm.Data[k]
	}, io.Discard)
	if err != nil {
		r.Error(err)
	}
	for k := range cm.Data {
		if !strings.Contains(help.String(), "$"+k+" ") {
			r.Errorf("%s is no setting", k)
		}
	}
}

// delays: what the controller adds to a failover, by its own metrics.
func delays(r *rig) {
	r.controller(r.kube)
	const n = 10
	for i := range n {
		node := fmt.Sprintf("worker-%d", i)
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
		fmt.Sprintf(`torikumi_failover_insert_delay_seconds_bucket{le="1"} %d`, n),
		fmt.Sprintf(`torikumi_failover_taint_delay_seconds_bucket{le="2"} %d`, n),
	} {
		if !strings.Contains(string(body), want) {
			r.Errorf("not %q", want)
		}
	}
	for line := range strings.Lines(string(body)) {
		if strings.Contains(line, "delay_seconds_sum") || strings.Contains(line, "resident_memory") {
			r.Log(strings.TrimSpace(line))
		}
	}
}

// status: what `failover status` prints.
func (r *rig) status(f *v1.NodeFailover, more ...string) {
	var out, errs strings.Builder
	code := failover.Status(r.ctx, []string{"--kubeconfig=" + r.kubeconfig()}, func(string) string { return "" }, &out, &errs)
	for _, want := range append(more, f.Status.GCPVMName, "Active") {
		if code != 0 || !strings.Contains(out.String(), want) {
			r.Errorf("status ends with %d, not with %q: %s%s", code, want, out.String(), errs.String())
		}
	}
}
