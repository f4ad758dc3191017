package explain

import (
	"strings"
	"testing"
	"time"
)

// Replicas do not say when they looked: what one says anew counts, what another
// repeats does not.
func TestAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		// steps are "after what time:replica=text", or "replica!" if it is silent.
		steps, want string
	}{
		"nothing":                       {"", ""},
		"one replica":                   {"0s:a=x", "x"},
		"news":                          {"0s:a=x 2s:a=y", "y"},
		"old":                           {"0s:a=x 30s:", ""},
		"repeated":                      {"0s:a=x 20s:a=x 40s:", "x"},
		"silent for a while":            {"0s:a=x 20s:a! 29s:", "x"},
		"silent for long":               {"0s:a=x 20s:a! 30s:", ""},
		"news of another":               {"0s:a=x 0s:b=y", "y"},
		"another repeats":               {"0s:a=x 0s:b=y 2s:a=x 2s:b=y", "y"},
		"another has news":              {"0s:a=x 0s:b=y 2s:a=z 2s:b=y", "z"},
		"another repeats for long":      {"0s:a=x 0s:b=y 2s:a=x 32s:a=x", "x"},
		"the last word is withdrawn":    {"0s:a=x 0s:b=y 2s:b! 2s:a=x", "x"},
		"the same words of two":         {"0s:a=x 0s:b=x 20s:b=x 20s:a! 40s:", "x"},
		"back after silence, unchanged": {"0s:a=x 0s:b=y 2s:a! 4s:a=x", "x"},
	} {
		var a answer
		start := time.Unix(1000, 0)
		var now time.Time
		text := ""
		for step := range strings.FieldsSeq(test.steps) {
			after, what, _ := strings.Cut(step, ":")
			d, err := time.ParseDuration(after)
			if err != nil {
				t.Fatal(err)
			}
			now = start.Add(d)
			if from, ok := strings.CutSuffix(what, "!"); ok {
				a.silent(from)
			} else if from, says, ok := strings.Cut(what, "="); ok {
				before := a.text
				if changed := a.hear(from, says, now); changed != (a.text != before) {
					t.Errorf("%s: %s: changed %v, from %q to %q", name, step, changed, before, a.text)
				}
			}
			text = a.at(now)
		}
		if text != test.want {
			t.Errorf("%s: %q, want %q", name, text, test.want)
		}
	}
}
