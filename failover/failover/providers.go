package failover

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"torikumi/failover/cloud"
	"torikumi/failover/internal/execcloud"
	"torikumi/failover/internal/gce"
	"torikumi/pkg/config"
)

// These are the settings of the providers that have any. Config embeds them, by
// names that differ. They are read by these names, as in c.GCE.Zones: c.Provider and
// c.Endpoint, say, are settings of the controller, whatever a provider calls its own.
type (
	GCE  = gce.Config
	Exec = execcloud.Config
)

// providerEntry is a cloud that --provider can name.
type providerEntry struct {
	name string
	// check joins what is wrong with the settings for this cloud, those of VMs
	// included; labels are --vm-labels.
	check func(c *Config, labels map[string]string) error
	// zones are where VMs may be made, the preferred one first.
	zones func(c *Config) []string
	// providerID makes the provider id of a VM's Node from its zone and name; nil
	// if only the cloud knows it.
	providerID func(c *Config) func(cloud.Ref) string
	// externalIP reports whether its VMs are to have an address that players reach.
	externalIP func(c *Config) bool
	// forgets: it is a cloud.ScriptForgetter, so that VMs need a copy of their script.
	forgets bool
	// open makes the provider. One that is an io.Closer is closed at the end.
	open func(ctx context.Context, c *Config, log *slog.Logger) (cloud.Provider, error)
}

// providers are all that there are. To add one: docs/extend/cloud-provider.md.
func providers() []providerEntry {
	return []providerEntry{
		{
			name: "gce", forgets: true,
			check: func(c *Config, labels map[string]string) error {
				errs := []error{c.GCE.Check(), gce.CheckVMs(labels, c.Tags, c.Lifetime+c.MaxWait+c.JoinTimeout)}
				if c.Image == "" {
					errs = append(errs, config.Missing("vm-image", "VMs boot it"))
				}
				return errors.Join(errs...)
			},
			zones: func(c *Config) []string { return c.GCE.Zones },
			providerID: func(c *Config) func(cloud.Ref) string {
				return func(r cloud.Ref) string { return "gce://" + c.GCE.Project + "/" + r.Zone + "/" + r.Name }
			},
			externalIP: func(c *Config) bool { return c.GCE.ExternalIP },
			open: func(ctx context.Context, c *Config, _ *slog.Logger) (cloud.Provider, error) {
				return gce.New(ctx, c.GCE)
			},
		},
		{
			name:       "exec",
			check:      func(c *Config, _ map[string]string) error { return c.Exec.Check() },
			zones:      func(c *Config) []string { return c.Exec.Zones },
			providerID: func(*Config) func(cloud.Ref) string { return nil },
			externalIP: func(*Config) bool { return false },
			open: func(_ context.Context, c *Config, log *slog.Logger) (cloud.Provider, error) {
				return execcloud.New(c.Exec, log)
			},
		},
	}
}

// findProvider returns the entry of that name, or an error that lists the known
// names.
func findProvider(name string) (providerEntry, error) {
	var known []string
	for _, p := range providers() {
		if p.name == name {
			return p, nil
		}
		known = append(known, p.name)
	}
	return providerEntry{}, config.Invalid("provider", "must be "+strings.Join(known, " or "), name)
}

func openProvider(ctx context.Context, cfg *Config, log *slog.Logger) (cloud.Provider, error) {
	p, err := findProvider(cfg.Provider)
	if err != nil {
		return nil, err
	}
	return p.open(ctx, cfg, log)
}
