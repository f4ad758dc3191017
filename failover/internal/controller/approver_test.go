package controller

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/join"
)

// gauged are the values of a metric by its label, or by "".
func gauged(t *testing.T, reg prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range all {
		if f.GetName() != "torikumi_failover_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			label := ""
			if len(m.GetLabel()) > 0 {
				label = m.GetLabel()[0].GetValue()
			}
			got[label] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return got
}

// TestDeniedRequests: an operator sees that somebody asks with a token whose VM has
// joined, was given up, or is known to nobody.
func TestDeniedRequests(t *testing.T) {
	for name, tt := range map[string]struct {
		failover func(*v1.NodeFailover)
		event    bool
	}{
		"joined":   {func(f *v1.NodeFailover) { f.Status.Phase = v1.Active }, true},
		"over":     {func(f *v1.NodeFailover) { f.Status.Phase = v1.Completed }, true},
		"given up": {func(f *v1.NodeFailover) { f.Status.VM.GaveUp = v1.GaveUpLost }, true},
		"unknown":  {func(f *v1.NodeFailover) { f.Status.VM.TokenIDs = []string{"other0"} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := aFailover(func(f *v1.NodeFailover) {
				f.Status.Phase, f.Status.GCPVMName, f.Status.VM = v1.Creating, "vm", &v1.VMStatus{TokenIDs: []string{"abcdef"}}
				tt.failover(f)
			})
			q := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "csr-1"}}
			q.Spec.Username, q.Spec.Groups = "system:bootstrap:abcdef", []string{join.TokenGroup}
			q.Spec.SignerName = certificatesv1.KubeAPIServerClientKubeletSignerName
			r, c := fakeCluster(t, f, q)
			reg, recorder := prometheus.NewRegistry(), events.NewFakeRecorder(10)
			r.opts.Metrics, r.opts.Events, r.opts.TokenGroup = NewMetrics(reg), recorder, join.TokenGroup
			if got := gauged(t, reg, "certificate_requests_total"); len(got) != 2 { // an alert sees the first one
				t.Errorf("at first: %v", got)
			}
			a := &Approver{opts: r.opts}
			if _, err := a.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(q)}); err != nil {
				t.Fatal(err)
			}
			if err := c.Get(t.Context(), client.ObjectKeyFromObject(q), q); err != nil || len(q.Status.Conditions) != 1 || q.Status.Conditions[0].Type != certificatesv1.CertificateDenied {
				t.Fatalf("%v: %+v", err, q.Status.Conditions)
			}
			if got := gauged(t, reg, "certificate_requests_total"); got["denied"] != 1 || got["approved"] != 0 {
				t.Errorf("counted are %v", got)
			}
			close(recorder.Events)
			told := ""
			for e := range recorder.Events {
				told += e
			}
			if strings.Contains(told, "CertificateDenied csr-1, with the token of vm: no VM is to join with this token") != tt.event {
				t.Errorf("the events are %q", told)
			}
		})
	}
}

// TestWatchedNodesMetric: how many Nodes have the watched label; before the cache is
// there nothing is said, as none is an alarm.
func TestWatchedNodesMetric(t *testing.T) {
	r, c := fakeCluster(t, aNode("worker-1", nil))
	reg := prometheus.NewRegistry()
	r.opts.Metrics = NewMetrics(reg)
	if got := gauged(t, reg, "watched_nodes"); len(got) > 0 {
		t.Errorf("before the cache is there: %v", got)
	}
	r.opts.Metrics.watchOpen(r.opts)
	if got := gauged(t, reg, "watched_nodes"); got[""] != 1 {
		t.Errorf("with one: %v", got)
	}
	n := getNode(t, c, "worker-1")
	n.Labels = map[string]string{"node-restriction.kubernetes.io/node-type": "onpremise"} // another than is watched
	if err := c.Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if got, ok := gauged(t, reg, "watched_nodes")[""]; got != 0 || !ok {
		t.Errorf("with none: %v %v", got, ok)
	}
}
