package failover_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/cloud/memory"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/controlplane"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
)

var onpremLabels = map[string]string{watchedKey: watchedValue, "hardware": "game-runner"}

// TestFaults plays failovers in which something goes wrong, one after the
// other, on a control plane without a controller manager.
func TestFaults(t *testing.T) {
	c := controlplane.Start(t, controlplane.Options{})
	for name, test := range map[string]func(*harness){
		"stockout":              stockout,
		"lost reply":            lostReply,
		"hanging cloud":         hangingCloud,
		"hangs in the drain":    hangsInDrain,
		"never runs":            neverRuns,
		"foreign VM":            foreignVM,
		"foreign taint":         foreignTaint,
		"allocated meanwhile":   allocatedMeanwhile,
		"servers side by side":  sideBySide,
		"hidden at once":        hiddenAtOnce,
		"kubelet reports":       kubeletReports,
		"ready and tainted":     readyAndTainted,
		"the way back":          wayBack,
		"nothing lost":          nothingLost,
		"other pods":            evictsPods,
		"versions":              versionSkew,
		"worked on":             workedOn,
		"killed leader":         killedLeader,
		"two leaders":           twoLeaders,
		"API server restarts":   restart,
		"orphan VM":             orphanVM,
		"nodes at risk":         nodesAtRisk,
		"long history":          longHistory,
		"nodes of others":       nodesOfOthers,
		"after history":         afterHistory,
		"answers of one outage": answersOfOneOutage,
		"old objects":           oldObjects,
		"earlier names":         earlierNames,
		"token stays":           tokenStays,
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
		"drill: pod refused":    drillPodRefused,
		"drill: pod fails":      drillPodFails,
		"drill: API restarts":   drillThroughRestart,
		"drill: old CRD":        drillOldCRD,
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, c)
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
func (r *harness) clean() {
	for _, f := range r.failovers() {
		old := f.DeepCopy()
		f.Finalizers = nil
		_ = r.admin.Patch(r.Context(), &f, client.MergeFrom(old))
		_ = r.admin.Delete(r.Context(), &f)
	}
	var nodes corev1.NodeList
	if err := r.admin.List(r.Context(), &nodes); err != nil {
		r.Fatal(err)
	}
	for _, n := range nodes.Items {
		_ = r.admin.Delete(r.Context(), &n)
	}
	_ = r.admin.DeleteAllOf(r.Context(), &gameserver.GameServer{}, client.InNamespace(r.games))
	_ = r.admin.DeleteAllOf(r.Context(), &corev1.Secret{}, client.InNamespace("kube-system"))
}

// fails lets a new node die; returns lets it be Ready again.
func (r *harness) fails(node string) {
	r.setNode(node, corev1.ConditionTrue, onpremLabels, "")
	r.setNode(node, corev1.ConditionFalse, nil, "")
}

func (r *harness) returns(node string) {
	f, err := r.failover(node)
	if err != nil {
		r.Fatal(err)
	}
	r.setNode(node, corev1.ConditionTrue, nil, "")
	r.ends(node, f.Status.GCPVMName)
}

func stockout(r *harness) {
	r.cloud.Inject(memory.Fault{Call: cloud.CallCreate, Zone: "zone-a", Err: cloud.ErrStockout, Later: true, Times: -1})
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
func lostReply(r *harness) {
	unavailable := fmt.Errorf("503")
	r.cloud.Inject(
		memory.Fault{Call: cloud.CallCreate, Err: unavailable, Commit: true},
		memory.Fault{Call: cloud.CallGet, Err: unavailable, Times: 3},
		memory.Fault{Call: cloud.CallDelete, Err: unavailable, Commit: true},
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
func neverRuns(r *harness) {
	r.cfg.JoinTimeout = 10 * time.Second // the second VM has to be Ready within it
	r.cloud.Inject(memory.Fault{Call: cloud.CallCreate, NeverRuns: true})
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

// foreignVM: another cluster's VM has the name that ours would get.
func foreignVM(r *harness) {
	r.cloud.Inject(memory.Fault{Call: cloud.CallCreate, Err: cloud.ErrForeign})
	r.controller(r.kube)
	r.fails("worker-1")
	if f := r.phase("worker-1", v1.Active); f.Status.TotalAttempts != 2 {
		r.Errorf("%d attempts", f.Status.TotalAttempts)
	}
	r.returns("worker-1")
}

func foreignTaint(r *harness) {
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	n := r.node("worker-1")
	foreign := []corev1.Taint{
		{Key: "studio/maintenance", Effect: corev1.TaintEffectNoSchedule},
		{Key: controller.TaintKey, Value: "by-hand", Effect: corev1.TaintEffectNoExecute},
	}
	n.Spec.Taints = foreign
	if err := r.admin.Update(r.Context(), n); err != nil {
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
func allocatedMeanwhile(r *harness) {
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
			if err := r.admin.Patch(r.Context(), g, client.MergeFrom(old)); err != nil {
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

// hiddenAtOnce: long before the grace is over nobody is sent to a node that is not
// Ready; if it comes back, all is as before.
func hiddenAtOnce(r *harness) {
	r.cfg.Grace = time.Hour
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	states := []string{"Ready", "Allocated", "Scheduled"}
	for _, state := range states {
		r.server(strings.ToLower(state), "worker-1", state)
	}
	r.controller(r.kube)
	health := corev1.ConditionTrue // a node that is new gets the grace before it is taken for dead
	r.eventually("the controller has seen the node Ready, and not Ready", func() error {
		if _, err := r.failover("worker-1"); err == nil {
			return nil
		}
		health = map[corev1.ConditionStatus]corev1.ConditionStatus{corev1.ConditionTrue: corev1.ConditionUnknown, corev1.ConditionUnknown: corev1.ConditionTrue}[health]
		r.setNode("worker-1", health, nil, "")
		return errors.New("no failover")
	})
	r.setNode("worker-1", corev1.ConditionUnknown, nil, "")
	r.eventually("no server can be allocated", func() error {
		for _, state := range states {
			if err := r.hidden(strings.ToLower(state)); err != nil {
				return err
			}
		}
		return nil
	})
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.phase("worker-1", v1.Completed)
	r.eventually("all can be allocated", func() error { // the last change may have made one more failover
		for _, state := range states {
			if err := r.hidden(strings.ToLower(state)); err == nil {
				return fmt.Errorf("the server that is %s can't", state)
			}
		}
		return nil
	})
}

// kubeletReports: a node that is not Ready by its kubelet's own word is not tainted
// while its lease is renewed, and is once it is not any more.
func kubeletReports(r *harness) {
	r.cfg.FalseGrace = r.cfg.Grace
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	r.server("game", "worker-1", "Allocated")
	const lasts int32 = 3
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "worker-1"}}
	lease.Spec.LeaseDurationSeconds = new(lasts)
	renew := func() error {
		at := metav1.NowMicro()
		lease.Spec.RenewTime = &at
		if lease.ResourceVersion == "" {
			return r.admin.Create(r.Context(), lease)
		}
		return r.admin.Update(r.Context(), lease)
	}
	defer func() { _ = r.admin.Delete(context.Background(), lease) }()
	r.controller(r.kube)
	if err := renew(); err != nil {
		r.Fatal(err)
	}
	r.setNode("worker-1", corev1.ConditionFalse, nil, "")
	alive := func() error {
		if err := renew(); err != nil {
			r.Fatal(err)
		}
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(f.Status.Conditions, v1.TaintApplied); f.Status.Phase != v1.Active || c == nil || c.Reason != "KubeletAlive" {
			return fmt.Errorf("it is %s: %+v", f.Status.Phase, c)
		}
		return nil
	}
	r.eventually("a VM, and no taint", alive)
	if taints := r.node("worker-1").Spec.Taints; slices.ContainsFunc(taints, func(t corev1.Taint) bool { return t.Key == controller.TaintKey }) {
		r.Errorf("tainted while its lease is renewed: %v", taints)
	}
	r.eventually("the taint, once the lease is not renewed", func() error {
		if taints := r.node("worker-1").Spec.Taints; !slices.ContainsFunc(taints, func(t corev1.Taint) bool { return t.Key == controller.TaintKey }) {
			return fmt.Errorf("%v", taints)
		}
		return nil
	})
	r.returns("worker-1")
}

// readyAndTainted: the temporary node is Ready, with a taint and without an address.
func readyAndTainted(r *harness) {
	r.cloud.OnRunning = func(s cloud.Spec, i cloud.Instance) {
		n := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: s.Name, Labels: map[string]string{"node-type": "gcp-temporary", "node-location": "gcp", "hardware": "game-runner"}},
			Spec:       corev1.NodeSpec{ProviderID: i.ProviderID, Taints: []corev1.Taint{{Key: "studio/network", Effect: corev1.TaintEffectNoExecute}}},
			Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}},
		}
		if err := r.admin.Create(r.Context(), n); err != nil {
			r.Error(err)
		}
	}
	r.controller(r.kube)
	r.fails("worker-1")
	var vm string
	told := func(word string) {
		r.Helper()
		r.eventually("the condition says "+word, func() error {
			f, err := r.failover("worker-1")
			if err != nil {
				return err
			}
			vm = f.Status.GCPVMName
			if c := meta.FindStatusCondition(f.Status.Conditions, v1.NodeJoined); c == nil || c.Reason != "NotFit" || !strings.Contains(c.Message, word) || f.Status.Phase != v1.Creating {
				return fmt.Errorf("%s: %+v", f.Status.Phase, c)
			}
			return nil
		})
	}
	told("studio/network")
	n := r.node(vm)
	n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "studio/network" })
	if err := r.admin.Update(r.Context(), n); err != nil {
		r.Fatal(err)
	}
	told("ExternalIP")
	if taints := r.node("worker-1").Spec.Taints; slices.ContainsFunc(taints, func(t corev1.Taint) bool { return t.Key == controller.TaintKey }) {
		r.Errorf("the dead node is tainted: %v", taints)
	}
	n = r.node(vm)
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeExternalIP, Address: "198.51.100.1"}}
	if err := r.admin.Status().Update(r.Context(), n); err != nil {
		r.Fatal(err)
	}
	r.phase("worker-1", v1.Active)
	r.returns("worker-1")
}

