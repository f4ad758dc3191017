package controlplane_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"torikumi/failover/internal/controlplane"
	"torikumi/pkg/eventually"
)

// grace is short, and long enough for heartbeats on busy cores.
const grace = 8 * time.Second

var shared = controlplane.Shared{Options: controlplane.Options{ControllerManager: true, NodeMonitorGrace: grace}}

func TestMain(m *testing.M) { goleak.VerifyTestMain(shared.Main(m)) }

func client(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"k": "v"}}
}

func TestParallelStart(t *testing.T) {
	for i := range 2 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			c := controlplane.Start(t, controlplane.Options{})
			// Neither sees what the other has.
			if _, err := c.Client.CoreV1().ConfigMaps("default").Create(t.Context(), configMap("one"), metav1.CreateOptions{}); err != nil {
				t.Error(err)
			}
			config, err := clientcmd.RESTConfigFromKubeConfig(c.Kubeconfig)
			if err != nil {
				t.Fatal(err)
			}
			version, err := client(t, config).Discovery().ServerVersion()
			if err != nil {
				t.Fatal(err)
			}
			t.Log("Kubernetes", version.GitVersion)
		})
	}
}

func TestRBAC(t *testing.T) {
	c := shared.Get(t)
	ns := c.Namespace(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "watcher"}}
	if _, err := c.Client.CoreV1().ServiceAccounts(ns).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	watcher := client(t, c.ConfigFor(t, ns, "watcher"))
	list := func() error {
		_, err := watcher.CoreV1().ConfigMaps(ns).List(t.Context(), metav1.ListOptions{})
		return err
	}
	if err := list(); !apierrors.IsForbidden(err) {
		t.Fatalf("without a role: %v, want forbidden", err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "watcher"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "watcher"}},
	}
	if _, err := c.Client.RbacV1().RoleBindings(ns).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually.Within(t, time.Minute, "with the role", list)
	if _, err := watcher.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("in another namespace: %v, want forbidden", err)
	}
}

func TestRestartKeepsData(t *testing.T) {
	c := controlplane.Start(t, controlplane.Options{ControllerManager: true})
	maps := c.Client.CoreV1().ConfigMaps("default")
	before, err := maps.Create(t.Context(), configMap("kept"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "someone"}}
	if _, err := c.Client.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	someone := client(t, c.ConfigFor(t, "default", "someone"))

	began := time.Now()
	c.StopAPIServer(t)
	c.StopAPIServer(t)
	t.Log("stopped after", time.Since(began).Round(time.Millisecond))
	if _, err := maps.Get(t.Context(), "kept", metav1.GetOptions{}); err == nil {
		t.Error("a stopped API server answers")
	}
	began = time.Now()
	c.StartAPIServer(t)
	c.StartAPIServer(t)
	t.Log("ready again after", time.Since(began).Round(time.Millisecond))

	after, err := maps.Get(t.Context(), "kept", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if after.UID != before.UID {
		t.Errorf("UID %s, was %s", after.UID, before.UID)
	}
	// A token from before the restart is still one: it is refused for lack of
	// rights, not of identity.
	if _, err := someone.CoreV1().ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("with a token from before: %v, want forbidden", err)
	}
	// The controller manager, which watched all the time, goes on.
	ns := c.Namespace(t)
	eventually.Within(t, time.Minute, "a new namespace has its service account", func() error {
		_, err := c.Client.CoreV1().ServiceAccounts(ns).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
}

func TestInstallCRDs(t *testing.T) {
	c := shared.Get(t)
	c.InstallCRDs(t, "testdata")
	c.InstallCRDs(t, "testdata/crd.yaml") // again is nothing
	birds := bird(t, c)
	if _, err := birds.Create(t.Context(), newBird(3), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("three wings: %v, want invalid", err)
	}
	if _, err := birds.Create(t.Context(), newBird(2), metav1.CreateOptions{}); err != nil {
		t.Errorf("two wings: %v", err)
	}
	accounts := c.Client.CoreV1().ServiceAccounts("default")
	if _, err := accounts.Get(t.Context(), "bird", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("InstallCRDs installs what is no CRD: %v", err)
	}
	c.Apply(t, "testdata")
	t.Cleanup(func() {
		if err := accounts.Delete(context.WithoutCancel(t.Context()), "bird", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	if _, err := accounts.Get(t.Context(), "bird", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

func bird(t *testing.T, c *controlplane.Cluster) dynamic.ResourceInterface {
	t.Helper()
	d, err := dynamic.NewForConfig(c.Config)
	if err != nil {
		t.Fatal(err)
	}
	return d.Resource(schema.GroupVersionResource{Group: "example.torikumi", Version: "v1", Resource: "birds"})
}

func newBird(wings int64) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "example.torikumi/v1",
		"kind":       "Bird",
		"metadata":   map[string]any{"generateName": "bird-"},
		"spec":       map[string]any{"wings": wings},
	}}
}
