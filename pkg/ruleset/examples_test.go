package ruleset_test

import (
	"os"
	"path/filepath"
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
	for _, want := range []any{
		ruleset.Comparison, ruleset.Distance, ruleset.BatchDistance, ruleset.Collection, ruleset.Latency, ruleset.DistanceSort,
		ruleset.AbsoluteSort, ruleset.Compound, ruleset.Expression, ruleset.Custom, ruleset.TeamDifference, ruleset.TeamSizeBalance,
		ruleset.PartySizes, ruleset.RoleQuota, ruleset.Contains, ruleset.CollectionIntersection, ruleset.ReferenceIntersectionCount,
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
