// Package statediagram compares a state machine with its picture in the docs. The
// picture is a Mermaid stateDiagram-v2 under a heading of a Markdown file. It is for
// tests. Go's cache of test results does not see files outside the module: after an edit
// of the page, run the test with -count=1.
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
	arrow     = regexp.MustCompile(`^(\[\*\]|\w+)\s*-->\s*(\[\*\]|\w+)(?:\s*:\s*(.+))?$`)
	composite = regexp.MustCompile(`^state\s+(?:"[^"]*"\s+as\s+)?(\w+)\s*{$`)
	member    = regexp.MustCompile(`^(\w+)(?:\s*:.*)?$`)
	// Lines that draw no arrow.
	comment     = regexp.MustCompile(`^(%%.*|direction \w+|state\s+"[^"]*"\s+as\s+\w+|note \w+ of \w+\s*:.*)?$`)
	openingNote = regexp.MustCompile(`^note \w+ of \w+$`)
)

// Parse returns the arrows of the first state diagram under a heading, in order. The
// heading is given without its #; its section ends with the next heading. States are
// words. An arrow from a composite state stands for one from each state in it. What
// else Mermaid has (forks, choices, arrows to composite states) is an error.
func Parse(markdown, heading string) ([]Transition, error) {
	lines := strings.Split(markdown, "\n")
	start := slices.IndexFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "#") && strings.TrimSpace(strings.TrimLeft(l, "#")) == heading
	})
	if start < 0 {
		return nil, fmt.Errorf("no heading %q", heading)
	}
	for i := start + 1; i < len(lines) && !strings.HasPrefix(lines[i], "#"); i++ {
		if strings.TrimSpace(lines[i]) != "```mermaid" {
			continue
		}
		block := lines[i+1:]
		end := slices.Index(block, "```")
		if end < 1 || strings.TrimSpace(block[0]) != "stateDiagram-v2" {
			return nil, fmt.Errorf("line %d: the first diagram under %q must be a complete stateDiagram-v2", i+1, heading)
		}
		d := diagram{members: make(map[string][]string)}
		for j, line := range block[1:end] {
			if !d.read(strings.TrimSpace(line)) {
				return nil, fmt.Errorf("line %d: %q is not understood", i+j+3, line)
			}
		}
		return d.flat()
	}
	return nil, fmt.Errorf("no Mermaid block under %q", heading)
}

// diagram is what has been read so far.
type diagram struct {
	arrows  []Transition
	members map[string][]string // by composite state
	open    []string            // composite states around the line
	note    bool
}

// read takes one line and reports whether it understood it.
func (d *diagram) read(line string) bool {
	switch m := arrow.FindStringSubmatch(line); {
	case d.note:
		d.note = line != "end note"
	case comment.MatchString(line):
	case openingNote.MatchString(line):
		d.note = true
	case m != nil:
		d.arrows = append(d.arrows, Transition{From: m[1], To: m[2], Label: strings.TrimSpace(m[3])})
		d.mention(m[1], m[2])
	case composite.MatchString(line):
		name := composite.FindStringSubmatch(line)[1]
		d.mention(name)
		d.open = append(d.open, name)
		d.members[name] = nil
	case line == "}" && len(d.open) > 0:
		d.open = d.open[:len(d.open)-1]
	case member.MatchString(line):
		d.mention(member.FindStringSubmatch(line)[1])
	default:
		return false
	}
	return true
}

// mention puts states into the composite state around them.
func (d *diagram) mention(states ...string) {
	if len(d.open) > 0 {
		in := d.open[len(d.open)-1]
		d.members[in] = append(d.members[in], states...)
	}
}

// flat returns the arrows without composite states.
func (d *diagram) flat() ([]Transition, error) {
	var all []Transition
	for queue := d.arrows; len(queue) > 0; queue = queue[1:] {
		tr := queue[0]
		if _, ok := d.members[tr.To]; ok {
			return nil, fmt.Errorf("%v: an arrow to a composite state is not understood", tr)
		}
		members, ok := d.members[tr.From]
		if !ok {
			all = append(all, tr)
			continue
		}
		var from []Transition
		for _, name := range members {
			from = append(from, Transition{name, tr.To, tr.Label})
		}
		queue = slices.Insert(slices.Clone(queue), 1, from...)
	}
	return all, nil
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
