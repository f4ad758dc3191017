package failover

import (
	"context"
	"log/slog"

	"k8s.io/client-go/rest"

	"torikumi/failover/cloud"
	"torikumi/pkg/service"
)

// RunWith is Run with another cluster and cloud.
func RunWith(ctx context.Context, cfg *Config, kube *rest.Config, c cloud.Provider, log *slog.Logger, started func(service.Addrs)) error {
	return run(ctx, cfg, parts{kube: kube, cloud: c, log: log}, started)
}
