package kubetest

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/pkg/porttest"
	"torikumi/pkg/rpc"
)

// APIService leads the API server to a GameServerAllocation's server on this
// machine, until the end of the test.
func (c *Cluster) APIService(t testing.TB, listen string) {
	t.Helper()
	_, text, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "agones-system", Name: "miniagones"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost", Ports: []corev1.ServicePort{{Port: int32(port)}}},
	}
	c.create(t, service)
	api := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": "v1.allocation.agones.dev"},
		"spec": map[string]any{
			"group": "allocation.agones.dev", "version": "v1", "groupPriorityMinimum": int64(1000), "versionPriority": int64(15),
			"service": map[string]any{"namespace": "agones-system", "name": "miniagones", "port": port},
		},
	}}
	c.create(t, api)
}

// create makes an object, and takes it away at the end of the test.
func (c *Cluster) create(t testing.TB, o client.Object) {
	t.Helper()
	if err := c.Admin.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Admin.Delete(context.Background(), o) })
}

// FreePort is one that nobody else gets until the end of the test.
func FreePort(t testing.TB) string { t.Helper(); return porttest.Hold(t).String() }

// ClientFiles writes the certificate that the controller has made for the director.
func (c *Cluster) ClientFiles(t testing.TB) rpc.TLS {
	t.Helper()
	s := new(corev1.Secret)
	if err := c.Admin.Get(t.Context(), client.ObjectKey{Namespace: "torikumi", Name: "allocator-client"}, s); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range s.Data {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return rpc.TLS{CAFile: filepath.Join(dir, "ca.crt"), CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
}