// wayBack: a Ready server leaves the VM only when the one that went before has been
// replaced.
func wayBack(r *harness) {
	r.cfg.ReturnTimeout = time.Hour
	r.controller(r.kube)
	r.fails("worker-1")
	vm := r.phase("worker-1", v1.Active).Status.GCPVMName
	r.server("a", vm, "Ready")
	r.server("b", vm, "Ready")
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	left := func() (names []string) {
		for _, name := range []string{"a", "b"} {
			if r.gone(name) != nil {
				names = append(names, name)
			}
		}
		return names
	}
	r.eventually("one waits for the replacement of the other", func() error {
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(f.Status.Conditions, v1.GameServersDrained)
		if c == nil || c.Reason != "WaitingForReplacements" || len(left()) != 1 || f.Status.Handover == nil || f.Status.Handover.Withdrawn != 1 {
			return fmt.Errorf("%s: %+v, %v left", f.Status.Phase, c, left())
		}
		return nil
	})
	r.server("c", "worker-1", "Ready")
	r.ends("worker-1", vm)
	if len(left()) > 0 {
		r.Errorf("%v are left", left())
	}
}

// nothingLost: an empty node that is switched off buys nothing, and keeps no drill
// of another node from taking place. One with a game server does.
func nothingLost(r *harness) {
	r.cfg.EmptyStartsVM = false
	r.setNode("worker-2", corev1.ConditionTrue, onpremLabels, "")
	r.server("game", "worker-2", "Allocated")
	r.controller(r.kube)
	r.fails("worker-1")
	r.eventually("the condition says that nothing is lost", func() error {
		f, err := r.failover("worker-1")
		if err != nil {
			return err
		}
		if c := meta.FindStatusCondition(f.Status.Conditions, v1.Admitted); f.Status.Phase != v1.Pending || c == nil || c.Reason != "NothingLost" {
			return fmt.Errorf("%s: %+v", f.Status.Phase, c)
		}
		return nil
	})
	if n := r.cloud.Peak(); n > 0 {
		r.Errorf("%d VMs", n)
	}
	r.setNode("worker-2", corev1.ConditionUnknown, nil, "")
	r.phase("worker-2", v1.Active)
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.phase("worker-1", v1.Completed)
	r.returns("worker-2")
}

