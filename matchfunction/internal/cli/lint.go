package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"torikumi/matchfunction/internal/explain"
	"torikumi/matchfunction/internal/search"
	"torikumi/pkg/service"
)

// lintConfig holds the settings of "matchfunction lint".
type lintConfig struct {
	JSON   bool `flag:"json" help:"Print one JSON object."`
	Strict bool `flag:"strict" help:"Exit with 1 for warnings too."`

	files []string
}

// Validate tells which settings are wrong.
func (c *lintConfig) Validate() error {
	if len(c.files) == 0 {
		return errors.New("FILE: required: name at least one rule set")
	}
	return nil
}

// linted is what is wrong with a file.
type linted struct {
	File     string    `json:"file"`
	Errors   []problem `json:"errors"`
	Warnings []problem `json:"warnings"`
}

func runLint(_ context.Context, proc service.Process, rules search.Options) int {
	cfg := new(lintConfig)
	cfg.files, proc.Args = operands(proc.Args)
	if code, ok := load(proc, "lint", cfg, "FILE ..."); !ok {
		return code
	}
	var report struct {
		Files    []linted `json:"files"`
		Errors   int      `json:"errors"`
		Warnings int      `json:"warnings"`
	}
	for _, file := range cfg.files {
		l := linted{File: file, Errors: []problem{}, Warnings: []problem{}}
		if s, problems := readSource(file, rules); problems != nil {
			l.Errors = problems
		} else {
			l.Warnings = append(l.Warnings, s.warnings()...)
		}
		report.Files = append(report.Files, l)
		report.Errors += len(l.Errors)
		report.Warnings += len(l.Warnings)
	}
	if cfg.JSON {
		if err := json.NewEncoder(proc.Stdout).Encode(report); err != nil {
			return failed(proc, "lint", err)
		}
	} else {
		for _, l := range report.Files {
			l.print(proc)
		}
		fmt.Fprintf(proc.Stdout, "%s, %s, %s\n", explain.Count(len(cfg.files), "file", "files"),
			explain.Count(report.Errors, "error", "errors"), explain.Count(report.Warnings, "warning", "warnings"))
	}
	if report.Errors > 0 || cfg.Strict && report.Warnings > 0 {
		return service.ExitFailed
	}
	return 0
}

func (l *linted) print(proc service.Process) {
	for _, p := range l.Errors {
		fmt.Fprintln(proc.Stdout, p.text(l.File))
	}
	for _, p := range l.Warnings {
		p.Message = "warning: " + p.Message
		fmt.Fprintln(proc.Stdout, p.text(l.File))
	}
}

// operands takes the files out of arguments: all that is no setting, and all
// behind "--".
func operands(args []string) (files, settings []string) {
	for i, a := range args {
		switch {
		case a == "--":
			return append(files, args[i+1:]...), settings
		case strings.HasPrefix(a, "-"):
			settings = append(settings, a)
		default:
			files = append(files, a)
		}
	}
	return files, settings
}
