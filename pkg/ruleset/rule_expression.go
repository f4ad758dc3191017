package ruleset

import (
	"strings"
	"unicode/utf8"
)

// maxExpression bounds the CEL source of an expression rule, in characters.
const maxExpression = 4096

var expressionKind = kindInfo{
	kind: Expression, reader: expressionReader{},
	properties: []string{"expression"},
	large:      true, nameable: true,
}

type expressionReader struct{ noWants }

func (expressionReader) read(d *decoder, n *node, r *Rule) {
	v := d.need(n, "expression")
	s, ok := d.text(v)
	switch {
	case !ok:
	case strings.TrimSpace(s) == "":
		d.fail(v, "must not be empty")
	case utf8.RuneCountInString(s) > maxExpression:
		d.fail(v, "has %d characters, may have at most %d", utf8.RuneCountInString(s), maxExpression)
	default:
		r.Expression = s
		d.checkExpression(v, r)
	}
}
