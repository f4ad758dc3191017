package controller_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/controller"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/miniagones/kubernetes/kubetest"
	"torikumi/pkg/agones"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
)

// harness is a namespace of a cluster with its kubelet.
type harness struct {
	testing.TB
	*kubetest.Cluster
	namespace string
}

// limit is for how long a test waits: pods are processes that have to start.
const limit = 90 * time.Second

func newHarness(t testing.TB, name string) *harness {
	c := testCluster(t)
	h := &harness{TB: t, Cluster: c, namespace: name}
	if err := c.EnsureNamespace(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: pod.ServiceAccount},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: pod.ServiceAccount},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: name, Name: pod.ServiceAccount}},
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: pod.ServiceAccount}}
	for _, o := range []client.Object{binding, account} {
		if err := c.Admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	startKubelet(t, c, name)
	t.Cleanup(h.clear)
	return h
}

// clear takes all away, and waits until the pods have ended.
func (h *harness) clear() {
	ctx := context.Background()
	for _, o := range []client.Object{&v1.Fleet{}, &v1.GameServer{}, &corev1.Pod{}} {
		if err := h.Admin.DeleteAllOf(ctx, o, client.InNamespace(h.namespace)); err != nil {
			h.Error(err)
		}
	}
	h.eventually("the pods are gone", func() error {
		pods := new(corev1.PodList)
		if err := h.Admin.List(ctx, pods, client.InNamespace(h.namespace)); err != nil || len(pods.Items) > 0 {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		return nil
	})
}

func (h *harness) eventually(what string, condition func() error) {
	h.Helper()
	eventually.Within(h, limit, what, condition)
}

// settings are those of the controllers of the tests; more come after them.
func (h *harness) settings(more ...string) []string {
	return append([]string{
		"--kubeconfig=" + h.As(h, "agones-system", "miniagones"), "--sidecar-image=sdk", "--ports=27000-27999",
		"--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", "--backoff-min=50ms", "--backoff-max=1s",
	}, more...)
}

// controller runs a controller that serves allocation in plain text until the end
// of the test, and returns its addresses.
func (h *harness) controller(more ...string) service.Addrs {
	h.Helper()
	return h.run(append([]string{"--allocator-insecure"}, more...)...)
}

// secureController is one as in the manifests, once the API server reaches it.
func (h *harness) secureController(api string) service.Addrs {
	h.Helper()
	a := h.run("--self-signed", "--client-secrets=torikumi/allocator-client", "--api-listen="+api)
	h.eventually("the API server reaches GameServerAllocation's server", func() error {
		got, err := h.allocate(h.Config, `{"selectors":[{"matchLabels":{"agones.dev/fleet":"none"}}]}`)
		if err == nil && got.State != "UnAllocated" {
			err = fmt.Errorf("it answers %+v", got)
		}
		return err
	})
	return a
}

func (h *harness) run(more ...string) service.Addrs {
	h.Helper()
	cfg := new(controller.Config)
	if err := config.Load("miniagones", "", cfg, h.settings(more...), func(string) string { return "" }, nil); err != nil {
		h.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { ended <- controller.Run(ctx, cfg, func(a service.Addrs) { started <- a }) }()
	select {
	case a := <-started:
		h.Cleanup(func() {
			cancel()
			if err := <-ended; err != nil {
				h.Errorf("the controller: %v", err)
			}
		})
		return a
	case err := <-ended:
		cancel()
		h.Fatalf("the controller: %v", err)
	}
	return service.Addrs{}
}

func (h *harness) dial(addr string) *grpc.ClientConn {
	conn, err := rpc.Dial(addr)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = conn.Close() })
	return conn
}

// fleet is a Fleet of servers whose image is a mode of package conformance.
func (h *harness) fleet(name, image string, replicas int32) *v1.Fleet {
	template, err := json.Marshal(corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "game", Image: image}}}})
	if err != nil {
		h.Fatal(err)
	}
	return &v1.Fleet{
		ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: name},
		Spec: v1.FleetSpec{Replicas: replicas, Template: v1.GameServerTemplate{
			Metadata: v1.TemplateMetadata{Labels: map[string]string{"torikumi/allocatable": "true"}},
			Spec: v1.GameServerSpec{
				Ports:    []v1.GameServerPort{{Name: "default", ContainerPort: 7654}},
				Health:   v1.Health{PeriodSeconds: 1, FailureThreshold: 15, InitialDelaySeconds: 1}, // the machine may be busy
				Template: runtime.RawExtension{Raw: template},
			},
		}},
	}
}

func (h *harness) create(o client.Object) {
	h.Helper()
	if err := h.Admin.Create(h.Context(), o); err != nil {
		h.Fatal(err)
	}
}

func (h *harness) servers() []v1.GameServer {
	h.Helper()
	list := new(v1.GameServerList)
	if err := h.Admin.List(context.Background(), list, client.InNamespace(h.namespace)); err != nil {
		h.Fatal(err)
	}
	return list.Items
}

// in returns the servers in a state.
func (h *harness) in(state string) (found []v1.GameServer) {
	for _, gs := range h.servers() {
		if gs.Status.State == state {
			found = append(found, gs)
		}
	}
	return found
}

// ready waits until exactly n servers are there, all of them Ready.
func (h *harness) ready(n int) []v1.GameServer {
	h.Helper()
	h.eventually(fmt.Sprintf("%d servers, all Ready", n), func() error {
		if all, ready := len(h.servers()), len(h.in(agones.Ready)); all != n || ready != n {
			return fmt.Errorf("%d servers, %d Ready", all, ready)
		}
		return nil
	})
	return h.in(agones.Ready)
}

// buffer keeps n servers of a fleet Ready beside those in use, until the end of
// the test: what an autoscaler does in a cluster.
func (h *harness) buffer(fleet string, n int32) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			f := new(v1.Fleet)
			if err := h.Admin.Get(ctx, client.ObjectKey{Namespace: h.namespace, Name: fleet}, f); err != nil {
				continue
			}
			old := f.DeepCopy()
			if f.Spec.Replicas = f.Status.AllocatedReplicas + f.Status.ReservedReplicas + n; f.Spec.Replicas == old.Spec.Replicas {
				continue
			}
			if err := h.Admin.Patch(ctx, f, client.MergeFrom(old)); err != nil && ctx.Err() == nil {
				h.Errorf("scale: %v", err)
			}
		}
	}()
	h.Cleanup(func() { cancel(); <-done })
}
