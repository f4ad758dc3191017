package server

import (
	"context"
	"fmt"
	"os"

	"torikumi/pkg/config"
)

// Run is Main with settings from a test.
func Run(ctx context.Context, cfg *Config, started func(addr string)) error {
	if err := config.Validate(cfg); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	return run(ctx, cfg, cfg.Logger(os.Stderr, "server"), started)
}
