package failover_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"torikumi/failover/internal/controller"
)

const reference = "../../docs/failover-reference.md"

// reasons are the string literals of a package that look like a reason and are
// given to a call or returned.
func reasons(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	word := regexp.MustCompile(`^[A-Z][A-Za-z]+$`)
	look := func(all []ast.Expr) {
		for _, e := range all {
			if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && word.MatchString(s) {
					found[s] = true
				}
			}
		}
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				look(n.Args)
			case *ast.ReturnStmt:
				look(n.Results)
			case *ast.AssignStmt:
				look(n.Rhs)
			case *ast.CompositeLit: // Event{Reason: …}
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						look([]ast.Expr{kv.Value})
					}
				}
			case *ast.ValueSpec:
				if id, ok := n.Type.(*ast.Ident); ok && id.Name == "GaveUp" {
					look(n.Values)
				}
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// An operator who looks for a reason finds it.
func TestReasonsAreDocumented(t *testing.T) {
	text := read(t, reference)
	for _, dir := range []string{"../internal/decide", "../internal/controller", "../api/v1"} {
		for _, r := range reasons(t, dir) {
			if !strings.Contains(text, "`"+r+"`") {
				t.Errorf("%s: %s has nothing of %s", dir, reference, r)
			}
		}
	}
}

func TestMetricsAreDocumented(t *testing.T) {
	text := read(t, reference)
	names := regexp.MustCompile(`Name: "([a-z_]+)"`).FindAllStringSubmatch(read(t, "../internal/controller/metrics.go"), -1)
	if len(names) == 0 {
		t.Fatal("no metrics are found")
	}
	for _, m := range names {
		if !strings.Contains(text, "`"+m[1]) {
			t.Errorf("%s has nothing of %s", reference, m[1])
		}
	}
}

// An alert sees the first drill that fails: its verdict is counted from 0 on.
func TestVerdictsAreCounted(t *testing.T) {
	_, rows, ok := strings.Cut(read(t, reference), "| `Rehearsed` (drill)")
	rows, _, ok2 := strings.Cut(rows, "\n\n")
	reg := prometheus.NewRegistry()
	controller.NewMetrics(reg)
	all, err := reg.Gather()
	if !ok || !ok2 || err != nil {
		t.Fatal(ok, ok2, err)
	}
	counted := map[string]bool{}
	for _, f := range all {
		if f.GetName() == "torikumi_failover_drills_total" {
			for _, m := range f.GetMetric() {
				counted[m.GetLabel()[0].GetValue()] = true
			}
		}
	}
	found := regexp.MustCompile("`([A-Z][A-Za-z]+)`").FindAllStringSubmatch(rows, -1)
	if len(found) < 10 {
		t.Errorf("the page has %d verdicts", len(found))
	}
	for _, m := range found {
		if !counted[m[1]] {
			t.Errorf("a drill that ends with %s is not counted from 0 on", m[1])
		}
	}
}

// What Google has to allow is told once in the code, and once to operators.
func TestPermissionsAreDocumented(t *testing.T) {
	permission := regexp.MustCompile(`\b(?:compute\.[a-zA-Z]+|iam\.serviceAccounts)\.[a-zA-Z]+\b`)
	list := func(file, from, to string) []string {
		_, text, ok := strings.Cut(read(t, file), from)
		text, _, ok2 := strings.Cut(text, to)
		if !ok || !ok2 {
			t.Fatalf("%s: no %q … %q", file, from, to)
		}
		all := permission.FindAllString(strings.ReplaceAll(text, "compute.googleapis.com", ""), -1)
		slices.Sort(all)
		return all
	}
	code := list("../internal/gce/gce.go", "# What it needs", "package gce")
	docs := list("../../docs/failover-setup.md", "## Google Cloud", "\n## ")
	if diff := cmp.Diff(code, slices.Compact(docs)); diff != "" || len(code) == 0 {
		t.Errorf("permissions in the code (-) and in the docs (+): %s", diff)
	}
}

// An alert on a metric, a phase or a verdict that is not there never fires.
func TestAlertsAreOfMetrics(t *testing.T) {
	rules := read(t, "../../manifests/components/monitoring/prometheusrule.yaml")
	code := read(t, "../internal/controller/metrics.go")
	metrics := regexp.MustCompile(`torikumi_failover_([a-z_]+)`).FindAllStringSubmatch(rules, -1)
	if len(metrics) == 0 {
		t.Fatal("no metrics are found")
	}
	for _, m := range metrics {
		if name := strings.TrimSuffix(m[1], "_count"); !strings.Contains(code, `Name: "`+name+`"`) {
			t.Errorf("there is no metric %s", m[1])
		}
	}
	known := slices.Concat(reasons(t, "../internal/decide"), []string{"Pending", "Creating", "Draining"})
	for _, m := range regexp.MustCompile(`(?:phase|verdict)[!=]~?"([A-Za-z|]+)"`).FindAllStringSubmatch(rules, -1) {
		for _, value := range strings.Split(m[1], "|") {
			if !slices.Contains(known, value) {
				t.Errorf("nothing is %s", value)
			}
		}
	}
	told := read(t, reference)
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		if !strings.Contains(told, "`"+m[1]+"`") {
			t.Errorf("%s has nothing of %s", reference, m[1])
		}
	}
}

// What the table of public reports says that a test shows, a test of that name shows.
func TestReportsAreShown(t *testing.T) {
	_, table, ok := strings.Cut(read(t, reference), "## What others have reported")
	table, _, ok2 := strings.Cut(table, "\n## ")
	if !ok || !ok2 {
		t.Fatal("there is no table")
	}
	var tests strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			tests.WriteString(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	code, rows := tests.String(), 0
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || strings.Contains(line, "---") || strings.Contains(cells[3], "shown by") {
			continue
		}
		rows++
		names := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(names) == 0 {
			t.Errorf("nothing shows %q", cells[1])
		}
		for _, m := range names {
			if missing := shown(m[1], code); missing != "" {
				t.Errorf("%q: %s", cells[1], missing)
			}
		}
	}
	if rows < 20 {
		t.Errorf("%d rows are found", rows)
	}
}

// shown says what there is not of a test or scenario; "" if it is all there.
func shown(name, code string) string {
	// "TestNode/…/damage": of each machine; "TestFence…": all that begin so.
	test, sub, _ := strings.Cut(strings.Replace(name, "/…", "", 1), "/")
	end := "("
	if before, more := strings.CutSuffix(test, "…"); more {
		test, end = before, ""
	}
	switch {
	case strings.HasPrefix(name, "make "):
		return ""
	case strings.HasPrefix(name, "Test"), strings.HasPrefix(name, "Fuzz"):
		if !strings.Contains(code, "func "+test+end) {
			return "there is no " + test
		}
		if sub != "" && !strings.Contains(code, `"`+sub) {
			return "there is no subtest " + sub
		}
		return ""
	}
	if _, err := os.Stat("../internal/decide/testdata/" + name + ".txt"); err != nil {
		return "there is no scenario " + name
	}
	return ""
}
