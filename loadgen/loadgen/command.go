package loadgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"torikumi/pkg/service"
)

// Command is how the load generator is called.
type Command struct {
	// Name is what the user types, EnvPrefix stands before the names of
	// environment variables.
	Name, EnvPrefix string
	// Up is the command line that starts "torikumi up", for --up; nil: --up
	// cannot be used.
	Up []string
}

// Main reads the settings, runs and reports. It returns the exit code: 0, 1 if
// something failed or was lost, 2 if the settings are wrong.
func (c Command) Main(ctx context.Context, p service.Process) int {
	cfg := new(Config)
	if code, ok := p.Load(c.Name, c.EnvPrefix, cfg); !ok {
		return code
	}
	text := p.Stdout
	if cfg.JSON == "-" {
		text = p.Stderr
	}
	report, err := Run(ctx, *cfg, Env{Progress: text, UpCommand: c.Up, UpOutput: p.Stderr})
	if err == nil {
		report.WriteText(text)
		err = report.save(cfg.JSON, p.Stdout)
	}
	switch {
	case err != nil:
		return p.Fail(c.Name, err)
	case !report.OK:
		return service.ExitFailed
	}
	return 0
}

func (r *Report) save(path string, stdout io.Writer) error {
	switch path {
	case "":
		return nil
	case "-":
		return r.WriteJSON(stdout)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	if err := errors.Join(r.WriteJSON(f), f.Close()); err != nil {
		return fmt.Errorf("--json: write %s: %w", path, err)
	}
	return nil
}
