package ruleset

import "slices"

var comparisonKind = kindInfo{
	kind: Comparison, reader: comparison{},
	properties: []string{"measurements", "referenceValue", "operation", "partyAggregation"},
	nameable:   true,
}

type comparison struct{}

// read: with a reference, or among the values measured.
func (comparison) read(d *decoder, n *node, r *Rule) {
	d.aggregation(n, r)
	var want AttributeType
	r.Measurements, want = d.measurements(n, "")
	r.Operation = choice(d, d.need(n, "operation"), Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual)
	reference := n.get("referenceValue")
	if reference != nil {
		r.Reference = d.reference(reference, want)
	}
	ordered := r.Operation != "" && r.Operation != Equal && r.Operation != NotEqual
	switch {
	case ordered && reference == nil:
		d.fail(n.get("operation"), "%s needs a referenceValue; without one, values are compared with each other by = or !=", r.Operation)
	case ordered && want == String:
		d.fail(n.get("operation"), "%s compares numbers, not strings", r.Operation)
	}
	for i, e := range r.Measurements {
		at := measurement(n, i)
		if reference == nil && e.Type.Lists == 0 {
			d.fail(at, "is a %s: without a referenceValue a list is needed, whose values are compared with each other", e.Type.name())
		}
		if d.ofCollections(&e) {
			d.fail(at, "is a %s out of a string_list attribute; use a collection rule", e.Type.name())
		}
	}
}

// ofCollections reports whether an expression yields players' string lists.
func (d *decoder) ofCollections(e *Expr) bool {
	for e.Call != nil {
		if e.Call.Function != FnFlatten && e.Call.Function != FnSetIntersection {
			return false
		}
		e = e.Call.Argument
	}
	if e.Path == nil || e.Path.Property != PlayerAttribute {
		return false
	}
	a, _ := d.def.Attribute(e.Path.Attribute)
	return a.Type == StringList
}

func (comparison) want(ws *Wants, r *Rule) {
	numbers, words := r.Reference.Constants()
	for _, m := range ws.measured(r) {
		switch {
		case len(numbers)+len(words) > 0:
			if x := r.Reference.Literal.Number; x != nil && (r.Operation == Equal || r.Operation == NotEqual) && !slices.Contains(m.Exact, *x) {
				m.Exact = append(m.Exact, *x)
			}
			for _, team := range m.teams {
				team.compared(r.Operation, numbers, words)
			}
		case r.Operation == NotEqual:
			m.Distinct = m.Distinct || r.Reference == nil
		case len(m.teams) > 0:
			m.Near = 0
		}
	}
}

func (t *TeamWant) compared(op Operation, numbers []float64, words []string) {
	if op == Equal {
		t.Words = append(t.Words, words...)
	} else {
		t.Not = append(t.Not, words...)
	}
	for _, v := range numbers {
		switch op {
		case Equal:
			t.Low, t.High = v, v
		case NotEqual:
			t.Avoid = append(t.Avoid, v)
		case Less:
			t.High = min(t.High, v-1)
		case LessOrEqual:
			t.High = min(t.High, v)
		case Greater:
			t.Low = max(t.Low, v+1)
		case GreaterOrEqual:
			t.Low = max(t.Low, v)
		}
	}
}
