package failover

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"k8s.io/client-go/rest"

	"torikumi/failover/cloud"
	"torikumi/pkg/service"
)

// RunWith is Run with another cluster and cloud.
func RunWith(ctx context.Context, cfg *Config, kube *rest.Config, c cloud.Provider, log *slog.Logger, started func(service.Addrs)) error {
	return run(ctx, cfg, parts{kube: kube, cloud: c, log: log}, started)
}

// DrillWith is Drill with an access to the cluster of one's own.
func DrillWith(ctx context.Context, kube *rest.Config, node string, timeout time.Duration, out io.Writer, interrupts <-chan os.Signal) error {
	return drill(ctx, drillConfig{Node: node, Timeout: timeout}, kube, out, interrupts)
}

// MilliBudget is --max-hourly-cost as decisions know it.
func (c *Config) MilliBudget() int64 {
	s, err := c.settings()
	if err != nil {
		return -1
	}
	return s.MaxMilliCost
}
