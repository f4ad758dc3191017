// Command director fetches matches from Open Match and gets each a game server.
package main

import (
	"context"
	"os"

	"torikumi/director/director"
	"torikumi/director/internal/servers/kubernetes"
	"torikumi/pkg/service"
)

func main() { service.Main("director", run) }

func run(ctx context.Context, cfg *director.Config, started func(service.Addrs)) error {
	kubernetes.LogTo(cfg.Logger(os.Stderr, "director"))
	return director.Program{Kubernetes: kubernetes.API{}}.Run(ctx, cfg, started)
}
