package search_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"torikumi/matchfunction/internal/expression"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

var docs = filepath.Join("..", "..", "..", "docs")

// documented are the custom rules that docs/examples/custom names.
var documented = search.Options{Expression: expression.Compile, Custom: rule.Registry{
	"no-rematch": func(parameters json.RawMessage) (rule.Rule, error) {
		var p struct{ Hours, Most int }
		if err := json.Unmarshal(parameters, &p); err != nil {
			return nil, err
		}
		if p.Hours < 1 || p.Most < 1 {
			return nil, errors.New("hours, most: must be positive")
		}
		return scripted{allow}, nil
	},
}}

// The documentation's rule sets are not just read (pkg/ruleset has a test of
// that): the match function takes them.
func TestDocumentedRuleSetsCompile(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(docs, "rulesets", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rule sets: %v", err)
	}
	custom, err := filepath.Glob(filepath.Join(docs, "examples", "custom", "*.json"))
	if err != nil || len(custom) == 0 {
		t.Fatalf("no rule sets with custom rules: %v", err)
	}
	files = append(files, custom...)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := compiles(text); err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
		}
	}
}

func compiles(text []byte) error {
	rs, err := ruleset.Parse(text)
	if err != nil {
		return err
	}
	_, err = search.Compile(rs, documented)
	return err
}

// Expressions in the text of the documentation compile too, with the attributes
// that they read.
func TestDocumentedExpressionsCompile(t *testing.T) {
	example := regexp.MustCompile(`"expression": ("(?:[^"\\]|\\.)*")`)
	for _, name := range []string{"rules.md", "custom-rules.md"} {
		text, err := os.ReadFile(filepath.Join(docs, name))
		if err != nil {
			t.Fatal(err)
		}
		found := example.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s: no expressions", name)
		}
		for _, e := range found {
			err := compiles(fmt.Appendf(nil, `{"name": "example", "ruleLanguageVersion": "1.0",
				"playerAttributes": [{"name": "skill", "type": "number"}, {"name": "age", "type": "number"}, {"name": "clan", "type": "string"}, {"name": "maps", "type": "string_list"}],
				"teams": [{"name": "red", "minPlayers": 1, "maxPlayers": 5}, {"name": "blue", "minPlayers": 1, "maxPlayers": 5}],
				"rules": [{"name": "example", "type": "expression", "expression": %s}]}`, e[1]))
			if err != nil {
				t.Errorf("%s: %s: %v", name, strings.TrimSpace(e[1]), err)
			}
		}
	}
}
