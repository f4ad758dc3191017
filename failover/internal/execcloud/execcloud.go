// Package execcloud makes the VMs of a failover by a program of the
// studio's own: for a cloud that has no provider here, or for spare hardware.
// It is a cloud.Provider. What it says to the program, and the program to it,
// is described in docs/failover-exec.md.
//
// The program decides little. Owners are compared here, before it is asked to
// create or delete, and what it answers is believed only if it is whole and
// fits what was asked: an exit status other than 0, an answer that cannot be
// read, or one about another VM is an error that may pass, and never an
// absence.
package execcloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"torikumi/failover/cloud"
	"torikumi/pkg/config"
)

// Config is what the provider has to be told. A service embeds it (under an
// alias, for other providers' settings are named Config as well) and calls
// Check if this provider is the one that is used.
type Config struct {
	Program     string        `flag:"exec-program" help:"Program that makes VMs, an absolute path. See docs/failover-exec.md."`
	Zones       []string      `flag:"exec-zones" default:"default" help:"Zones that the program knows, comma-separated, the preferred one first."`
	Timeout     time.Duration `flag:"exec-timeout" default:"30s" help:"Longest time for one run of the program. Then it is killed, with all that it has started. The controller itself waits 30s at most, except for lists."`
	MaxOutput   int           `flag:"exec-max-output" default:"1048576" help:"Longest answer of the program (bytes)."`
	Environment []string      `flag:"exec-environment" help:"Names of the environment variables that the program gets besides PATH, HOME, LANG and TMPDIR, comma-separated."`
}

// Check joins everything that is wrong, by the names of the settings.
func (c *Config) Check() error {
	var errs []error
	wrong := func(flag, rule string, value any) { errs = append(errs, config.Invalid(flag, rule, value)) }
	switch info, err := os.Stat(c.Program); {
	case c.Program == "":
		errs = append(errs, config.Missing("exec-program", "it makes the VMs"))
	case !filepath.IsAbs(c.Program):
		wrong("exec-program", "must be an absolute path", c.Program)
	case err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		wrong("exec-program", "must be a file that can be executed", c.Program)
	}
	if len(c.Zones) == 0 {
		errs = append(errs, config.Missing("exec-zones", "machines are made in them"))
	}
	seen := make(map[string]bool)
	for _, z := range c.Zones {
		if z == "" || seen[z] {
			wrong("exec-zones", "must name each zone once", z)
		}
		seen[z] = true
	}
	if c.Timeout <= 0 {
		wrong("exec-timeout", "must be above 0", c.Timeout)
	}
	if c.MaxOutput < 1024 || c.MaxOutput > 64<<20 {
		wrong("exec-max-output", "must be between 1024 and 67108864", c.MaxOutput)
	}
	for _, name := range c.Environment {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			wrong("exec-environment", "must be names of variables", name)
		}
	}
	return errors.Join(errs...)
}

// Provider is safe for concurrent use. It may run the program several times at
// once.
type Provider struct {
	cfg Config
	log *slog.Logger
	env []string
}

var _ cloud.Provider = (*Provider)(nil)

// New makes a provider. What the program writes to its standard error goes to
// log.
func New(cfg Config, log *slog.Logger) (*Provider, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	p := &Provider{cfg: cfg, log: log}
	for _, name := range append([]string{"PATH", "HOME", "LANG", "TMPDIR"}, cfg.Environment...) {
		if v, ok := os.LookupEnv(name); ok {
			p.env = append(p.env, name+"="+v)
		}
	}
	return p, nil
}

// The verbs are the program's first argument.
const (
	verbCreate = "create"
	verbGet    = "get"
	verbList   = "list"
	verbDelete = "delete"
)

