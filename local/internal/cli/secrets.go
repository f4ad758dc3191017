package cli

import (
	"context"
	"slices"
	"time"

	"torikumi/local/secrets"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

type secretsConfig struct {
	Algorithm  token.Algorithm `flag:"algorithm" default:"RS256" rule:"RS256 or ES256" help:"Algorithm of the join tokens: the frontend's and the gates' --algorithm."`
	Validity   time.Duration   `flag:"validity" default:"8760h" rule:"at least 1h" help:"How long the certificates are good."`
	Allocator  bool            `flag:"allocator" default:"true" help:"Print the certificates between director and allocator; miniagones makes its own."`
	Backfill   bool            `flag:"backfill" default:"false" help:"Print the certificate by which gates know directors too, for components/backfill."`
	Namespaces bool            `flag:"namespaces" default:"false" help:"Print the namespaces of the Secrets before them, for a cluster that has none yet."`
}

// runSecrets prints the Secrets of a cluster, for kubectl. It keeps nothing.
func runSecrets(_ context.Context, p service.Process) int {
	cfg := new(secretsConfig)
	if code, ok := load("secrets", cfg, p); !ok {
		return code
	}
	list, err := secrets.Make(cfg.Algorithm, time.Now(), cfg.Validity)
	if err != nil {
		return p.Fail("torikumi secrets", err)
	}
	if !cfg.Allocator {
		list = slices.DeleteFunc(list, func(s secrets.Secret) bool { return s.Name != secrets.JoinKeys })
	}
	if cfg.Backfill {
		gates, err := secrets.MakeGates(time.Now(), cfg.Validity)
		if err != nil {
			return p.Fail("torikumi secrets", err)
		}
		list = append(list, gates...)
	}
	manifest, err := secrets.Manifest(list, cfg.Namespaces)
	if err == nil {
		_, err = p.Stdout.Write(manifest)
	}
	if err != nil {
		return p.Fail("torikumi secrets", err)
	}
	return 0
}
