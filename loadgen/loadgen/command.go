package loadgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"torikumi/pkg/config"
)

// Exit codes of Main.
const (
	exitFailed = 1
	exitConfig = 2
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
func (c Command) Main(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	cfg := new(Config)
	err := config.Load(c.Name, c.EnvPrefix, cfg, args, getenv, stdout)
	switch {
	case errors.Is(err, config.ErrHelp):
		return 0
	case err != nil:
		config.Report(stderr, c.Name, err)
		return exitConfig
	}
	text := stdout
	if cfg.JSON == "-" {
		text = stderr
	}
	report, err := Run(ctx, *cfg, Env{Progress: text, UpCommand: c.Up, UpOutput: stderr})
	if err == nil {
		report.WriteText(text)
		err = report.save(cfg.JSON, stdout)
	}
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "%s: %v\n", c.Name, err)
		return exitFailed
	case !report.OK:
		return exitFailed
	}
	return 0
}

// save writes the report as JSON where --json says.
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
