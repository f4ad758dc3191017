// Command torikumi-network-policy enforces NetworkPolicies on a node of
// torikumi-cluster.
package main

import (
	"context"
	"log/slog"
	"os"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"torikumi/pkg/service"
	"torikumi/test/cluster/internal/netpol"
)

type config struct {
	Kubeconfig string `flag:"kubeconfig" required:"pods and policies are read by it" help:"File with the address and the credentials of the API server."`
	Node       string `flag:"node" required:"its pods are filtered" help:"Name of the node."`
}

const name = "torikumi-network-policy"

func main() {
	service.Exit(func(ctx context.Context, p service.Process) int {
		cfg := new(config)
		if code, ok := p.Load(name, "TORIKUMI_NETWORK_POLICY_", cfg); !ok {
			return code
		}
		if err := run(ctx, cfg); err != nil {
			return p.Fail(name, err)
		}
		return 0
	})
}

func run(ctx context.Context, cfg *config) error {
	c, err := clientcmd.BuildConfigFromFlags("", cfg.Kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return err
	}
	return netpol.Run(ctx, client, cfg.Node, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}
