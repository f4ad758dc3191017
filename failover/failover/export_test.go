package failover

import (
	"context"
	"io"
	"log/slog"
	"os"
	"reflect"
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

// CheckWith is --check with another cluster and cloud.
func CheckWith(ctx context.Context, cfg *Config, kube *rest.Config, c cloud.Provider, out io.Writer) error {
	return check(ctx, cfg, kube, c, out)
}

// NameVersion is the version in an image's name.
func NameVersion(image string) string { return nameVersion(image) }

// MilliBudget is --max-hourly-cost as decisions know it.
func (c *Config) MilliBudget() int64 {
	s, err := c.settings()
	if err != nil {
		return -1
	}
	return s.MaxMilliCost
}

// ProviderNames are what --provider can be.
func ProviderNames() []string {
	var names []string
	for _, p := range providers() {
		names = append(names, p.name)
	}
	return names
}

// ProviderLacks are the fields of a provider's entry that are not set, but for what
// some do not do.
func ProviderLacks(name string) (lacks []string) {
	p, err := findProvider(name)
	if err != nil {
		return []string{err.Error()}
	}
	v := reflect.ValueOf(p)
	for i := range v.NumField() {
		if v.Field(i).IsZero() && v.Field(i).Kind() != reflect.Bool {
			lacks = append(lacks, v.Type().Field(i).Name)
		}
	}
	return lacks
}

// OpenProvider opens the provider that is set.
func OpenProvider(ctx context.Context, cfg *Config, out io.Writer) (cloud.Provider, error) {
	return openProvider(ctx, cfg, slog.New(slog.NewTextHandler(out, nil)))
}
