// Package statediagram compares a state machine with its picture in the docs. The
// picture is a Mermaid stateDiagram-v2 under a heading of a Markdown file. It is for
// tests.
package statediagram

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Terminal is the state that a diagram's first arrows come from and its last ones
// lead to.
const Terminal = "[*]"

// Transition is one arrow of a diagram. Label may be empty.
type Transition struct {
	From, To, Label string
}

func (t Transition) String() string {
	if t.Label == "" {
		return t.From + " --> " + t.To
	}
	return t.From + " --> " + t.To + " : " + t.Label
}

var (
	arrow = regexp.MustCompile(`^(\[\*\]|\w+)\s*-->\s*(\[\*\]|\w+)(?:\s*:\s*(.+))?$`)
	// Lines that draw no arrow.
	comment     = regexp.MustCompile(`^(%%.*|direction \w+|\w+\s*:.*|state\s+"[^"]*"\s+as\s+\w+|note \w+ of \w+\s*:.*)?$`)
	openingNote = regexp.MustCompile(`^note \w+ of \w+$`)
)

// Parse returns the arrows of the first state diagram under a heading, in order. The
// heading is given without its #; its section ends with the next heading. States are
// words. Composite states, forks and choices are errors.
func Parse(markdown, heading string) ([]Transition, error) {
	lines := strings.Split(markdown, "\n")
	start := slices.IndexFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "#") && strings.TrimSpace(strings.TrimLeft(l, "#")) == heading
	})
	if start < 0 {
		return nil, fmt.Errorf("no heading %q", heading)
	}
	var transitions []Transition
	const outside, header, inside, note = 0, 1, 2, 3
	at := outside
	for i, line := range lines[start+1:] {
		line = strings.TrimSpace(line)
		m := arrow.FindStringSubmatch(line)
		switch {
		case at == outside && strings.HasPrefix(line, "#"):
			return nil, fmt.Errorf("no Mermaid block under %q", heading)
		case at == outside && line == "```mermaid":
			at = header
		case at == outside:
		case line == "```":
			return transitions, nil
		case at == header:
			if line != "stateDiagram-v2" {
				return nil, fmt.Errorf("line %d: %q: must be stateDiagram-v2", start+i+2, line)
			}
			at = inside
		case at == note && line == "end note":
			at = inside
		case at == note, comment.MatchString(line):
		case openingNote.MatchString(line):
			at = note
		case m != nil:
			transitions = append(transitions, Transition{From: m[1], To: m[2], Label: strings.TrimSpace(m[3])})
		default:
			return nil, fmt.Errorf("line %d: %q: is not understood", start+i+2, line)
		}
	}
	return nil, fmt.Errorf("no complete Mermaid block under %q", heading)
}

// Check fails the test for each transition that only the code has, and for each that
// only the diagram in the Markdown file has. Labels count if any of transitions has
// one; otherwise they are for the reader alone. Order and repetition don't count.
func Check(t testing.TB, docPath, heading string, transitions []Transition) {
	t.Helper()
	markdown, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	drawn, err := Parse(string(markdown), heading)
	if err != nil {
		t.Fatalf("%s: %v", docPath, err)
	}
	if !slices.ContainsFunc(transitions, func(tr Transition) bool { return tr.Label != "" }) {
		for i := range drawn {
			drawn[i].Label = ""
		}
	}
	for _, tr := range without(transitions, drawn) {
		t.Errorf("%s: %q does not draw: %v", docPath, heading, tr)
	}
	for _, tr := range without(drawn, transitions) {
		t.Errorf("%s: %q draws, and the code never does: %v", docPath, heading, tr)
	}
}

// without returns the transitions of a that b lacks, each once.
func without(a, b []Transition) []Transition {
	var missing []Transition
	for _, tr := range a {
		if !slices.Contains(b, tr) && !slices.Contains(missing, tr) {
			missing = append(missing, tr)
		}
	}
	return missing
}
