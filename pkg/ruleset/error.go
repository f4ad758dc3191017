package ruleset

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one thing that is wrong with a rule set.
type Error struct {
	// Line and Column are where it stands, both from 1. Columns count
	// characters, not bytes.
	Line   int
	Column int
	// Path is the JSON path, such as "rules[2].maxDistance"; empty for the
	// whole text.
	Path string
	// Rule is the name of the rule that it is in, or empty.
	Rule    string
	Message string
}

// Error says where it is and what is wrong.
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "line %d, column %d: ", e.Line, e.Column)
	if e.Path != "" {
		b.WriteString(e.Path)
		if e.Rule != "" {
			fmt.Fprintf(&b, " (rule %q)", shorten(e.Rule))
		}
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Errors is all that is wrong with a rule set, in the order of the text. What
// is no JSON has a single one.
type Errors []Error

// Error has a line for each.
func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes errors.As find an Error.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// problems collects errors. Stages share most of their text, so each error is
// kept once.
type problems struct {
	list Errors
	seen map[Error]bool
}

// add keeps an error that is not there yet, with a note after its message that
// does not make it another one.
func (p *problems) add(e Error, note string) {
	if p.seen == nil {
		p.seen = map[Error]bool{}
	}
	if p.seen[e] {
		return
	}
	p.seen[e] = true
	e.Message += note
	p.list = append(p.list, e)
}

// err returns what was collected, sorted, or nil.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortFunc(p.list, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return p.list
}
