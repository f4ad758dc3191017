package failover_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
)

// hanging does not answer the first Create for one node, not even when its time is
// over: how long the others take must not matter.
type hanging struct {
	cloud.Provider
	node  string
	began chan struct{} // closed when it hangs
	ends  chan struct{} // closed by the test
	calls atomic.Int32
}

func (h *hanging) Create(ctx context.Context, s cloud.Spec) error {
	if s.Owner.Node != h.node || h.calls.Add(1) > 1 {
		return h.Provider.Create(ctx, s)
	}
	close(h.began)
	<-h.ends
	<-ctx.Done()
	return ctx.Err()
}

// hangingCloud: while the cloud does not answer for one node, others fail over
// and come back.
func hangingCloud(r *harness) {
	h := &hanging{Provider: r.cloud, node: "worker-1", began: make(chan struct{}), ends: make(chan struct{})}
	end := sync.OnceFunc(func() { close(h.ends) })
	defer end()
	r.other = h
	stop := r.controller(r.kube)
	r.fails("worker-1")
	<-h.began
	// Not of the same kind, so that they can't share a VM.
	r.setNode("worker-2", corev1.ConditionTrue, map[string]string{watchedKey: watchedValue, "hardware": "other"}, "")
	r.setNode("worker-2", corev1.ConditionFalse, nil, "")
	f := r.phase("worker-2", v1.Active)
	r.setNode("worker-2", corev1.ConditionTrue, nil, "")
	r.phase("worker-2", v1.Completed)
	if r.exists(cloud.Ref{Name: f.Status.GCPVMName, Zone: f.Status.VM.Zone}) {
		r.Error("the VM is left")
	}
	end()
	stop() // the next one need not wait
	r.controller(r.kube)
	r.phase("worker-1", v1.Active)
	r.returns("worker-1")
}

// silent answers no Get once it is told to be.
type silent struct {
	cloud.Provider
	quiet atomic.Bool
	asked atomic.Int32
}

func (p *silent) Get(ctx context.Context, ref cloud.Ref, owner cloud.Owner) (cloud.Instance, error) {
	if !p.quiet.Load() {
		return p.Provider.Get(ctx, ref, owner)
	}
	p.asked.Add(1)
	<-ctx.Done()
	return cloud.Instance{}, ctx.Err()
}

// hangsInDrain: while a node is drained, its servers leave without an answer
// of the cloud.
func hangsInDrain(r *harness) {
	p := &silent{Provider: r.cloud}
	r.other = p
	r.cfg.Watch = time.Hour
	r.controller(r.kube)
	r.fails("worker-1")
	f := r.phase("worker-1", v1.Active)
	r.server("game", f.Status.GCPVMName, "Allocated")
	r.setNode("worker-1", corev1.ConditionTrue, nil, "")
	r.phase("worker-1", v1.Draining)
	r.eventually("the game is hidden", func() error { return r.hidden("game") })
	p.quiet.Store(true)
	for i := range 3 {
		name := fmt.Sprintf("late-%d", i)
		r.server(name, f.Status.GCPVMName, "Ready")
		r.eventually("a server that became Ready goes", func() error { return r.gone(name) })
	}
	if n := p.asked.Load(); n > 0 {
		r.Errorf("the cloud was asked %d times", n)
	}
	p.quiet.Store(false)
	g, err := r.getServer("game")
	if err != nil {
		r.Fatal(err)
	}
	if err := r.admin.Delete(r.Context(), g); err != nil {
		r.Fatal(err)
	}
	r.ends("worker-1", f.Status.GCPVMName)
}

// meeting keeps patches of game servers back until so many have come.
type meeting struct {
	base http.RoundTripper
	want int32
	here atomic.Int32
	all  chan struct{}
}

func (m *meeting) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method == http.MethodPatch && strings.Contains(q.URL.Path, "/gameservers/") {
		if m.here.Add(1) == m.want {
			close(m.all)
		}
		select {
		case <-m.all:
		case <-q.Context().Done():
			return nil, q.Context().Err()
		}
	}
	return m.base.RoundTrip(q)
}

// sideBySide: the dead node's servers don't wait for each other, not even for
// one of the same name in another namespace.
func sideBySide(r *harness) {
	kube := rest.CopyConfig(r.kube)
	m := &meeting{want: 5, all: make(chan struct{})}
	kube.Wrap(func(base http.RoundTripper) http.RoundTripper { m.base = base; return m })
	r.setNode("worker-1", corev1.ConditionTrue, onpremLabels, "")
	for _, name := range []string{"one", "two", "three"} {
		r.server(name, "worker-1", "Ready")
	}
	r.server("playing", "worker-1", "Allocated")
	games := r.games
	r.games = r.cluster.Namespace(r.T)
	r.server("one", "worker-1", "Ready")
	r.controller(kube)
	r.setNode("worker-1", corev1.ConditionFalse, nil, "")
	r.eventually("the other namespace's server goes", func() error { return r.gone("one") })
	r.games = games
	for _, name := range []string{"one", "two", "three"} {
		r.eventually("Ready servers go", func() error { return r.gone(name) })
	}
	r.eventually("the game is hidden", func() error { return r.hidden("playing") })
	r.phase("worker-1", v1.Active)
}
