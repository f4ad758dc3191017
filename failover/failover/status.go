package failover

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/controller"
	"torikumi/failover/internal/gameserver"
	"torikumi/failover/internal/report"
	"torikumi/pkg/service"
)

// statusConfig are the settings of `failover status`: those of the controller
// that say when something is due.
type statusConfig struct {
	Kubeconfig  string        `flag:"kubeconfig" help:"Kubeconfig file; none: $KUBECONFIG, ~/.kube/config, or that of the pod."`
	Grace       time.Duration `flag:"grace" default:"30s" rule:"positive" help:"The controller's --grace."`
	Stability   time.Duration `flag:"stability" default:"1m" rule:"positive" help:"The controller's --stability."`
	MaxWait     time.Duration `flag:"max-wait" default:"3h" rule:"positive" help:"The controller's --max-wait."`
	JoinTimeout time.Duration `flag:"join-timeout" default:"10m" rule:"positive" help:"The controller's --join-timeout."`
}

// Status prints a table of all failovers, and returns the exit code: 2 if it
// was called wrongly.
func Status(ctx context.Context, p service.Process) int {
	var cfg statusConfig
	return command("status", &cfg, &cfg.Kubeconfig, p, func(kube *rest.Config) error {
		return status(ctx, cfg, kube, p.Stdout)
	})
}

func status(ctx context.Context, cfg statusConfig, kube *rest.Config, out io.Writer) error {
	scheme, err := controller.Scheme()
	if err != nil {
		return err
	}
	c, err := client.New(kube, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("connect to the cluster: %w", err)
	}
	var all v1.NodeFailoverList
	if err := c.List(ctx, &all); err != nil {
		return fmt.Errorf("list failovers: %w", missingKind(err))
	}
	var servers gameserver.GameServerList
	if err := c.List(ctx, &servers); err != nil {
		return fmt.Errorf("list game servers: %w", missingKind(err))
	}
	slices.SortFunc(all.Items, func(a, b v1.NodeFailover) int {
		return cmp.Or(cmp.Compare(a.Spec.OnpremNodeName, b.Spec.OnpremNodeName), a.CreationTimestamp.Compare(b.CreationTimestamp.Time))
	})
	timing := report.Timing{Grace: cfg.Grace, Stability: cfg.Stability, MaxWait: cfg.MaxWait, JoinTimeout: cfg.JoinTimeout}
	return report.Write(out, all.Items, servers.Items, timing, time.Now())
}
