//go:build unix

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// builtIn holds the programs, once TestMain has built them.
var builtIn string

// program is the path of one of our programs.
func program(name string) string { return filepath.Join(builtIn, name) }

// TestMain builds every program once. Called as a pod it runs a game server
// and its gate instead.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == podCommand {
		os.Exit(pod(os.Args[2:]))
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "torikumi-programs-")
		if err == nil {
			defer os.RemoveAll(dir)
			builtIn = dir
			err = build(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "build the programs:", err)
			return 1
		}
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// build finds the commands of all modules, so that it does not matter where in
// its module a service's main package lies.
func build(dir string) error {
	list := exec.Command("go", "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`,
		"torikumi/frontend/...", "torikumi/matchfunction/...", "torikumi/evaluator/...", "torikumi/director/...",
		"torikumi/minimatch/...", "torikumi/gameserver/...", "torikumi/local/...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the commands: %w", err)
	}
	args := append([]string{"build", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}, strings.Fields(string(out))...)
	cmd := exec.Command("go", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, "local"), filepath.Join(dir, "torikumi"))
}
