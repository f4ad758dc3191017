package reconcile

import (
	"context"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/state"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/pod"
	"torikumi/pkg/agones"
)

// address writes where players reach a server whose pod has got a node, and
// grants it to be Ready.
func (r *gameServers) address(ctx context.Context, gs *v1.GameServer, p *corev1.Pod) (ctrl.Result, error) {
	in := state.InputStarted
	if gs.Status.State == agones.RequestReady {
		in = state.InputReady
	}
	next := gs.DeepCopy()
	if gs.Status.NodeName == "" {
		if p.Spec.NodeName == "" {
			return ctrl.Result{}, nil // an event of the pod tells
		}
		node := new(corev1.Node)
		if err := r.Client.Get(ctx, client.ObjectKey{Name: p.Spec.NodeName}, node); err != nil {
			return ctrl.Result{RequeueAfter: 5 * conflictPause}, client.IgnoreNotFound(err)
		}
		next.Status.NodeName = node.Name
		next.Status.Addresses = slices.Clone(node.Status.Addresses)
		for _, ip := range p.Status.PodIPs {
			next.Status.Addresses = append(next.Status.Addresses, corev1.NodeAddress{Type: podIP, Address: ip.IP})
		}
		next.Status.Address = publicAddress(node)
		if next.Status.Address == "" {
			return ctrl.Result{}, r.fail(ctx, gs, errNoAddress)
		}
		next.Status.Ports = nil
		for _, port := range gs.Spec.Ports {
			next.Status.Ports = append(next.Status.Ports, v1.GameServerStatusPort{Name: port.Name, Port: port.HostPort})
		}
	}
	return ctrl.Result{}, r.apply(ctx, gs, next, in)
}

// podIP is Agones's type of a pod's address.
const podIP corev1.NodeAddressType = "PodIP"

// publicAddress is the address that players are told, in Agones's order.
func publicAddress(node *corev1.Node) string {
	for _, kind := range []corev1.NodeAddressType{corev1.NodeExternalDNS, corev1.NodeExternalIP, corev1.NodeInternalDNS, corev1.NodeInternalIP} {
		for _, a := range node.Status.Addresses {
			if a.Type == kind && a.Address != "" {
				return a.Address
			}
		}
	}
	return ""
}

// portLoader notes the ports of all servers once, before the first is given: the
// cache may lack what the former leader wrote last.
type portLoader struct {
	mu     sync.Mutex
	loaded bool
}

func (l *portLoader) load(ctx context.Context, live client.Reader, ports *pod.Ports) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.loaded {
		return nil
	}
	all := new(v1.GameServerList)
	if err := live.List(ctx, all); err != nil {
		return err
	}
	for i := range all.Items {
		ports.Note(&all.Items[i])
	}
	l.loaded = true
	return nil
}
