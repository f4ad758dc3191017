package cli

import (
	"fmt"
	"slices"

	"torikumi/pkg/ruleset"
)

// judgeOneOf finds = with several constants: each value has to equal each of them,
// which is not what who writes a list of them means.
func judgeOneOf(d *ruleset.Definition, r *ruleset.Rule) verdict {
	numbers, words := r.Reference.Constants()
	if r.Operation != ruleset.Equal || !slices.ContainsFunc(r.Measurements, func(e ruleset.Expr) bool { return yields(d, &e) }) {
		return verdict{}
	}
	first, other := different(numbers, "%g")
	if other == "" {
		first, other = different(words, "%q")
	}
	if other == "" {
		return verdict{}
	}
	return verdict{true, false, fmt.Sprintf("with =, each value has to equal both %s and %s; "+
		`for one of them, write a rule for each and a compound rule with or, or an expression with "in"`, first, other)}
}

// different returns the first constant and one that differs from it, if there is.
func different[T comparable](all []T, format string) (first, other string) {
	for _, x := range all {
		if x != all[0] {
			return fmt.Sprintf(format, all[0]), fmt.Sprintf(format, x)
		}
	}
	return "", ""
}

// yields reports whether an expression has a value in every match. What has none
// demands nothing.
func yields(d *ruleset.Definition, e *ruleset.Expr) bool {
	switch {
	case e.Literal != nil:
		return true
	case e.Path != nil:
		return inhabited(d, e.Path.Slots)
	case e.Call.Function == ruleset.FnSetIntersection:
		return false // they may have nothing in common
	case e.Call.Function == ruleset.FnCount || e.Call.Function == ruleset.FnSum:
		return e.Type.Lists == 0 || yields(d, e.Call.Argument) // 0 of none
	}
	return yields(d, e.Call.Argument)
}

// inhabited reports whether there is a player in one of these teams, in every match.
func inhabited(d *ruleset.Definition, teams []int) bool {
	slots := d.TeamSlots()
	return len(teams) == len(slots) || slices.ContainsFunc(teams, func(i int) bool { return fewest(slots[i]) > 0 })
}
