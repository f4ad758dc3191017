package check

import (
	"cmp"
	"fmt"

	"torikumi/pkg/ruleset"
)

// comparison: each scalar anywhere in each measurement compares to each scalar
// anywhere in the reference.
func (j *judge) comparison(r *ruleset.Rule) string {
	for i := range r.Measurements {
		for _, measured := range scalars(j.eval(&r.Measurements[i], r.PartyAggregation)) {
			for _, reference := range scalars(j.eval(r.Reference, r.PartyAggregation)) {
				if !compares(measured, r.Operation, reference) {
					return fmt.Sprintf("%v %s %v is false", measured, r.Operation, reference)
				}
			}
		}
	}
	return ""
}

func compares(a any, op ruleset.Operation, b any) bool {
	if x, ok := a.(float64); ok {
		return ordered(x, op, b.(float64))
	}
	return ordered(a.(string), op, b.(string))
}

func ordered[T cmp.Ordered](a T, op ruleset.Operation, b T) bool {
	switch op {
	case ruleset.Equal:
		return a == b
	case ruleset.NotEqual:
		return a != b
	case ruleset.Less:
		return a < b
	case ruleset.LessOrEqual:
		return a <= b
	case ruleset.Greater:
		return a > b
	case ruleset.GreaterOrEqual:
		return a >= b
	}
	panic(fmt.Sprintf("check: %q is no comparison", op))
}

// amongEachOther is a comparison without reference: in each innermost list of
// each measurement all values are equal, or no two are.
func (j *judge) amongEachOther(r *ruleset.Rule) string {
	for i := range r.Measurements {
		for _, values := range innermost(j.eval(&r.Measurements[i], r.PartyAggregation)) {
			for a := range values {
				for b := range a {
					if !compares(values[b], r.Operation, values[a]) {
						return fmt.Sprintf("%v %s %v is false", values[b], r.Operation, values[a])
					}
				}
			}
		}
	}
	return ""
}

// innermost lists the lists of scalars anywhere in a value.
func innermost(v any) [][]any {
	elements, ok := v.([]any)
	if !ok {
		return nil
	}
	var out [][]any
	var here []any
	for _, e := range elements {
		if _, ok := e.([]any); ok {
			out = append(out, innermost(e)...)
		} else {
			here = append(here, e)
		}
	}
	if here != nil {
		out = append(out, here)
	}
	return out
}
