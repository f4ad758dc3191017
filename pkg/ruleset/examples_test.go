package ruleset_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"torikumi/pkg/ruleset"
)

// TestExamples parses all rule sets of the documentation.
func TestExamples(t *testing.T) {
	files := examples(t)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rs, err := ruleset.Parse(text)
			if err != nil {
				t.Fatalf("\n%v", err)
			}
			checkSound(t, rs)
		})
	}
}

// TestExamplesCover has something of everything in them.
func TestExamplesCover(t *testing.T) {
	seen := map[any]bool{}
	for _, file := range documented(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rs, err := ruleset.Parse(text)
		if err != nil {
			continue // TestExamples fails
		}
		for _, s := range rs.Stages {
			seen[s.Algorithm.Strategy], seen[s.Algorithm.BatchingPreference] = true, true
			seen[s.Algorithm.ExpansionAge] = true
			for _, r := range s.Rules {
				seen[r.Kind], seen[r.Operation], seen[r.PartyAggregation], seen[r.MapKey] = true, true, true, true
				seen[[2]any{"optional", r.Optional}] = true
				if r.Statement != nil {
					note(r.Statement, seen)
				}
			}
		}
	}
	for _, kind := range ruleset.Kinds() {
		if !seen[kind] {
			t.Errorf("no example of a %s rule", kind)
		}
	}
	for _, want := range []any{
		ruleset.Contains, ruleset.CollectionIntersection, ruleset.ReferenceIntersectionCount,
		ruleset.Equal, ruleset.NotEqual, ruleset.LessOrEqual, ruleset.GreaterOrEqual, ruleset.ExhaustiveSearch, ruleset.Balanced,
		ruleset.Random, ruleset.Sorted, ruleset.LargestPopulation, ruleset.FastestRegion, ruleset.Newest, ruleset.Oldest,
		ruleset.Avg, ruleset.Min, ruleset.Max, ruleset.Union, ruleset.Intersection, ruleset.MaxValue,
		ruleset.And, ruleset.Or, ruleset.Not, ruleset.Xor, [2]any{"optional", true},
	} {
		if !seen[want] {
			t.Errorf("no example of %v", want)
		}
	}
}

func note(s *ruleset.Statement, seen map[any]bool) {
	seen[s.Connective] = true
	for _, p := range s.Parts {
		note(p, seen)
	}
}

// TestKindsAreDocumented: docs/rules.md has a row for each type of rules, with all of its
// properties, and none for others.
func TestKindsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(text), "| type | required | may have |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows, names := make(map[ruleset.Kind]string), regexp.MustCompile("`([a-zA-Z]+)`")
	for row := range strings.Lines(table) {
		for _, name := range names.FindAllStringSubmatch(strings.Split(row, "|")[1], -1) {
			rows[ruleset.Kind(name[1])] = row
		}
	}
	if !found || len(rows) != len(ruleset.Kinds()) {
		t.Errorf("%d types have a row, of %d", len(rows), len(ruleset.Kinds()))
	}
	for _, kind := range ruleset.Kinds() {
		for _, property := range kind.Properties() {
			if !strings.Contains(rows[kind], "`"+property+"`") {
				t.Errorf("%s of %s is not in its row: %q", property, kind, rows[kind])
			}
		}
	}
}

// examples are rule sets that have to parse: another directory can be given to
// try some more.
func examples(t testing.TB) []string {
	if dir := os.Getenv("RULESET_EXAMPLES"); dir != "" {
		return glob(t, dir)
	}
	return documented(t)
}

// documented are the rule sets of the documentation.
func documented(t testing.TB) []string {
	docs := filepath.Join("..", "..", "docs")
	return append(glob(t, filepath.Join(docs, "rulesets")), glob(t, filepath.Join(docs, "examples", "custom"))...)
}

func glob(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples in %s: %v", dir, err)
	}
	return files
}
