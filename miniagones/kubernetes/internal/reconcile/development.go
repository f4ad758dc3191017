package reconcile

import (
	"context"
	"net"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/state"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/pkg/agones"
)

// develop is for servers that somebody else runs, at an address of theirs: they have
// no pod, and become Ready by themselves, as with Agones. What else becomes of them
// is for their owner to say.
func (r *gameServers) develop(ctx context.Context, gs *v1.GameServer, address string) (ctrl.Result, error) {
	next := gs.DeepCopy()
	switch gs.Status.State {
	case "", agones.PortAllocation, agones.Creating:
		if err := checkDevelopment(gs, address); err != nil {
			gs.Status.State = agones.PortAllocation
			return ctrl.Result{}, r.fail(ctx, gs, err)
		}
		next.Status.Counters, next.Status.Lists = gs.Spec.Counters, gs.Spec.Lists
		next.Status.Address, next.Status.NodeName = address, address
		next.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
		for _, p := range gs.Spec.Ports {
			next.Status.Ports = append(next.Status.Ports, v1.GameServerStatusPort{Name: p.Name, Port: p.HostPort})
		}
	case agones.RequestReady:
	case agones.Reserved:
		return r.reserved(ctx, gs, r.Clock.Now())
	case agones.Shutdown:
		return ctrl.Result{}, r.end(ctx, gs)
	default:
		return ctrl.Result{}, nil
	}
	next.Status.State, next.Status.ReservedUntil = agones.Ready, nil
	return ctrl.Result{}, r.Client.Patch(ctx, next, client.MergeFromWithOptions(gs, client.MergeFromWithOptimisticLock{}))
}

// checkDevelopment has the rules that Agones's webhook has.
func checkDevelopment(gs *v1.GameServer, address string) error {
	if net.ParseIP(address) == nil {
		return &pod.FieldError{Field: "metadata.annotations[" + agones.DevAddressAnnotation + "]", Rule: "must be an IP address"}
	}
	for _, p := range gs.Spec.Ports {
		if p.PortPolicy != v1.Static {
			return &pod.FieldError{Field: "spec.ports", Rule: "must be Static with " + agones.DevAddressAnnotation}
		}
	}
	return nil
}

// reserved takes a server back whose reservation is over.
func (r *gameServers) reserved(ctx context.Context, gs *v1.GameServer, now time.Time) (ctrl.Result, error) {
	until := gs.Status.ReservedUntil
	if until == nil {
		return ctrl.Result{}, nil
	}
	if wait := until.Sub(now); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	return ctrl.Result{}, r.apply(ctx, gs, gs.DeepCopy(), state.InputRequestReady)
}
