//go:build e2e

package controller_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/conformance"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/kubetest"
	"torikumi/pkg/rpc"
)

// Where the cluster is. The allocator has to be reachable under a name of its
// certificate, such as one that `kubectl port-forward` opens on localhost, and the
// nodes' addresses from here; the nodes need the image torikumi/conformance:dev.
const (
	clusterVariable   = "CONFORMANCE_KUBECONFIG"
	allocatorVariable = "CONFORMANCE_ALLOCATOR"
)

// TestConformanceOfCluster: a cluster hands out game servers as processes are
// handed out. docs/miniagones.md says how to run it.
func TestConformanceOfCluster(t *testing.T) {
	file, allocator := os.Getenv(clusterVariable), os.Getenv(allocatorVariable)
	if file == "" || allocator == "" {
		t.Fatalf("%s and %s: must be set", clusterVariable, allocatorVariable)
	}
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, corev1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{TB: t, Cluster: &kubetest.Cluster{Config: config, Admin: admin}, namespace: "games"}
	f := h.clusterFleet()
	h.create(f)
	t.Cleanup(func() {
		if err := admin.Delete(context.Background(), f); err != nil {
			t.Error(err)
		}
	})
	h.buffer(f.Name, 2)
	conn, err := rpc.DialTLS(allocator, h.ClientFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	conformance.Run(t, conformance.Target{Conn: conn, Namespace: h.namespace, Fleet: f.Name, Ready: 2, Timeout: 2 * time.Minute})
}

// clusterFleet is a Fleet that the admission policies of games let in.
func (h *harness) clusterFleet() *v1.Fleet {
	f := h.fleet("conformance", "torikumi/conformance:dev", 2)
	yes, no, user := true, false, int64(65532)
	template, err := json.Marshal(corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: &yes, RunAsUser: &user, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "game", Image: "torikumi/conformance:dev", ImagePullPolicy: corev1.PullNever,
			Env: []corev1.EnvVar{
				{Name: conformance.ModeVariable, Value: conformance.ModeServe}, {Name: conformance.HostVariable, Value: "0.0.0.0"}, {Name: "PORT", Value: "7654"},
			},
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: &no},
		}},
	}})
	if err != nil {
		h.Fatal(err)
	}
	f.Spec.Template.Spec.Template.Raw = template
	return f
}
