package failover_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
	"torikumi/failover/internal/controlplane"
	"torikumi/pkg/contract"
)

var errCrash = errors.New("the controller has crashed")

// crashing ends a controller at its n-th write, before or after it has reached
// the API server. From then on nothing gets through.
type crashing struct {
	base  http.RoundTripper
	after bool
	dead  chan struct{}

	mu   sync.Mutex
	left int
	what string
}

func (c *crashing) RoundTrip(q *http.Request) (*http.Response, error) {
	path := q.URL.Path
	dry := q.URL.Query().Has("dryRun") // what is tried at the start
	if q.Method == http.MethodGet || dry || strings.Contains(path, "/leases") || strings.Contains(path, "/events") {
		return c.base.RoundTrip(q)
	}
	c.mu.Lock()
	c.left--
	left := c.left
	if left == 0 {
		c.what = q.Method + " " + path
		close(c.dead)
	}
	c.mu.Unlock()
	if left > 0 || left == 0 && c.after {
		res, err := c.base.RoundTrip(q)
		if left > 0 || err != nil {
			return res, err
		}
		res.Body.Close()
	}
	return nil, errCrash
}

// plain makes a cluster without a controller manager quick: Nodes are what the
// test says they are, and VMs join by being written down.
func (r *harness) plain() {
	r.cfg.Grace, r.cfg.Stability, r.cfg.Poll = 200*time.Millisecond, 200*time.Millisecond, 50*time.Millisecond
	r.cloud.OnRunning = func(s cloud.Spec, i cloud.Instance) {
		r.setNode(s.Name, corev1.ConditionTrue, map[string]string{"node-type": "gcp-temporary", "node-location": "gcp", "hardware": "game-runner"}, i.ProviderID)
	}
}

// setNode writes a Node whose age is past the grace for new ones.
func (r *harness) setNode(name string, ready corev1.ConditionStatus, labels map[string]string, providerID string) {
	if err := writeNode(r.Context(), r.admin, name, ready, labels, providerID); err != nil {
		r.Errorf("node %s: %v", name, err)
	}
}

func writeNode(ctx context.Context, admin client.Client, name string, ready corev1.ConditionStatus, labels map[string]string, providerID string) error {
	conditions := []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastTransitionTime: metav1.Now()}}
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.NodeSpec{ProviderID: providerID},
		Status: corev1.NodeStatus{Conditions: conditions}, // as kubelets register, so that it is never seen without
	}
	if err := admin.Create(ctx, n); err != nil {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(n), n); err != nil {
			return err
		}
	}
	old := n.DeepCopy()
	n.Status.Conditions = conditions
	if providerID != "" { // what a cloud-controller-manager does
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeExternalIP, Address: "198.51.100.1"}}
	}
	return admin.Status().Patch(ctx, n, client.MergeFrom(old))
}

// TestCrashPoints kills the controller at its n-th write of a whole failover,
// for every n, before and after that write; another one goes on. Whatever n
// is, the game on the temporary node goes on, there is never a second VM, and
// nothing is left in the end.
func TestCrashPoints(t *testing.T) {
	r := newHarness(t, controlplane.Start(t, controlplane.Options{}))
	r.plain()
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			what := r.crashAt(n, after, 1)
			if t.Failed() {
				t.Fatalf("crash at write %d (after: %v): %s", n, after, what)
			}
			if what == "" {
				t.Logf("%d writes", n-1)
				if n < 12 {
					t.Errorf("this is not a whole failover")
				}
				break
			}
			t.Logf("write %d (after: %v): %s", n, after, what)
		}
	}
}

// TestCrashPointsTwoVMs is the same for a node whose game servers need two VMs:
// in turn before and after a write.
func TestCrashPointsTwoVMs(t *testing.T) {
	r := newHarness(t, controlplane.Start(t, controlplane.Options{}))
	r.plain()
	r.cfg.Machines = []string{"small:2:8Gi:0.1", "large:4:16Gi:0.2"}
	for n := 1; ; n++ {
		what := r.crashAt(n, n%2 == 0, 2)
		if t.Failed() {
			t.Fatalf("crash at write %d (after: %v): %s", n, n%2 == 0, what)
		}
		if what == "" {
			if n < 25 {
				t.Errorf("%d writes: these are not two whole failovers", n-1)
			}
			break
		}
		t.Logf("write %d (after: %v): %s", n, n%2 == 0, what)
	}
}

// crashAt plays a failover with a crash at the n-th write, and tells which
// write that was; none if there are not so many.
func (r *harness) crashAt(n int, after bool, vms int) string {
	node := fmt.Sprintf("worker-%d-%v", n, after)
	c := &crashing{left: n, after: after, dead: make(chan struct{})}
	kube := rest.CopyConfig(r.kube)
	kube.Wrap(func(base http.RoundTripper) http.RoundTripper { c.base = base; return c })

	r.setNode(node, corev1.ConditionTrue, onpremLabels, "")
	r.server("lost-"+node, node, "Ready")
	r.server("host-"+node, node, "Allocated")
	if vms == 2 {
		r.pods(node, 3, "1500m")
	}
	stop := r.controller(kube)
	done := make(chan struct{})
	r.wg.Go(func() {
		select {
		case <-c.dead:
			stop()
			r.controller(r.kube)
		case <-done:
			stop()
		}
	})
	r.setNode(node, corev1.ConditionFalse, nil, "")
	f := r.phase(node, v1.Active)
	if vms == 2 {
		r.second(node, v1.Active)
	}
	r.eventually("the dead node is tainted", func() error {
		if !tainted(r.node(node)) {
			return fmt.Errorf("it is not")
		}
		return r.gone("lost-" + node)
	})
	r.server("game-"+node, f.Status.GCPVMName, "Allocated")
	r.setNode(node, corev1.ConditionTrue, nil, "")
	r.phase(node, v1.Draining)
	g, err := r.getServer("game-" + node)
	if err != nil || g.DeletionTimestamp != nil {
		r.Errorf("the game has been ended: %v", err)
		return c.what
	}
	if err := r.admin.Delete(r.Context(), g); err != nil {
		r.Error(err)
	}
	r.ends(node, f.Status.GCPVMName)
	if g, err := r.getServer("host-" + node); err != nil || g.DeletionTimestamp != nil || g.Labels[contract.AllocatableLabel] != "true" || len(g.Annotations) > 0 {
		r.Errorf("the game on the node that has come back: %v %v %v", err, g.Labels, g.Annotations)
	}
	if p := r.cloud.Peak(); p > vms {
		r.Errorf("%d VMs at one time", p)
	}
	if err := r.admin.Delete(r.Context(), r.node(node)); err != nil {
		r.Error(err)
	}
	close(done)
	r.stopAll()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.what
}
