// Package devissuer runs the development issuer (package issuer) as a service of
// its own, for clusters of developers and tests. Whoever reaches it can be any
// player, so it starts only if it is told that this is development.
package devissuer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"torikumi/frontend/signing"
	"torikumi/local/issuer"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

// Config holds the settings; config.Default fills in what has a default.
type Config struct {
	service.Config

	Development bool   `flag:"development" default:"false" help:"Must be set: this issuer gives a token for any player to whoever asks, and belongs to development alone."`
	HTTPListen  string `flag:"http-listen" default:"127.0.0.1:8081" rule:"listen" help:"Address of the HTTP server: tokens, key set, health and metrics. Port 0 is any free one."`
	KeysDir     string `flag:"keys-dir" required:"tokens cannot be signed without a key" help:"Directory with the private key, *.pem; one is made if there is none."`
}

// Validate reports which settings are wrong.
func (c *Config) Validate() error {
	if !c.Development {
		return config.Missing("development", "whoever reaches this issuer can be any player")
	}
	return nil
}

// Run serves until ctx ends, and calls started once with the address.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	if err := config.Validate(cfg); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if err := ensureKey(cfg.KeysDir); err != nil {
		return err
	}
	cfg.Logger(os.Stderr, "devissuer").WarnContext(ctx, "gives a token for any player to whoever asks: for development alone")
	return issuer.Run(ctx, issuer.Options{KeysDir: cfg.KeysDir, HTTPListen: cfg.HTTPListen, Service: cfg.Config, Started: started})
}

func ensureKey(dir string) error {
	// Glob has no error but for its pattern, and finds nothing where it cannot look.
	if _, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--keys-dir: %w", err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(found) > 0 {
		return err
	}
	_, err = signing.GenerateKey(dir, token.RS256, time.Now())
	return err
}
