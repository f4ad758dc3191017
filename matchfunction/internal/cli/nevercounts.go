package cli

import (
	"fmt"
	"math"
	"slices"

	"torikumi/matchfunction/internal/explain"
	"torikumi/pkg/ruleset"
)

// judgeCollection compares minCount with how much there can be to count.
func judgeCollection(d *ruleset.Definition, r *ruleset.Rule) verdict {
	if r.MinCount == nil || *r.MinCount == 0 {
		if r.MaxCount == nil {
			return verdict{true, true, "minCount is 0 and there is no maxCount"}
		}
		return verdict{}
	}
	for i := range r.Measurements {
		e := &r.Measurements[i]
		if r.Operation == ruleset.ReferenceIntersectionCount && !holdsList(d, e, 1) {
			continue // each collection has a count, and there may be none
		}
		if most, what := mostCounted(d, r, e); most < *r.MinCount {
			return verdict{true, false, fmt.Sprintf("%s, minCount is %d", what, *r.MinCount)}
		}
	}
	return verdict{}
}

// mostCounted is the most that a collection rule can count in a measurement, and why; of
// lists of lists of collections, each of which counts for itself, in the one that has
// least to count. It is math.MaxInt where no limit is known.
func mostCounted(d *ruleset.Definition, r *ruleset.Rule, e *ruleset.Expr) (most int, why string) {
	of := func(n int, what string) (int, string) {
		return n, fmt.Sprintf("there are at most %s to count", explain.Count(n, what, what+"s"))
	}
	intersection := e.Call != nil && e.Call.Function == ruleset.FnSetIntersection
	switch {
	case r.Operation == ruleset.ReferenceIntersectionCount, r.Operation == ruleset.Contains && e.Type.Lists == 1 && intersection:
		// Different values that are in the reference.
		n := differentWords(r)
		return n, fmt.Sprintf("referenceValue has %s", explain.Count(n, "different value", "different values"))
	case r.Operation != ruleset.Contains:
		return math.MaxInt, ""
	case e.Type.Lists > 2: // the players of each team
		slots, n := d.TeamSlots(), math.MaxInt
		for _, i := range e.Path.Slots {
			n = min(n, slots[i].Max)
		}
		return of(n, "player")
	}
	if intersection { // it leaves the outer list as long as it is
		e = e.Call.Argument
	}
	if e.Path != nil && e.Path.List {
		return of(len(e.Path.Slots), "team")
	}
	flat := e.Call != nil
	if flat {
		e = e.Call.Argument
	}
	if e.Path == nil || flat && !e.Path.List {
		return math.MaxInt, "" // what players have in their lists
	}
	slots, n := d.TeamSlots(), 0
	for _, i := range e.Path.Slots {
		n += slots[i].Max
	}
	return of(n, "player")
}

// differentWords is how many different values a reference has, math.MaxInt if that
// depends on the match.
func differentWords(r *ruleset.Rule) int {
	_, words := r.Reference.Constants()
	if len(words) == 0 {
		return math.MaxInt
	}
	return len(slices.Compact(slices.Sorted(slices.Values(words))))
}

// holdsList reports whether there is, in every match, a list with so many levels of lists
// in what an expression yields: 1 is a list of strings. A team without players is a list
// too, and what set_intersection makes of it.
func holdsList(d *ruleset.Definition, e *ruleset.Expr, levels int) bool {
	switch {
	case e.Type.Lists == levels:
		return true // the value itself
	case e.Path != nil:
		a, _ := d.Attribute(e.Path.Attribute)
		ofPlayers := levels == 1 && e.Path.Property == ruleset.PlayerAttribute && a.Type == ruleset.StringList
		return !ofPlayers || inhabited(d, e.Path.Slots)
	case e.Call.Function == ruleset.FnSetIntersection:
		return holdsList(d, e.Call.Argument, levels+1)
	}
	return holdsList(d, e.Call.Argument, levels)
}
