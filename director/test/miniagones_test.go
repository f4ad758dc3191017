package test_test

import (
	"context"
	"os"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/director/internal/servers"
	"torikumi/director/test/conformance"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/controller"
	"torikumi/miniagones/kubernetes/kubetest"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// fleet is a miniagones that allocates, with GameServers that the tests make: no
// controller leads, and so none makes or changes any.
type fleet struct {
	*kubetest.Cluster
	// allocator is the address of the allocator service.
	allocator string
	namespace string
	// filled counts the fleets that were made.
	filled int
}

func startFleet(t testing.TB) *fleet {
	t.Helper()
	f := &fleet{Cluster: testCluster(t), namespace: "games"}
	if f.real() {
		f.allocator = os.Getenv(allocatorVariable)
		return f
	}
	if err := f.Apply(t.Context(), "../../manifests/base/director/rbac.yaml"); err != nil {
		t.Fatal(err)
	}
	f.lead(t)
	listen := kubetest.FreePort(t)
	f.APIService(t, listen)
	cfg := new(controller.Config)
	args := []string{
		"--kubeconfig=" + f.As(t, "agones-system", "miniagones"), "--sidecar-image=none", "--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0",
		"--log-level=ERROR", "--self-signed", "--client-secrets=torikumi/allocator-client", "--api-listen=" + listen,
	}
	if err := config.Load("miniagones", "", cfg, args, func(string) string { return "" }, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { ended <- controller.Run(ctx, cfg, func(a service.Addrs) { started <- a }) }()
	select {
	case a := <-started:
		f.allocator = a.GRPC
	case err := <-ended:
		cancel()
		t.Fatalf("miniagones: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("miniagones: %v", err)
		}
	})
	return f
}

// lead holds the lease by which one of several controllers leads.
func (f *fleet) lead(t testing.TB) {
	t.Helper()
	holder, long, now := "nobody", int32(3600), metav1.NowMicro()
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agones-system", Name: "miniagones"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &long, AcquireTime: &now, RenewTime: &now},
	}
	if err := client.IgnoreAlreadyExists(f.Admin.Create(t.Context(), lease)); err != nil {
		t.Fatal(err)
	}
}

// add makes a GameServer, and takes it away at the end of the test.
func (f *fleet) add(t testing.TB, s servers.Server) {
	t.Helper()
	f.addWith(t, s, conformance.Counts{})
}

func (f *fleet) addWith(t testing.TB, s servers.Server, has conformance.Counts) {
	t.Helper()
	if f.real() {
		f.addDevelopment(t, s, has)
		return
	}
	gs := &v1.GameServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, Labels: s.Labels, Annotations: s.Annotations},
		Spec:       v1.GameServerSpec{Template: runtime.RawExtension{Raw: []byte(`{"spec":{"containers":[{"name":"game","image":"none"}]}}`)}},
		Status:     v1.GameServerStatus{State: s.State, Address: s.Address, NodeName: "node-1"},
	}
	gs.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: s.Address}}
	gs.Status.Counters, gs.Status.Lists = countsOf(has)
	for _, p := range s.Ports {
		gs.Status.Ports = append(gs.Status.Ports, v1.GameServerStatusPort{Name: p.Name, Port: p.Number})
	}
	f.create(t, gs)
}

// create makes a GameServer, and takes it away at the end of the test.
func (f *fleet) create(t testing.TB, gs *v1.GameServer) {
	t.Helper()
	if err := f.Admin.Create(t.Context(), gs); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.patch(context.Background(), gs.Name, `{"metadata":{"finalizers":null}}`)
		_ = f.remove(gs.Name)
	})
}

func countsOf(has conformance.Counts) (counters map[string]v1.CounterStatus, lists map[string]v1.ListStatus) {
	for name, c := range has.Counters {
		if counters == nil {
			counters = make(map[string]v1.CounterStatus)
		}
		counters[name] = v1.CounterStatus(c)
	}
	for name, l := range has.Lists {
		if lists == nil {
			lists = make(map[string]v1.ListStatus)
		}
		lists[name] = v1.ListStatus{Capacity: l.Capacity, Values: l.Values}
	}
	return counters, lists
}

func (f *fleet) counts(t testing.TB, name string) conformance.Counts {
	t.Helper()
	gs := f.object(name)
	if err := f.Admin.Get(t.Context(), client.ObjectKeyFromObject(gs), gs); err != nil {
		t.Fatal(err)
	}
	has := conformance.Counts{Counters: make(map[string]conformance.Counter), Lists: make(map[string]conformance.List)}
	for name, c := range gs.Status.Counters {
		has.Counters[name] = conformance.Counter(c)
	}
	for name, l := range gs.Status.Lists {
		has.Lists[name] = conformance.List{Values: l.Values, Capacity: l.Capacity}
	}
	return has
}

func (f *fleet) object(name string) *v1.GameServer {
	return &v1.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name}}
}

func (f *fleet) remove(name string) error {
	return f.Admin.Delete(context.Background(), f.object(name))
}

func (f *fleet) patch(ctx context.Context, name, patch string) error {
	return f.Admin.Patch(ctx, f.object(name), client.RawPatch(types.MergePatchType, []byte(patch)))
}

func (f *fleet) touch(t testing.TB, name string) {
	t.Helper()
	if err := f.patch(t.Context(), name, `{"metadata":{"annotations":{"touched":"`+time.Now().String()+`"}}}`); err != nil {
		t.Fatal(err)
	}
}

// end deletes a GameServer that a finalizer keeps.
func (f *fleet) end(t testing.TB, name string) {
	t.Helper()
	if err := f.patch(t.Context(), name, `{"metadata":{"finalizers":["torikumi/test"]}}`); err != nil {
		t.Fatal(err)
	}
	if err := f.remove(name); err != nil {
		t.Fatal(err)
	}
}
