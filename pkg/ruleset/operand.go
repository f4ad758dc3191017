package ruleset

import "regexp"

// expressionText tells a property expression from a string: it calls a
// function of the language, or has "teams[" or "team[" in it. A string that
// looks like that can be written in a list.
var expressionText = regexp.MustCompile(
	`(^\s*(min|max|avg|median|sum|count|stddev|flatten|set_intersection)\s*\()|(\bteams?\s*\[)`)

// measurements reads one expression or a list of them, all of the same scalar,
// and returns which: the wanted one, if there is.
func (d *decoder) measurements(n *node, want AttributeType) ([]Expr, AttributeType) {
	list := d.need(n, "measurements")
	if list == nil {
		return nil, want
	}
	items := []*node{list}
	if list.kind != isString {
		items = d.some(list, "expression")
	}
	out := make([]Expr, 0, len(items))
	for _, item := range items {
		if _, ok := d.text(item); !ok {
			continue
		}
		e := d.parseExpr(item)
		if e == nil {
			continue
		}
		if want != "" && e.Type.Scalar != want {
			d.fail(item, "is a %s, must be made of %ss", e.Type.name(), want)
			continue
		}
		want = e.Type.Scalar
		out = append(out, *e)
	}
	if len(out) < len(items) {
		return nil, want // so that positions stay those of the text
	}
	return out, want
}

// reference reads a referenceValue: a number, a string, a list of either or an
// expression. A number written as a string is one where numbers are wanted.
func (d *decoder) reference(n *node, want AttributeType) *Expr {
	switch {
	case n.kind == isString && expressionText.MatchString(n.text):
		e := d.parseExpr(n)
		if e != nil && want != "" && e.Type.Scalar != want {
			d.fail(n, "is a %s, must be made of %ss like what is measured", e.Type.name(), want)
			return nil
		}
		return e
	case n.kind == isArray:
		return d.referenceList(n, want)
	}
	l, scalar := d.literal(n, want)
	if l == nil {
		return nil
	}
	return &Expr{Literal: l, Source: n.text, Type: ExprType{Scalar: scalar}}
}

func (d *decoder) literal(n *node, want AttributeType) (*Literal, AttributeType) {
	if want == Number || (want == "" && n.kind == isNumber) {
		f, ok := d.number(n)
		if !ok {
			return nil, ""
		}
		return &Literal{Number: &f}, Number
	}
	s, ok := d.text(n)
	if !ok {
		return nil, ""
	}
	return &Literal{String: &s}, String
}

func (d *decoder) referenceList(n *node, want AttributeType) *Expr {
	if len(n.items) == 0 {
		d.fail(n, "must have at least one value")
		return nil
	}
	l := &Literal{}
	for _, item := range n.items {
		one, scalar := d.literal(item, want)
		if one == nil {
			return nil
		}
		want = scalar
		if scalar == Number {
			l.Numbers = append(l.Numbers, *one.Number)
		} else {
			l.Strings = append(l.Strings, *one.String)
		}
	}
	return &Expr{Literal: l, Source: string(n.json()), Type: ExprType{Scalar: want, Lists: 1}}
}
