// Package cli is the command line of torikumi-cluster.
package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"torikumi/pkg/service"
	"torikumi/test/cluster/cluster"
)

const about = `torikumi-cluster runs a Kubernetes cluster with several nodes on one Linux machine, without Docker.

Usage: torikumi-cluster COMMAND [--setting=value ...]
`

const notes = `"torikumi-cluster COMMAND --help" shows the settings of a command.
`

// Main runs a command and returns the exit code: 0, 1 if it failed, 2 if it
// was called wrongly.
func Main(ctx context.Context, p service.Process) int {
	return service.Dispatch(ctx, service.Program{
		Name: "torikumi-cluster", About: about, Notes: notes,
		Commands: []service.Command{
			{Name: "up", Summary: "make a cluster and wait until it is ready; it runs on when the command ends", Run: runUp},
			{Name: "down", Summary: "end the cluster and remove all that it has made, also after a crash", Run: runDown},
			{Name: "status", Summary: "show the nodes and what is special about this cluster", Run: runStatus},
			{Name: "load-image", Summary: "import image tars into nodes", Run: runLoadImage},
			{Name: "node", Summary: "add, unplug, plug or kill a node, or run a command on it", Run: runNode},
			{Name: "kubeconfig", Summary: "print the path of the kubeconfig", Run: runKubeconfig},
		},
	}, p)
}

// Which says which cluster a command is about.
type Which struct {
	Name  string `flag:"name" env:"NAME" default:"torikumi" help:"Name of the cluster, if there are several on this machine."`
	State string `flag:"state" help:"Folder for all that the cluster writes; it may not exist. By default it is named after the cluster, in the user's cache."`
}

func (w *Which) folder() (string, error) {
	if w.State != "" {
		return w.State, nil
	}
	return cluster.DefaultState(w.Name)
}

func (w *Which) open() (*cluster.Cluster, error) {
	folder, err := w.folder()
	if err != nil {
		return nil, err
	}
	c, err := cluster.Open(folder)
	if errors.Is(err, cluster.ErrNoCluster) {
		return nil, fmt.Errorf("%w: torikumi-cluster up makes one", err)
	}
	return c, err
}

// load reads a command's settings; ok is false if the command is over.
func load(name string, cfg any, p service.Process, operands ...string) (code int, ok bool) {
	return p.Load("torikumi-cluster "+name, "TORIKUMI_CLUSTER_", cfg, operands...)
}

// split takes the operands, which stand before, between or behind the settings: each
// of these is one argument.
func split(args []string) (operands, settings []string) {
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			settings = append(settings, a)
		} else {
			operands = append(operands, a)
		}
	}
	return operands, settings
}

func runDown(ctx context.Context, p service.Process) int {
	cfg := new(Which)
	if code, ok := load("down", cfg, p); !ok {
		return code
	}
	folder, err := cfg.folder()
	if err == nil {
		err = cluster.Down(ctx, folder)
	}
	if err != nil {
		return p.Fail("torikumi-cluster down", err)
	}
	return 0
}

func runKubeconfig(_ context.Context, p service.Process) int {
	cfg := new(Which)
	if code, ok := load("kubeconfig", cfg, p); !ok {
		return code
	}
	c, err := cfg.open()
	if err != nil {
		return p.Fail("torikumi-cluster kubeconfig", err)
	}
	fmt.Fprintln(p.Stdout, c.Kubeconfig)
	return 0
}

type loadImageConfig struct {
	Which
	Nodes []string `flag:"nodes" help:"Names of the nodes that get them; all by default."`

	files []string
}

func (c *loadImageConfig) Validate() error {
	if len(c.files) == 0 {
		return errors.New("FILE: required: name at least one image tar")
	}
	return nil
}

func runLoadImage(ctx context.Context, p service.Process) int {
	cfg := new(loadImageConfig)
	cfg.files, p.Args = split(p.Args)
	if code, ok := load("load-image", cfg, p, "FILE ..."); !ok {
		return code
	}
	c, err := cfg.open()
	for _, file := range cfg.files {
		if err == nil {
			err = c.LoadImage(ctx, file, cfg.Nodes...)
		}
	}
	if err != nil {
		return p.Fail("torikumi-cluster load-image", err)
	}
	return 0
}
