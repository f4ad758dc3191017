package ruleset

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Checks say what is wrong with rules that are written in languages of their
// own. One that is nil finds nothing wrong. Each has to say the same of the
// same, and may be asked about definitions that have other mistakes: an
// attribute whose type is wrong has none.
type Checks struct {
	// Expression looks at a rule of type expression; attributes, teams and the
	// algorithm are those of its stage.
	Expression func(*Definition, *Rule) []Mistake
	// Custom looks at a rule of type custom, and names the property that is
	// wrong, or "".
	Custom func(*Rule) (property, message string)
}

// Mistake is something wrong in an expression.
type Mistake struct {
	// Line and Column count from 1, in characters; both are 0 for the
	// expression as a whole.
	Line, Column int
	Message      string
}

// checked are checks that look at each thing once: stages share most of it.
type checked struct {
	Checks
	seen map[string]bool
}

func (c *checked) first(of ...any) bool {
	key := fmt.Sprintf("%q", of)
	defer func() { c.seen[key] = true }()
	return !c.seen[key]
}

// checkExpression reports each mistake at its place in the text.
func (d *decoder) checkExpression(v *node, r *Rule) {
	// With too many players nothing is cheap enough, which is another mistake.
	if d.checks.Expression == nil || d.players > MaxPlayers || !d.checks.first(v.path, r.Expression, d.slots) {
		return
	}
	for _, m := range d.checks.Expression(d.def, r) {
		at := v.at
		if m.Line > 0 {
			at = v.inside(offset(r.Expression, m.Line, m.Column))
		}
		d.failAt(at, v.path, "%s", m.Message)
	}
}

// offset is how many characters stand before a place in a text.
func offset(text string, line, column int) int {
	n := column - 1
	for before := range strings.SplitAfterSeq(text, "\n") {
		if line--; line == 0 {
			break
		}
		n += utf8.RuneCountInString(before)
	}
	return n
}

func (d *decoder) checkCustom(n *node, r *Rule) {
	if d.checks.Custom == nil || r.CustomRule == "" || !d.checks.first(n.path, r.CustomRule, string(r.Parameters)) {
		return
	}
	property, message := d.checks.Custom(r)
	switch at := n.get(property); {
	case message == "":
	case at != nil:
		d.fail(at, "%s", message)
	default:
		d.fail(n, "%s", strings.TrimPrefix(property+": "+message, ": "))
	}
}
