package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// leaseSeconds is the kubelet's default.
const leaseSeconds = 40

// Node is a machine that has joined. It runs no pods.
type Node struct {
	// Name is the Node's.
	Name string
	// Config acts as the node: user system:node:NAME, group system:nodes.
	Config *rest.Config

	client kubernetes.Interface
}

// register posts the Node, Ready, and its Lease. A Node that stands there is
// taken over as it is, as by a kubelet.
func (n *Node) register(ctx context.Context, j Joining) error {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: j.Name, Labels: map[string]string{
			corev1.LabelHostname: j.Name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		}},
		Spec:   corev1.NodeSpec{ProviderID: j.ProviderID, Taints: j.Taints},
		Status: corev1.NodeStatus{Capacity: j.Capacity, Allocatable: j.Capacity},
	}
	for k, v := range j.Labels {
		node.Labels[k] = v
	}
	if j.Address != "" {
		node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: j.Address}}
	}
	if j.External != "" {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: j.External})
	}
	node.Status.Conditions = []corev1.NodeCondition{ready(time.Now())}
	_, err := n.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("register node %q: %w", n.Name, err)
	}
	return n.Beat(ctx)
}

// Beat is one heartbeat: it renews the Lease, and says that the node is Ready
// if somebody has said otherwise.
func (n *Node) Beat(ctx context.Context) error {
	if err := n.renew(ctx); err != nil {
		return fmt.Errorf("renew the lease of node %q: %w", n.Name, err)
	}
	node, err := n.client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("heartbeat of node %q: %w", n.Name, err)
	}
	if IsReady(node) {
		return nil
	}
	setReady(node, time.Now())
	if _, err := n.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("heartbeat of node %q: %w", n.Name, err)
	}
	return nil
}

func (n *Node) renew(ctx context.Context) error {
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now := metav1.NowMicro()
	lease, err := leases.Get(ctx, n.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		seconds := int32(leaseSeconds)
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: n.Name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.Name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = &now
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// Run beats until ctx ends, which is the node's sudden death: its Node stays.
// A heartbeat that fails is left out, as a kubelet does; the last one's error is
// returned.
func (n *Node) Run(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
		if err := n.Beat(ctx); !errors.Is(err, context.Canceled) {
			last = err
		}
	}
}

// IsReady reports whether a node's condition Ready is True.
func IsReady(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func setReady(node *corev1.Node, now time.Time) {
	for i, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			node.Status.Conditions[i] = ready(now)
			return
		}
	}
	node.Status.Conditions = append(node.Status.Conditions, ready(now))
}

func ready(now time.Time) corev1.NodeCondition {
	return corev1.NodeCondition{
		Type:               corev1.NodeReady,
		Status:             corev1.ConditionTrue,
		Reason:             "KubeletReady",
		LastHeartbeatTime:  metav1.NewTime(now),
		LastTransitionTime: metav1.NewTime(now),
	}
}
