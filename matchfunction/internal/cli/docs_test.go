package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/pkg/service"
)

// example is a command of the documentation with what it prints.
var example = regexp.MustCompile("(?s)```\n\\$ matchfunction ([^\n]+)\n(.*?)```")

// What docs/simulate.md shows is what the commands print. A line "..." stands
// for lines that are left out.
func TestDocumentedOutput(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "simulate.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for link, to := range map[string]string{
		"docs": filepath.Join(root, "docs"), "broken.json": filepath.Join(root, "matchfunction", "internal", "cli", "testdata", "broken.json"),
		"odd.json": filepath.Join(root, "matchfunction", "internal", "cli", "testdata", "odd.json"),
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	found := example.FindAllSubmatch(text, -1)
	if len(found) < 6 {
		t.Errorf("%d examples", len(found))
	}
	for _, e := range found {
		var out bytes.Buffer
		proc := service.Process{Args: strings.Fields(string(e[1])), Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &out}
		if code := Main(context.Background(), proc, search.Options{Expression: expression.Compile}); code == service.ExitUsage {
			t.Errorf("%s: exit %d", e[1], code)
		}
		lines := func(text []byte) []string { return strings.Split(took.ReplaceAllString(string(text), "${1}0"), "\n") }
		want, got := lines(e[2]), lines(out.Bytes())
		if slices.Contains(want, "...") {
			got = slices.DeleteFunc(got, func(line string) bool { return !slices.Contains(want, line) })
			want = slices.DeleteFunc(want, func(line string) bool { return line == "..." })
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("docs/simulate.md: matchfunction %s:\n%s", e[1], diff)
		}
	}
}

// The built-in match function takes all rule sets of the documentation but
// those that are examples of custom rules.
func TestDocumentedRuleSetsHaveNoErrors(t *testing.T) {
	var files []string
	for _, dir := range []string{"rulesets", "examples"} {
		found, err := filepath.Glob(filepath.Join("..", "..", "..", "docs", dir, "*.json"))
		if err != nil || len(found) == 0 {
			t.Fatal(dir, err)
		}
		files = append(files, found...)
	}
	if code, out, errs := call(append([]string{"lint"}, files...)...); code != 0 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}