// killedLeader: a leader that can't give its lease back costs what the settings
// say, and the next one goes on.
func killedLeader(r *harness) {
	r.cfg.Lease, r.cfg.LeaseRenew, r.cfg.LeaseRetry = 4*time.Second, 3*time.Second, 200*time.Millisecond
	var killed atomic.Bool
	kube := rest.CopyConfig(r.kube)
	kube.Wrap(func(base http.RoundTripper) http.RoundTripper {
		return roundTripper(func(q *http.Request) (*http.Response, error) {
			if killed.Load() {
				return nil, errors.New("killed")
			}
			return base.RoundTrip(q)
		})
	})
	lease := func() (*coordinationv1.Lease, error) {
		var l coordinationv1.Lease
		err := r.admin.Get(r.Context(), client.ObjectKey{Namespace: namespace, Name: "torikumi-failover"}, &l)
		if err == nil && (l.Spec.HolderIdentity == nil || *l.Spec.HolderIdentity == "") {
			err = errors.New("nobody leads")
		}
		return &l, err
	}
	r.controller(kube)
	var first string
	r.eventually("somebody leads, by the settings", func() error {
		l, err := lease()
		if err != nil {
			return err
		}
		first = *l.Spec.HolderIdentity
		if s := *l.Spec.LeaseDurationSeconds; s != 4 {
			return fmt.Errorf("for %d s", s)
		}
		return nil
	})
	killed.Store(true)
	whole := settingsByDefault() // how long it waits is the first one's word, and it must not lose its own lease
	r.cfg.Lease, r.cfg.LeaseRenew = whole.Lease, whole.LeaseRenew
	r.controller(r.kube)
	r.eventually("another one leads", func() error {
		if l, err := lease(); err != nil || *l.Spec.HolderIdentity == first {
			return fmt.Errorf("%v", err)
		}
		return nil
	})
	r.fails("worker-1")
	r.phase("worker-1", v1.Active)
	r.returns("worker-1")
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(q *http.Request) (*http.Response, error) { return f(q) }

// twoLeaders: a leader that was paused wakes up beside the next one, so that
// both act at the same time.
func twoLeaders(r *harness) {
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
	if err := r.admin.Delete(r.Context(), g); err != nil {
		r.Error(err)
	}
	r.ends("worker-1", f.Status.GCPVMName)
	if p := r.cloud.Peak(); p != 1 {
		r.Errorf("%d VMs at one time", p)
	}
	if n := len(r.failovers()); n > 1 {
		r.Errorf("%d failovers for one outage", n)
	}
}

func restart(r *harness) {
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
	if err := r.admin.Delete(r.Context(), g); err != nil {
		r.Error(err)
	}
	r.returns("worker-1")
}

// orphanVM: a VM of this cluster that no failover claims is deleted, once
// it is old enough; those of others are not.
func orphanVM(r *harness) {
	var ns corev1.Namespace
	if err := r.admin.Get(r.Context(), client.ObjectKey{Name: "kube-system"}, &ns); err != nil {
		r.Fatal(err)
	}
	r.cloud.OnRunning = nil
	r.cloud.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	for name, cluster := range map[string]string{"ours": string(ns.UID), "theirs": "another"} {
		err := r.cloud.Create(r.Context(), cloud.Spec{
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
		if err := c.Collect(r.Context()); err != nil {
			r.Fatal(err)
		}
		if n := r.cloud.Live(); n != want {
			r.Errorf("round %d: %d VMs, want %d", round, n, want)
		}
	}
	if all := r.cloud.VMs(); len(all) != 1 || all[0].Name != "theirs" {
		r.Errorf("left: %+v", all)
	}
	// An error is no absence: nothing is deleted when a list fails.
	r.cloud.Inject(memory.Fault{Call: cloud.CallList, Err: fmt.Errorf("503"), Times: -1})
	if err := c.Collect(r.Context()); err == nil {
		r.Error("the failed list was taken for an empty one")
	}
}

func dryRun(r *harness) {
	r.cfg.DryRun = true
	lease := func() string {
		var l coordinationv1.Lease
		err := r.admin.Get(r.Context(), client.ObjectKey{Namespace: namespace, Name: "torikumi-failover"}, &l)
		if client.IgnoreNotFound(err) != nil {
			r.Fatal(err)
		}
		return l.ResourceVersion
	}
	before := lease()
	logs := new(logBuffer)
	r.logs = logs
	says := func(text string) {
		r.Helper()
		r.eventually("the log tells what it would do", func() error {
			if all := logs.String(); !strings.Contains(all, text) {
				return fmt.Errorf("nothing of %s in %s", text, all)
			}
			return nil
		})
	}
	r.controller(r.kube)
	r.server("ready", "worker-1", "Ready")
	r.fails("worker-1")
	says("would make a failover")
	f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{Name: "by-hand"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1"}}
	if err := r.admin.Create(r.Context(), f); err != nil {
		r.Fatal(err)
	}
	says("would=[AddFinalizer]")
	// With a finalizer there is more to do.
	if err := r.admin.Patch(r.Context(), f, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":["`+v1.Finalizer+`"]}}`))); err != nil {
		r.Fatal(err)
	}
	says("phase Pending")
	if n := len(r.failovers()); n != 1 || r.cloud.Count(cloud.CallCreate) != 0 {
		r.Errorf("%d failovers, %d inserts", n, r.cloud.Count(cloud.CallCreate))
	}
	if got, err := r.failover("worker-1"); err != nil || got.Status.FailedAt != nil {
		r.Errorf("the failover was touched: %+v %v", got, err)
	}
	if _, err := r.getServer("ready"); err != nil {
		r.Error(err)
	}
	if after := lease(); after != before {
		r.Error("it has taken the lease from who would act")
	}
}

// nodeDeleted: a cloud-controller-manager deletes the NotReady Node; it comes
// back as a new object without its labels.
func nodeDeleted(r *harness) {
	r.cfg.Grace = 3 * time.Second // while it is Pending
	r.controller(r.kube)
	r.fails("worker-1")
	r.phase("worker-1", v1.Pending)
	if err := r.admin.Delete(r.Context(), r.node("worker-1")); err != nil {
		r.Fatal(err)
	}
	f := r.phase("worker-1", v1.Active)
	looks := r.cloud.Count(cloud.CallGet)
	r.eventually("it looks again while the Node is gone", func() error {
		if n := r.cloud.Count(cloud.CallGet); n < looks+2 {
			return fmt.Errorf("%d looks, there were %d", n, looks)
		}
		return nil
	})
	r.phase("worker-1", v1.Active)
	r.setNode("worker-1", corev1.ConditionTrue, map[string]string{"kubernetes.io/hostname": "worker-1"}, "")
	r.ends("worker-1", f.Status.GCPVMName)
	for k, v := range onpremLabels {
		if got := r.node("worker-1").Labels[k]; got != v {
			r.Errorf("label %s is %q", k, got)
		}
	}
}

func deletedWhileHealthy(r *harness) {
	r.controller(r.kube)
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	r.setNode("worker-2", corev1.ConditionTrue, onpremLabels, "")
	if err := r.admin.Delete(r.Context(), r.node("worker-1")); err != nil {
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
func initialise(r *harness) {
	r.cfg.InitNodes = true
	r.cloud.OnRunning = func(s cloud.Spec, _ cloud.Instance) {
		n := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{
				Name: s.Name, Labels: map[string]string{"node-type": "gcp-temporary", "node-location": "gcp"},
				Annotations: map[string]string{"alpha.kubernetes.io/provided-node-ip": "100.64.0.7"}, // in an overlay network
			},
			Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "node.cloudprovider.kubernetes.io/uninitialized", Value: "true", Effect: corev1.TaintEffectNoSchedule}}},
		}
		if err := r.admin.Create(r.Context(), n); err != nil {
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
	vm := r.cloud.VMs()[0]
	if n.Spec.ProviderID != vm.ProviderID || strings.Contains(fmt.Sprint(n.Spec.Taints), "uninitialized") || addresses[corev1.NodeExternalIP] != vm.ExternalIP || addresses[corev1.NodeInternalIP] != "100.64.0.7" {
		r.Errorf("provider id %q, taints %v, addresses %v of VM %+v", n.Spec.ProviderID, n.Spec.Taints, addresses, vm)
	}
	if n.Labels["hardware"] != "game-runner" {
		r.Errorf("labels %v: one that the kubelet has not registered is missing", n.Labels)
	}
	r.returns("worker-1")
}
