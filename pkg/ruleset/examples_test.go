package ruleset_test

import (
	"os"
	"path/filepath"
	"testing"

	"torikumi/pkg/ruleset"
)

// TestExamples parses all rule sets of the documentation.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examplesDir(), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
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

// examplesDir is where rule sets that have to parse are: another directory can
// be given to try some more.
func examplesDir() string {
	if dir := os.Getenv("RULESET_EXAMPLES"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "docs", "rulesets")
}
