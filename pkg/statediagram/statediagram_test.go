package statediagram

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const page = "# Page\n\n```mermaid\nstateDiagram-v2\n    X --> Y\n```\n\n## Life\n\nText.\n\n```mermaid\nstateDiagram-v2\n" + `    direction LR
    %% a comment
    state "On the way" as New
    Ready : can be allocated
    [*] --> New
    New-->Ready: SDK.Ready
    note left of Ready : one line
    note right of Ready
        New --> Gone is no arrow
    end note
    state "In use" as Used {
        Allocated
        Reserved : for a while
    }
    Used --> Ready : ready
    Ready --> [*] : deleted
` + "```\n\n## After\n\n# not in a fence\n"

// life is in page under "Life".
var life = []Transition{{Terminal, "New", ""}, {"New", "Ready", "SDK.Ready"},
	{"Allocated", "Ready", "ready"}, {"Reserved", "Ready", "ready"}, {"Ready", Terminal, "deleted"}}

func TestParse(t *testing.T) {
	got, err := Parse(page, "Life")
	if err != nil || !slices.Equal(got, life) {
		t.Errorf("got %v, %v; want %v", got, err, life)
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ markdown, want string }{
		"no heading":    {"# Other\n", "no heading"},
		"no block":      {"# Life\n\n# Next\n```mermaid\nstateDiagram-v2\n```\n", "no Mermaid block"},
		"no end":        {"# Life\n```mermaid\nstateDiagram-v2\nA --> B\n", "must be a complete"},
		"other diagram": {"# Life\n```mermaid\nflowchart LR\n```\n", "line 2"},
		"fork":          {"# Life\n```mermaid\nstateDiagram-v2\nstate A <<fork>>\n```\n", "line 4"},
		"to composite":  {"# Life\n```mermaid\nstateDiagram-v2\nstate A {\nB\n}\nC --> A\n```\n", "C --> A"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := Parse(c.markdown, "Life"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v; want an error with %q", got, err, c.want)
			}
		})
	}
}

// recorder is a test that notes its errors.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	unlabelled := slices.Clone(life)
	for i := range unlabelled {
		unlabelled[i].Label = ""
	}
	for name, c := range map[string]struct {
		transitions []Transition
		want        []string
	}{
		"same":           {life, nil},
		"without labels": {append(unlabelled, unlabelled[0]), nil},
		"not drawn":      {append(slices.Clone(life), Transition{"Ready", "New", "back"}), []string{"does not draw: Ready --> New : back"}},
		"never done":     {life[:4], []string{"never does: Ready --> [*] : deleted"}},
		"other label":    {append(slices.Clone(life[:4]), Transition{"Ready", Terminal, "x"}), []string{"[*] : x", "[*] : deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{TB: t}
			Check(r, path, "Life", c.transitions)
			if !slices.EqualFunc(r.errors, c.want, strings.HasSuffix) {
				t.Errorf("got %q, want %q", r.errors, c.want)
			}
		})
	}
}
