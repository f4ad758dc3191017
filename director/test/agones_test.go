package test_test

import (
	"fmt"
	"maps"
	"os"
	"testing"

	"google.golang.org/grpc"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/director/internal/servers"
	"torikumi/director/test/conformance"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
)

// With these the tests of this package run against a real Agones, in place of
// miniagones: the kubeconfig of an administrator, and the address of the allocator
// service. The manifests of base/director and the director's Secrets are applied, and
// the namespace games has no game servers of others.
const (
	agonesVariable    = "DIRECTOR_TEST_AGONES"
	allocatorVariable = "DIRECTOR_TEST_ALLOCATOR"
)

// real reports whether the game servers are those of a real Agones.
func (f *fleet) real() bool { return os.Getenv(agonesVariable) != "" }

// allocatorFiles are those by which the allocator service knows the director.
func (f *fleet) allocatorFiles(t testing.TB) rpc.TLS {
	t.Helper()
	files := f.ClientFiles(t)
	if f.real() {
		files.ServerName = "agones-allocator.agones-system.svc" // in the certificate, whatever its address
	}
	return files
}

// dialAllocator connects to the allocator service, which is at an address of its own or
// behind a proxy.
func (f *fleet) dialAllocator(t testing.TB, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.DialTLS(addr, f.allocatorFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// addDevelopment makes a development GameServer: Agones takes it for one that runs at
// the given address, and makes no pod.
func (f *fleet) addDevelopment(t testing.TB, s servers.Server, has conformance.Counts) {
	t.Helper()
	gs := &v1.GameServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name, Labels: s.Labels, Annotations: map[string]string{"agones.dev/dev-address": s.Address}},
		Spec:       v1.GameServerSpec{Template: runtime.RawExtension{Raw: []byte(`{"spec":{"containers":[{"name":"game","image":"none"}]}}`)}},
	}
	maps.Copy(gs.Annotations, s.Annotations)
	gs.Spec.Counters, gs.Spec.Lists = countsOf(has)
	for _, p := range s.Ports {
		gs.Spec.Ports = append(gs.Spec.Ports, v1.GameServerPort{Name: p.Name, PortPolicy: "Static", ContainerPort: p.Number, HostPort: p.Number, Protocol: "UDP"})
	}
	f.create(t, gs)
	eventually.NoError(t, "the game server is Ready", func() error {
		err := f.Admin.Get(t.Context(), client.ObjectKeyFromObject(gs), gs)
		if err == nil && gs.Status.State != agones.Ready {
			err = fmt.Errorf("it is %s", gs.Status.State)
		}
		return err
	})
	if s.State == agones.Ready {
		return
	}
	if err := f.patch(t.Context(), s.Name, `{"status":{"state":"`+s.State+`"}}`); err != nil {
		t.Fatal(err)
	}
}
