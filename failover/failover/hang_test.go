package failover_test

import (
	"context"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/cloud"
)

// hanging does not answer the first Create for one node.
type hanging struct {
	cloud.Provider
	node   string
	began  chan struct{} // closed when it hangs
	calls  atomic.Int32
	gaveUp atomic.Bool
}

func (h *hanging) Create(ctx context.Context, s cloud.Spec) error {
	if s.Owner.Node != h.node || h.calls.Add(1) > 1 {
		return h.Provider.Create(ctx, s)
	}
	close(h.began)
	<-ctx.Done()
	h.gaveUp.Store(true)
	return ctx.Err()
}

// hangingCloud: while the cloud does not answer for one node, others fail over
// and come back.
func hangingCloud(r *rig) {
	h := &hanging{Provider: r.cloud, node: "worker-1", began: make(chan struct{})}
	r.other = h
	stop := r.controller(r.kube)
	r.fails("worker-1")
	<-h.began
	// Not of the same kind, so that they can't share a VM.
	r.setNode("worker-2", corev1.ConditionTrue, map[string]string{"node-type": "onpremise", "hardware": "other"}, "")
	r.setNode("worker-2", corev1.ConditionFalse, nil, "")
	f := r.phase("worker-2", v1.Active)
	r.setNode("worker-2", corev1.ConditionTrue, nil, "")
	r.phase("worker-2", v1.Completed)
	if h.gaveUp.Load() {
		r.Error("it has waited for the call that hangs")
	}
	if r.exists(cloud.Ref{Name: f.Status.GCPVMName, Zone: f.Status.VM.Zone}) {
		r.Error("the VM is left")
	}
	stop() // the next one need not wait
	r.controller(r.kube)
	r.phase("worker-1", v1.Active)
	r.returns("worker-1")
}
