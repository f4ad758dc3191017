package gateapi_test

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"torikumi/gameserver/internal/admission"
	"torikumi/pkg/token"
)

const doc = "../../../docs/gate.md"

var reasonRow = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([A-Za-z, ]+) \\| ([0-9, ]*) ?\\| (same|new|–) \\| (.+) \\|$")

// TestReasonsAreDocumented holds the table of reasons against those in the code.
func TestReasonsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Reasons\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := reasonRow.FindAllStringSubmatch(section, -1)
	if lines := strings.Count(section, "\n| `"); lines != len(rows) {
		t.Errorf("%d of %d rows have the form of the table", len(rows), lines)
	}
	inCode := map[string]bool{}
	for _, dir := range []string{"../../../pkg/token", "../admission", "../wire"} {
		for _, reason := range constants(t, dir) {
			inCode[reason] = true
		}
	}
	if len(inCode) < 30 {
		t.Errorf("only %d reasons found: has their form changed?", len(inCode))
	}
	documented := map[string]bool{}
	for _, row := range rows {
		reason, where, status, again := row[1], row[2], strings.TrimSpace(row[3]), row[4]
		if documented[reason] || !inCode[reason] {
			t.Errorf("%s: twice in the table, or not in the code", reason)
		}
		documented[reason] = true
		inList := !slices.Contains([]token.Reason{token.ReasonWrongMatch, admission.ReasonSDKUnavailable}, token.Reason(reason)) // those answer the whole report
		if presence := slices.Contains(strings.Split(where, ", "), "presence"); presence && inList != slices.Contains(strings.Split(status, ", "), "200") {
			t.Errorf("%s: status %q, but in a list of an answer to presence: %v", reason, status, inList)
		}
		if !strings.Contains(where, "admission") {
			continue
		}
		traits := admission.TraitsOf(token.Reason(reason))
		wantAgain, wantStatus := "–", "403"
		switch {
		case traits.Retryable:
			wantAgain = "same"
		case traits.Renewable:
			wantAgain = "new"
		}
		if traits.Fault {
			wantStatus = "503"
		}
		if again != wantAgain || !strings.HasPrefix(status, wantStatus) {
			t.Errorf("%s: status %s and %q, the gate has %s and %q", reason, status, again, wantStatus, wantAgain)
		}
	}
	for reason := range inCode {
		if !documented[reason] {
			t.Errorf("%s is missing in the table of %s", reason, doc)
		}
	}
}

// constants returns the texts of a package's constants that are named Reason… or Kick….
func constants(t *testing.T, dir string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", dir, len(files), err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			value, ok := spec.Values[0].(*ast.BasicLit)
			if name := spec.Names[0].Name; ok && value.Kind == gotoken.STRING && (strings.HasPrefix(name, "Reason") || (strings.HasPrefix(name, "Kick") && name != "Kick")) {
				text, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, text)
			}
			return true
		})
	}
	return all
}
