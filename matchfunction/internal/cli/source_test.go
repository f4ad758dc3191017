package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A comment may end with the file, for each command that reads a rule set.
func TestCommentAtTheEnd(t *testing.T) {
	rules, tickets := explainFiles(t, 1000, 1050)
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte(strings.TrimSpace(string(text))+" // end"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"lint", file}, {"simulate", "--rules=" + file, "--tickets=" + tickets}, {"explain", "--rules=" + file, "--tickets=" + tickets, "--ticket=t0"},
	} {
		if code, out, errs := call(args...); code != 0 {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
	}
}
