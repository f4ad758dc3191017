package reconcile

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/pod"
)

// Register adds both reconcilers to a manager. They run while it leads.
func Register(mgr ctrl.Manager, o Options) error {
	f := newFailures(o)
	err := ctrl.NewControllerManagedBy(mgr).Named("fleet").
		For(&v1.Fleet{}).Owns(&v1.GameServer{}).
		Complete(&fleets{Options: o, failures: f})
	if err != nil {
		return fmt.Errorf("fleet controller: %w", err)
	}
	g := &gameServers{Options: o, failures: f}
	err = ctrl.NewControllerManagedBy(mgr).Named("gameserver").
		For(&v1.GameServer{}, builder.WithPredicates(freePorts(o.Ports))).Owns(&corev1.Pod{}).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(g.onNode), builder.WithPredicates(deletions())).
		Complete(g)
	if err != nil {
		return fmt.Errorf("game server controller: %w", err)
	}
	return nil
}

// freePorts gives back the ports of servers that are gone.
func freePorts(ports *pod.Ports) predicate.Predicate {
	return predicate.Funcs{DeleteFunc: func(e event.DeleteEvent) bool {
		ports.Free(e.Object.GetUID())
		return true
	}}
}

func deletions() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// onNode names the servers on a node that is gone.
func (r *gameServers) onNode(ctx context.Context, node client.Object) (requests []reconcile.Request) {
	all := new(v1.GameServerList)
	if err := r.Client.List(ctx, all); err != nil {
		return nil // the cache never fails once it is there
	}
	for i := range all.Items {
		if all.Items[i].Status.NodeName == node.GetName() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return requests
}
