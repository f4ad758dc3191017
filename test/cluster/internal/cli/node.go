package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"torikumi/pkg/config"
	"torikumi/pkg/service"
	"torikumi/test/cluster/cluster"
)

const nodeAbout = `torikumi-cluster node changes the nodes of a cluster.

Usage: torikumi-cluster node COMMAND NAME [--setting=value ...]
`

// NodeConfig is for the commands that need nothing but the node's name.
type NodeConfig struct {
	Which

	node []string
}

func (c *NodeConfig) Validate() error {
	if len(c.node) != 1 {
		return errors.New("NAME: required: name one node")
	}
	return nil
}

type nodeAddConfig struct {
	NodeConfig
	Labels []string `flag:"labels" default:"hardware=game-runner" help:"Labels of the node, KEY=VALUE; by default those of a node for games."`
	Taints []string `flag:"taints" help:"Taints of the node, KEY=VALUE:EFFECT or KEY:EFFECT."`
}

func (c *nodeAddConfig) Validate() error {
	errs := []error{c.NodeConfig.Validate()}
	for _, l := range c.Labels {
		if !strings.Contains(l, "=") {
			errs = append(errs, config.Invalid("labels", "must be KEY=VALUE", l))
		}
	}
	return errors.Join(errs...)
}

func runNode(ctx context.Context, p service.Process) int {
	return service.Dispatch(ctx, service.Program{
		Name: "torikumi-cluster node", About: nodeAbout, Notes: notes,
		Commands: []service.Command{
			{Name: "add", Summary: "make a node, Which joins by kubeadm, and wait until it is ready", Run: runNodeAdd},
			{Name: "unplug", Summary: "pull its cable: it runs on, but nobody reaches it", Run: nodeCommand("unplug", (*cluster.Cluster).UnplugNode)},
			{Name: "plug", Summary: "put the cable in again", Run: nodeCommand("plug", (*cluster.Cluster).PlugNode)},
			{Name: "kill", Summary: "take its power away, for good", Run: nodeCommand("kill", (*cluster.Cluster).KillNode)},
			{Name: "exec", Summary: "run a command on it: NAME -- COMMAND ...", Run: runNodeExec},
		},
	}, p)
}

func nodeCommand(name string, do func(*cluster.Cluster, context.Context, string) error) func(context.Context, service.Process) int {
	return func(ctx context.Context, p service.Process) int {
		cfg := new(NodeConfig)
		cfg.node, p.Args = split(p.Args)
		if code, ok := load("node "+name, cfg, p, "NAME"); !ok {
			return code
		}
		c, err := cfg.open()
		if err == nil {
			err = do(c, ctx, cfg.node[0])
		}
		if err != nil {
			return p.Fail("torikumi-cluster node "+name, err)
		}
		return 0
	}
}

func runNodeAdd(ctx context.Context, p service.Process) int {
	cfg := new(nodeAddConfig)
	cfg.node, p.Args = split(p.Args)
	if code, ok := load("node add", cfg, p, "NAME"); !ok {
		return code
	}
	labels := map[string]string{}
	for _, l := range cfg.Labels {
		key, value, _ := strings.Cut(l, "=")
		labels[key] = value
	}
	c, err := cfg.open()
	if err == nil {
		err = c.AddNode(ctx, cluster.NodeOptions{Name: cfg.node[0], Labels: labels, Taints: cfg.Taints})
	}
	if err != nil {
		return p.Fail("torikumi-cluster node add", err)
	}
	return 0
}

func runNodeExec(ctx context.Context, p service.Process) int {
	cfg := new(NodeConfig)
	var command []string
	if i := slices.Index(p.Args, "--"); i >= 0 {
		command, p.Args = p.Args[i+1:], p.Args[:i]
	}
	cfg.node, p.Args = split(p.Args)
	if code, ok := load("node exec", cfg, p, "NAME", "--", "COMMAND ..."); !ok {
		return code
	}
	if len(command) == 0 {
		fmt.Fprintln(p.Stderr, "torikumi-cluster node exec: COMMAND: required: it stands behind --")
		return service.ExitUsage
	}
	c, err := cfg.open()
	if err != nil {
		return p.Fail("torikumi-cluster node exec", err)
	}
	cmd, err := c.Command(ctx, cfg.node[0], command...)
	if err != nil {
		return p.Fail("torikumi-cluster node exec", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, p.Stdout, p.Stderr
	if err := cmd.Run(); err != nil {
		return p.Fail("torikumi-cluster node exec", err)
	}
	return 0
}
