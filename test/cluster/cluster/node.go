package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// firstNumber is that of the first node: the host has 1.
const firstNumber = 2

// NodeStatus is a node as the harness sees it.
type NodeStatus struct {
	NodeOptions
	// IP is its address on the bridge, its InternalIP.
	IP netip.Addr
	// Power is true if it runs, Plugged if its cable is in.
	Power, Plugged bool
	// PID is that of its first process, for nsenter.
	PID int
}

// Nodes are all that were made.
func (c *Cluster) Nodes() []NodeStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []NodeStatus
	for _, n := range c.state.Nodes {
		p := c.state.Machines[n.Name]
		all = append(all, NodeStatus{n.NodeOptions, c.state.address(n), p.alive(), !n.Unplugged, p.PID})
	}
	return all
}

// AddNode makes a node, which joins by kubeadm, and waits until it is Ready. No
// other node can be added meanwhile.
func (c *Cluster) AddNode(ctx context.Context, o NodeOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if o.Script != "" {
		return c.addNodes(ctx, "", o)
	}
	token := newToken()
	if _, err := c.kubeadm(ctx, "token", "create", token, "--ttl", "15m", "--kubeconfig", c.Kubeconfig); err != nil {
		return err
	}
	return c.addNodes(ctx, token, o)
}

// addNodes makes nodes, all at once.
func (c *Cluster) addNodes(ctx context.Context, token string, options ...NodeOptions) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, o := range options {
		n, err := c.record(o)
		if err != nil {
			return err
		}
		g.Go(func() error {
			if err := c.addNode(gctx, n, token); err != nil {
				return fmt.Errorf("node %s: %w\n%s", n.Name, err, c.logs(n.Name))
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return c.connectPods(ctx)
}

// record gives a node a number.
func (c *Cluster) record(o NodeOptions) (node, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := node{NodeOptions: o, Number: firstNumber}
	for _, other := range c.state.Nodes {
		if other.Name == o.Name {
			return n, fmt.Errorf("there is a node %q already", o.Name)
		}
		n.Number = max(n.Number, other.Number+1)
	}
	if n.Number > 254 {
		return n, errors.New("the network of nodes is full")
	}
	c.state.Nodes = append(c.state.Nodes, n)
	return n, c.save()
}

func (c *Cluster) addNode(ctx context.Context, n node, token string) error {
	if err := c.state.makeCgroups(n.Name); err != nil {
		return err
	}
	if err := c.prepareNode(n, token); err != nil {
		return err
	}
	err := c.startMachine(ctx, n.Name, c.nodeSpec(n), syscall.CLONE_NEWUTS|syscall.CLONE_NEWNET,
		func(pid int) error { return c.wire(ctx, n, pid) })
	if err != nil {
		return err
	}
	err = wait(ctx, 50*time.Millisecond, func() error {
		_, err := c.on(ctx, n.Name, "ctr", "--connect-timeout", "1s", "version")
		return err
	})
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for _, image := range append([]string{c.imageTar("pause"), c.imageTar("coredns")}, c.state.Images...) {
			if err := c.importImage(gctx, n.Name, image); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		out, err := c.on(gctx, n.Name, n.join()...)
		return errors.Join(err, os.WriteFile(c.path("machines", n.Name, "log", "kubeadm.log"), []byte(out), 0o600))
	})
	return g.Wait()
}

// join is the command that joins a node.
func (n node) join() []string {
	if n.Script == "" {
		return []string{"kubeadm", "join", "--config", nodeConfig + "/join.yaml"}
	}
	// kubeadm looks for a machine with systemd of its own.
	return []string{"bash", "-c", `kubeadm() { local skip=; [ "$1" != join ] || skip=--skip-phases=preflight; command kubeadm "$@" $skip; }; export -f kubeadm; exec bash ` + nodeConfig + "/" + startupScript}
}

// connectPods gives nodes that have joined their network of pods, and waits
// until they are Ready.
func (c *Cluster) connectPods(ctx context.Context) error {
	var pods map[string]netip.Prefix
	err := wait(ctx, 100*time.Millisecond, func() (err error) {
		pods, err = c.podNetworks(ctx)
		return err
	})
	if err != nil {
		return err
	}
	for name, net := range pods {
		if err := c.writeCNI(name, net); err != nil {
			return err
		}
	}
	if err := c.route(ctx, pods); err != nil {
		return err
	}
	return wait(ctx, 100*time.Millisecond, func() error { return c.ready(ctx) })
}

// podNetworks are what the controller manager has given to the nodes that run.
func (c *Cluster) podNetworks(ctx context.Context) (map[string]netip.Prefix, error) {
	list, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	pods := map[string]netip.Prefix{}
	for _, n := range list.Items {
		if net, err := netip.ParsePrefix(n.Spec.PodCIDR); err == nil {
			pods[n.Name] = net
		}
	}
	for _, n := range c.Nodes() {
		if _, ok := pods[n.Name]; !ok && n.Power {
			return nil, fmt.Errorf("node %s has no network for its pods", n.Name)
		}
	}
	return pods, nil
}

// ready reports which node that should be is not Ready.
func (c *Cluster) ready(ctx context.Context) error {
	list, err := c.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var not []string
	for _, n := range c.Nodes() {
		if n.Power && n.Plugged && !slices.ContainsFunc(list.Items, func(k corev1.Node) bool { return k.Name == n.Name && NodeReady(&k) }) {
			not = append(not, n.Name)
		}
	}
	if len(not) > 0 {
		return fmt.Errorf("nodes are not ready: %s", strings.Join(not, ", "))
	}
	return nil
}

// NodeReady reports whether a node's condition Ready is true.
func NodeReady(n *corev1.Node) bool {
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// UnplugNode pulls a node's cable: it runs on, but nobody reaches it.
func (c *Cluster) UnplugNode(ctx context.Context, name string) error { return c.plug(ctx, name, false) }

// PlugNode puts the cable in again.
func (c *Cluster) PlugNode(ctx context.Context, name string) error { return c.plug(ctx, name, true) }

func (c *Cluster) plug(ctx context.Context, name string, in bool) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.machine(name); err != nil {
		return err
	}
	n, err := c.state.find(name)
	if err != nil {
		return err
	}
	to := map[bool]string{true: "up", false: "down"}[in]
	if _, err := run(ctx, "ip", "link", "set", c.state.veth(n.Number), to); err != nil {
		return err
	}
	return c.change(func(*state) { n.Unplugged = !in })
}

// KillNode takes a node's power away, for good: its processes end at once, and
// nothing tells the cluster. Its Node stays until somebody deletes it.
func (c *Cluster) KillNode(ctx context.Context, name string) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.state.find(name); err != nil {
		return err
	}
	if err := c.state.Machines[name].kill(ctx); err != nil {
		return err
	}
	return removeCgroups(ctx, filepath.Join(c.state.cgroup(), name))
}
