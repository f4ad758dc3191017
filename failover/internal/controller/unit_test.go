package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/decide"
	"torikumi/failover/internal/gameserver"
	"torikumi/pkg/contract"
	"torikumi/pkg/porttest"
)

func list(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}

func container(cpu, memory string) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: list(cpu, memory)}}
}

// Figures as the scheduler counts them.
func TestRequests(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	sidecar := container("100m", "100Mi")
	sidecar.RestartPolicy = &always
	for name, tt := range map[string]struct {
		spec        corev1.PodSpec
		cpu, memory string
	}{
		"nothing":          {corev1.PodSpec{Containers: []corev1.Container{{}}}, "0", "0"},
		"game and gate":    {corev1.PodSpec{Containers: []corev1.Container{container("1", "1Gi"), container("30m", "64Mi")}}, "1030m", "1088Mi"},
		"Kata overhead":    {corev1.PodSpec{Containers: []corev1.Container{container("1", "1Gi")}, Overhead: list("250m", "160Mi")}, "1250m", "1184Mi"},
		"large init":       {corev1.PodSpec{InitContainers: []corev1.Container{container("2", "64Mi")}, Containers: []corev1.Container{container("1", "1Gi")}}, "2", "1Gi"},
		"sidecar":          {corev1.PodSpec{InitContainers: []corev1.Container{sidecar}, Containers: []corev1.Container{container("1", "1Gi")}}, "1100m", "1124Mi"},
		"sidecar and init": {corev1.PodSpec{InitContainers: []corev1.Container{sidecar, container("2", "64Mi")}, Containers: []corev1.Container{container("1", "1Gi")}}, "2100m", "1124Mi"},
	} {
		cpu, memory := requests(&corev1.Pod{Spec: tt.spec})
		if cpu.Cmp(resource.MustParse(tt.cpu)) != 0 || memory.Cmp(resource.MustParse(tt.memory)) != 0 {
			t.Errorf("%s: %s and %s, want %s and %s", name, cpu.String(), memory.String(), tt.cpu, tt.memory)
		}
	}
}

func TestFenceWebhook(t *testing.T) {
	var got FenceRequest
	status := http.StatusNoContent
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if err := json.NewDecoder(q.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		w.WriteHeader(status)
	}))
	defer srv.Close()
	r := NewReconciler(&Options{FenceURL: srv.URL, FenceClient: srv.Client(), Log: slog.New(slog.DiscardHandler)})
	f := &v1.NodeFailover{ObjectMeta: metav1.ObjectMeta{UID: "f-uid"}, Spec: v1.NodeFailoverSpec{OnpremNodeName: "worker-1"}}
	f.Status.Recorded = &v1.RecordedNode{UID: "n-uid"}
	if err := r.callFence(t.Context(), f); err != nil {
		t.Error(err)
	}
	if want := (FenceRequest{Node: "worker-1", NodeUID: "n-uid", Failover: "f-uid"}); got != want {
		t.Errorf("asked %+v, want %+v", got, want)
	}
	for _, status = range []int{http.StatusAccepted + 200, http.StatusFound, http.StatusInternalServerError} {
		if err := r.callFence(t.Context(), f); err == nil {
			t.Errorf("status %d confirms", status)
		}
	}
	srv.Close()
	if err := r.callFence(t.Context(), f); err == nil {
		t.Error("silence confirms")
	}
}

func TestAddresses(t *testing.T) {
	have := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "100.64.0.7"}, {Type: corev1.NodeExternalDNS, Address: "a.example"}}
	got := addresses(have, "n", cloud.Instance{InternalIP: "10.0.0.2", ExternalIP: "203.0.113.2"})
	want := []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "n"}, {Type: corev1.NodeInternalIP, Address: "10.0.0.2"},
		{Type: corev1.NodeExternalIP, Address: "203.0.113.2"}, {Type: corev1.NodeExternalDNS, Address: "a.example"},
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("address %d is %v, want %v", i, got[i], want[i])
		}
	}
}