// Create implements cloud.Provider. The program is asked for the VM first,
// and to create only if there is none.
func (p *Provider) Create(ctx context.Context, s cloud.Spec) error {
	if err := check(s.Ref, s.Owner); err != nil {
		return err
	}
	if s.RequestID == "" {
		return fmt.Errorf("%w: a request ID is needed", cloud.ErrInvalid)
	}
	if !slices.Contains(p.cfg.Zones, s.Zone) { // List would not ask for it
		return fmt.Errorf("%w: the zone must be one of --exec-zones, got %q", cloud.ErrInvalid, s.Zone)
	}
	switch _, err := p.get(ctx, s.Ref, s.Owner, s.StartupScript); {
	case err == nil:
		return nil
	case !errors.Is(err, cloud.ErrNotFound):
		return err
	}
	_, err := p.run(ctx, verbCreate, creation(s), s.StartupScript)
	if errors.Is(err, cloud.ErrNotFound) {
		return fmt.Errorf("create %s: the program answered NotFound, which is no answer to create", s.Name)
	}
	return err
}

func (p *Provider) Get(ctx context.Context, r cloud.Ref, o cloud.Owner) (cloud.Instance, error) {
	if err := check(r, o); err != nil {
		return cloud.Instance{}, err
	}
	return p.get(ctx, r, o, "")
}

// get keeps the secret out of the log and the error.
func (p *Provider) get(ctx context.Context, r cloud.Ref, o cloud.Owner, secret string) (cloud.Instance, error) {
	a, err := p.run(ctx, verbGet, request{Version: version, Name: r.Name, Zone: r.Zone, Owner: toOwner(o)}, secret)
	if err != nil {
		return cloud.Instance{}, only(err, cloud.ErrNotFound, cloud.ErrForeign)
	}
	i := a.Machine.instance()
	if i.Ref != r {
		return cloud.Instance{}, fmt.Errorf("get %s in %s: the program answered about %q in %q", r.Name, r.Zone, i.Name, i.Zone)
	}
	if i.Owner != o {
		return cloud.Instance{}, fmt.Errorf("%w: %s in %s belongs to %+v", cloud.ErrForeign, r.Name, r.Zone, i.Owner)
	}
	return i, nil
}

func (p *Provider) List(ctx context.Context, cluster string) ([]cloud.Instance, error) {
	if cluster == "" {
		return nil, fmt.Errorf("%w: list the VMs of which cluster?", cloud.ErrInvalid)
	}
	a, err := p.run(ctx, verbList, request{Version: version, Cluster: cluster, Zones: p.cfg.Zones}, "")
	if err != nil {
		return nil, only(err)
	}
	var all []cloud.Instance
	for _, m := range a.Machines {
		if i := m.instance(); i.Owner.Cluster == cluster {
			all = append(all, i)
		}
	}
	return all, nil
}

// Delete implements cloud.Provider. The program is asked for the VM first,
// and to delete only if it is the owner's.
func (p *Provider) Delete(ctx context.Context, r cloud.Ref, o cloud.Owner) error {
	if _, err := p.Get(ctx, r, o); err != nil {
		return err
	}
	_, err := p.run(ctx, verbDelete, request{Version: version, Name: r.Name, Zone: r.Zone, Owner: toOwner(o)}, "")
	return only(err, cloud.ErrNotFound, cloud.ErrForeign)
}

func check(r cloud.Ref, o cloud.Owner) error {
	if r.Name == "" || r.Zone == "" {
		return fmt.Errorf("%w: a VM has a name and a zone, got %+v", cloud.ErrInvalid, r)
	}
	if !o.Whole() {
		return fmt.Errorf("%w: the owner must be whole: cluster, node, node UID, failover, got %+v", cloud.ErrInvalid, o)
	}
	return nil
}

// only lets those of the contract's errors through that a call has, and makes
// others such that may pass.
func only(err error, kinds ...error) error {
	var said *refusal
	if !errors.As(err, &said) {
		return err
	}
	for _, k := range kinds {
		if errors.Is(said.kind, k) {
			return err
		}
	}
	return errors.New(said.text)
}
