// Package cluster makes a real Kubernetes cluster on one Linux machine: etcd,
// API server, controller manager and scheduler on the host, and nodes that are
// namespaces with a containerd and a kubelet of their own, joined by kubeadm.
// A bridge connects them. It is where the suite is tested as it is deployed.
//
// It needs root and packages of Debian (see Requirements); Kubernetes and
// CoreDNS are built from their Go modules when they are first needed.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
)

// Cluster is a cluster that runs. Its methods may be used concurrently, also by
// several processes: those that change it wait for each other.
type Cluster struct {
	// Folder is what Options call the state.
	Folder string
	// Kubeconfig is the file of an administrator.
	Kubeconfig string

	options Options
	client  kubernetes.Interface

	mu    sync.Mutex
	state *state // its fields are changed by change only
}

func (c *Cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.Folder}, parts...)...)
}

// Client is an administrator's.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// Kubectl is the path of a kubectl of the cluster's version.
func (c *Cluster) Kubectl() string { return c.path("bin", "kubectl") }

// Version is Kubernetes', such as "v1.34.4".
func (c *Cluster) Version() string { return c.state.Version }

// Registry is the address of the cluster's registry, HOST:PORT: images are pushed
// there from this machine, and pulled by nodes, over plain HTTP. What was pushed
// is gone with the cluster.
func (c *Cluster) Registry() string { return c.state.registry() }

// lock waits for others that change the cluster, and reads what they did.
func (c *Cluster) lock(ctx context.Context) (unlock func(), err error) {
	if unlock, err = lockFolder(ctx, c.Folder); err != nil {
		return nil, err
	}
	s, err := loadState(c.Folder)
	if err != nil {
		unlock()
		return nil, err
	}
	c.mu.Lock()
	c.state = s
	c.mu.Unlock()
	return unlock, nil
}

// Open finds the cluster in a state folder. Its error is ErrNoCluster if there
// is none.
func Open(folder string) (*Cluster, error) {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return nil, err
	}
	s, err := loadState(folder)
	if err != nil {
		return nil, err
	}
	c := newCluster(folder, s)
	if s.Ready.IsZero() {
		return nil, fmt.Errorf("the cluster in %s was not made to its end: take it down, or up again", folder)
	}
	return c, c.connect()
}

func newCluster(folder string, s *state) *Cluster {
	return &Cluster{Folder: folder, Kubeconfig: filepath.Join(folder, "kubeconfig"), state: s, options: Options{Progress: io.Discard}}
}

// Up makes a cluster and waits until it is Ready. Its processes live on when
// this one ends; Down ends them. What a crash has left of an earlier one in the
// same folder is removed first; one that runs is an error. If Up fails, it
// leaves nothing; the ends of the logs are in the error.
func Up(ctx context.Context, o Options) (c *Cluster, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := Requirements(); err != nil {
		return nil, err
	}
	unlock, err := lockFolder(ctx, o.State)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := clearRemains(ctx, o); err != nil {
		return nil, err
	}
	c = newCluster(o.State, &state{Name: o.Name, Machines: map[string]process{}, Images: o.Images, Open: o.IgnoreNetworkPolicies, Index: -1})
	c.options = o
	if err := c.phase(ctx, "find or build the programs", c.programs); err != nil {
		return nil, errors.Join(err, remove(context.WithoutCancel(ctx), o.State, c.state))
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if err := c.build(ctx); err != nil {
		return nil, errors.Join(err, remove(context.WithoutCancel(ctx), o.State, c.state))
	}
	return c, nil
}

// build makes the cluster from the programs.
func (c *Cluster) build(ctx context.Context) error {
	token := newToken()
	for _, p := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"make images of pause and CoreDNS", func(context.Context) error { return c.makeImages() }},
		{"make the network", func(ctx context.Context) error {
			return errors.Join(c.claim(ctx), c.buildNetwork(ctx))
		}},
		{"make certificates", func(ctx context.Context) error { return c.makePKI(ctx, token) }},
		{"start the control plane", c.startControlPlane},
		{"prepare it for nodes", func(ctx context.Context) error {
			return errors.Join(c.bootstrap(ctx), c.applyAddons(ctx))
		}},
		{fmt.Sprintf("join %d nodes", len(c.options.Nodes)), func(ctx context.Context) error {
			return c.addNodes(ctx, token, c.options.Nodes...)
		}},
		{"wait for DNS", c.dnsReady},
	} {
		if err := c.phase(ctx, p.name, p.do); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return c.change(func(s *state) { s.Ready = time.Now() })
}

// phase says what is done, and how long it took.
func (c *Cluster) phase(ctx context.Context, name string, do func(context.Context) error) error {
	start := time.Now()
	if err := do(ctx); err != nil {
		return err
	}
	fmt.Fprintf(c.options.Progress, "%6.1f s  %s\n", time.Since(start).Seconds(), name)
	return nil
}

// clearRemains removes what a crash has left in the folder.
func clearRemains(ctx context.Context, o Options) error {
	old, err := readState(o.State)
	if errors.Is(err, os.ErrNotExist) {
		return emptyFolder(o.State)
	}
	if err != nil {
		return err
	}
	if p := old.Machines[controlPlane]; !old.Ready.IsZero() && p.alive() {
		return fmt.Errorf("cluster %s in %s is up already", old.Name, o.State)
	}
	fmt.Fprintf(o.Progress, "removing what is left of cluster %s\n", old.Name)
	return remove(ctx, o.State, old)
}
