package strictyaml_test

import (
	"strings"
	"testing"

	"torikumi/pkg/strictyaml"
)

func TestUnmarshal(t *testing.T) {
	for text, want := range map[string]string{
		"a: 1":                             "",
		"---\na: 1\n":                      "",
		"# why\n---\na: 1\n...\n":          "",
		"a: 1\n---\n":                      "",
		"a: 1\n---\n# nothing\n---\n...\n": "",
		"a: 1\n---\na: 2\n":                "line 3: there must be one YAML document",
		"a: 1\n...\n---\nb: 2\n":           "line 4: there must be one YAML document",
		"a: 1\n---\n\n---\n- b\n":          "line 5: there must be one YAML document",
		"---\n---\na: 1\n":                 "line 3: there must be one YAML document",
		"a: 1\n...\nrubbish: [\n":          "what follows is none",
		"a: 1\n--- x\n":                    "line 2: there must be one YAML document",
		"a: 1\nb: 2\n":                     `unknown field "b"`,
		"a: 1\na: 2\n":                     "already",
		"a: [":                             "did not find",
	} {
		var into struct {
			A int `json:"a"`
		}
		err := strictyaml.Unmarshal([]byte(text), &into)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
		if want == "" && into.A != 1 {
			t.Errorf("%q: %+v", text, into)
		}
	}
}