// What is cached has to hold all that is decided from.
func TestTrims(t *testing.T) {
	g := &gameserver.GameServer{ObjectMeta: metav1.ObjectMeta{
		Labels:      map[string]string{contract.AllocatableLabel: "true", "agones.dev/fleet": "f"},
		Annotations: map[string]string{gameserver.HiddenAnnotation: "true", "long": "text"},
	}, Status: gameserver.GameServerStatus{State: "Ready", NodeName: "n"}}
	if _, err := gameserver.Trim(g); err != nil || len(g.Labels) != 1 || len(g.Annotations) != 1 || g.Status.State != "Ready" {
		t.Errorf("%+v", g)
	}
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}, Annotations: map[string]string{nodePaused: "true", "x": "y"}},
		Spec: corev1.NodeSpec{ProviderID: "p"},
		Status: corev1.NodeStatus{Images: []corev1.ContainerImage{{}}, Conditions: []corev1.NodeCondition{
			{Type: corev1.NodeDiskPressure}, {Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.Now()}}}}
	if _, err := trimNode(n); err != nil || health(n) != "Ready" || n.Annotations[nodePaused] != "true" || n.Spec.ProviderID != "p" ||
		len(n.Labels) != 1 || len(n.Status.Images) > 0 || !n.Status.Conditions[0].LastHeartbeatTime.IsZero() {
		t.Errorf("%+v", n)
	}
}

// What a node has lost, by size; beyond the limit nothing counts as smaller
// than it is.
func TestSumUp(t *testing.T) {
	pod := func(cpu, memory string) corev1.Pod {
		return corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{container(cpu, memory)}}}
	}
	done := pod("8", "8Gi")
	done.Status.Phase = corev1.PodFailed
	lost := sumUp([]corev1.Pod{pod("500m", "1Gi"), pod("2", "1Gi"), done, pod("0.5", "1024Mi")})
	if got := fmt.Sprint(lost.GameServers, " ", lost.CPU.String(), " ", lost.Memory.String()); got != "3 3 3Gi" {
		t.Errorf("lost %s", got)
	}
	if z := lost.Sizes; len(z) != 2 || z[0].CPU.String() != "2" || z[0].Count != 1 || z[1].CPU.String() != "500m" || z[1].Count != 2 {
		t.Errorf("sizes %+v", z)
	}
	var many []corev1.Pod
	for i := range v1.MaxSizes + 9 {
		many = append(many, pod(fmt.Sprintf("%dm", 100+i), fmt.Sprintf("%dMi", 900-i)))
	}
	z := sumUp(many).Sizes
	if last := z[v1.MaxSizes-1]; len(z) != v1.MaxSizes || last.Count != 10 || last.CPU.String() != "109m" || last.Memory.String() != "900Mi" {
		t.Errorf("%d sizes, the last %+v", len(z), last)
	}
}

// A webhook behind a login page, or one that has moved: what answers at the end
// of a redirect does not know if the node is off.
func TestFenceWebhookIsNotRedirected(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/fence" {
			http.Redirect(w, q, "/login", http.StatusFound)
		}
	}))
	defer srv.Close()
	r := NewReconciler(&Options{FenceURL: srv.URL + "/fence", FenceClient: srv.Client()})
	if err := r.callFence(t.Context(), &v1.NodeFailover{}); err == nil || !strings.Contains(err.Error(), "302") {
		t.Errorf("got %v", err)
	}
}

// The error goes into a condition, and the address may hold a secret.
func TestFenceErrorHoldsNoAddress(t *testing.T) {
	r := NewReconciler(&Options{FenceURL: "http://" + porttest.Hold(t).String() + "/fence?key=s3cr3t", FenceClient: &http.Client{}})
	if err := r.callFence(t.Context(), &v1.NodeFailover{}); err == nil || strings.Contains(err.Error(), "s3cr3t") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("got %v", err)
	}
}

// sluggish is a cloud whose answers take longer than the first look waits.
type sluggish struct {
	cloud.Provider
	takes time.Duration
}

