package cli

import (
	"context"
	"fmt"
	"os"

	generator "torikumi/local/load"
)

func runLoad(ctx context.Context, std stdio) int {
	cfg := new(generator.Config)
	if code, ok := load("load", cfg, std); !ok {
		return code
	}
	failed := func(err error) int {
		fmt.Fprintf(std.stderr, "torikumi load: %v\n", err)
		return exitFailed
	}
	exe, err := os.Executable()
	if err != nil {
		return failed(fmt.Errorf("find our own program: %w", err))
	}
	text := std.stdout
	if cfg.JSON == "-" {
		text = std.stderr
	}
	report, err := generator.Run(ctx, *cfg, generator.Env{Progress: text, UpCommand: []string{exe, "up"}, UpOutput: std.stderr})
	if err != nil {
		return failed(err)
	}
	report.WriteText(text)
	if err := writeJSON(report, cfg.JSON, std); err != nil {
		return failed(err)
	}
	if !report.OK {
		return exitFailed
	}
	return 0
}

// writeJSON writes the report where --json says.
func writeJSON(report *generator.Report, path string, std stdio) error {
	switch path {
	case "":
		return nil
	case "-":
		return report.WriteJSON(std.stdout)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--json: %w", err)
	}
	err = report.WriteJSON(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("--json: write %s: %w", path, err)
	}
	return nil
}
