package cli

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"torikumi/pkg/config"
	"torikumi/pkg/service"
	"torikumi/test/cluster/cluster"
)

type upConfig struct {
	Which
	Games         int           `flag:"games" default:"1" rule:"from 0 to 50" help:"Nodes for games (hardware=game-runner), beside the permanent one (node-type=gcp-permanent)."`
	Images        []string      `flag:"images" help:"Image tars that all nodes get, also those that are added later; patterns such as bin/images/*.tar too."`
	NodeNet       string        `flag:"node-net" default:"10.77.0.0/16" help:"Networks of nodes: a /24 of it for each cluster on this machine."`
	PodNet        string        `flag:"pod-net" default:"10.128.0.0/10" help:"Networks of pods: a /16 of it for each cluster on this machine."`
	NetworkPolicy bool          `flag:"network-policy" default:"true" help:"Enforce NetworkPolicies on the nodes."`
	Timeout       time.Duration `flag:"timeout" default:"5m" rule:"positive" help:"Longest time until it is ready, once Kubernetes is built."`

	nodeNet, podNet netip.Prefix
}

func (c *upConfig) Validate() error {
	var err error
	if c.nodeNet, err = netip.ParsePrefix(c.NodeNet); err != nil {
		return config.Invalid("node-net", "must be a network such as 10.77.0.0/16", c.NodeNet)
	}
	if c.podNet, err = netip.ParsePrefix(c.PodNet); err != nil {
		return config.Invalid("pod-net", "must be a network such as 10.128.0.0/10", c.PodNet)
	}
	return c.expand()
}

// expand replaces patterns by the files that they match: no shell does so behind
// --images=.
func (c *upConfig) expand() error {
	var files []string
	for _, pattern := range c.Images {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			return config.Invalid("images", "must be files, or patterns of files", pattern)
		}
		files = append(files, found...)
	}
	c.Images = files
	return nil
}

func runUp(ctx context.Context, p service.Process) int {
	cfg := new(upConfig)
	if code, ok := load("up", cfg, p); !ok {
		return code
	}
	start := time.Now()
	c, err := cluster.Up(ctx, cluster.Options{
		Name: cfg.Name, State: cfg.State, Nodes: cluster.DefaultNodes(cfg.Games), Images: cfg.Images,
		IgnoreNetworkPolicies: !cfg.NetworkPolicy,
		NodeNet:               cfg.nodeNet, PodNet: cfg.podNet, Timeout: cfg.Timeout, Progress: p.Stderr,
	})
	if err != nil {
		return p.Fail("torikumi-cluster up", err)
	}
	fmt.Fprintf(p.Stderr, "%6.1f s  all of cluster %s\n\n%s\n", time.Since(start).Seconds(), cfg.Name, c.Status())
	fmt.Fprintf(p.Stdout, "export KUBECONFIG=%s\nexport PATH=%s:$PATH\n", c.Kubeconfig, filepath.Dir(c.Kubectl()))
	return 0
}

func runStatus(_ context.Context, p service.Process) int {
	cfg := new(Which)
	if code, ok := load("status", cfg, p); !ok {
		return code
	}
	c, err := cfg.open()
	if err != nil {
		return p.Fail("torikumi-cluster status", err)
	}
	fmt.Fprint(p.Stdout, c.Status())
	return 0
}