func (s *sluggish) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (cloud.Instance, error) {
	select {
	case <-time.After(s.takes):
		return cloud.Instance{Ref: r, Owner: o, State: cloud.Running}, nil
	case <-ctx.Done():
		return cloud.Instance{}, ctx.Err()
	}
}

func TestSlowLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &sluggish{takes: 20 * time.Second}
		r := NewReconciler(&Options{Cloud: slow, Clock: clock.RealClock{}, Metrics: NewMetrics(prometheus.NewRegistry()), Settings: &decide.Settings{}})
		look := func() (decide.Presence, time.Duration) {
			s := &decide.State{Failover: &v1.NodeFailover{Status: v1.NodeFailoverStatus{Phase: v1.Creating, GCPVMName: "vm", VM: &v1.VMStatus{}}}}
			began := time.Now()
			r.observeVM(t.Context(), s)
			return s.VM.Presence, time.Since(began)
		}
		for i, want := range []struct {
			takes, waits time.Duration
			presence     decide.Presence
		}{
			{20 * time.Second, lookTimeout, decide.VMUnknown},
			{20 * time.Second, 20 * time.Second, decide.VMPresent}, // the last one took long
			{time.Second, time.Second, decide.VMPresent},
			{time.Hour, lookTimeout, decide.VMUnknown}, // the last one did not
			{time.Hour, callTimeout, decide.VMUnknown},
		} {
			slow.takes = want.takes
			if known, waited := look(); known != want.presence || waited != want.waits {
				t.Errorf("look %d: %q after %s, want %q after %s", i, known, waited, want.presence, want.waits)
			}
		}
	})
}

// What the VMs cost is known if the cloud tells it or an operator has.
func TestCostPerHour(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	ref := func(name string) cloud.Ref { return cloud.Ref{Name: name, Zone: "z"} }
	m.instances([]cloud.Instance{{Ref: ref("told"), HourlyCost: 0.5}, {Ref: ref("set")}, {Ref: ref("neither")}}, map[cloud.Ref]float64{ref("told"): 9, ref("set"): 0.25, ref("gone"): 9})
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "torikumi_failover_cost_per_hour" {
			if got := f.GetMetric()[0].GetGauge().GetValue(); got != 0.75 {
				t.Errorf("%v an hour", got)
			}
			return
		}
	}
	t.Error("no such metric")
}

// TestOpenFailovers: the gauges count and age what is open, without drills.
func TestOpenFailovers(t *testing.T) {
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	before, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range before {
		if strings.Contains(f.GetName(), "open_failover") {
			t.Errorf("before the cache is there: %v", f)
		}
	}
	now := time.Now()
	made := func(phase v1.Phase, age time.Duration, drill bool) v1.NodeFailover {
		f := v1.NodeFailover{Spec: v1.NodeFailoverSpec{Drill: drill}, Status: v1.NodeFailoverStatus{Phase: phase}}
		f.CreationTimestamp = metav1.NewTime(now.Add(-age))
		return f
	}
	list := func() ([]v1.NodeFailover, time.Time, error) {
		return []v1.NodeFailover{
			made(v1.Active, time.Hour, false), made(v1.Active, 2*time.Hour, false), made("", time.Minute, false),
			made(v1.Completed, 9*time.Hour, false), made(v1.Creating, 3*time.Hour, true),
		}, now, nil
	}
	m.open.list.Store(&list)
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range all {
		if name, ok := strings.CutPrefix(f.GetName(), "torikumi_failover_open_"); ok {
			for _, g := range f.Metric {
				got[name+" "+g.Label[0].GetValue()] = g.Gauge.GetValue()
			}
		}
	}
	want := map[string]float64{
		"failovers Pending": 1, "failovers Creating": 0, "failovers Active": 2, "failovers Recovering": 0, "failovers Draining": 0,
		"failover_age_seconds Pending": 60, "failover_age_seconds Creating": 0, "failover_age_seconds Active": 7200, "failover_age_seconds Recovering": 0, "failover_age_seconds Draining": 0,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
