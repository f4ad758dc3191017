package check

import (
	"fmt"
	"slices"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// eval is the value of an expression in the match.
func (j *judge) eval(e *ruleset.Expr, agg ruleset.Aggregation) any {
	switch {
	case e.Literal != nil:
		return literal(e.Literal)
	case e.Path != nil:
		return j.path(e.Path, agg)
	default:
		return apply(e.Call.Function, j.eval(e.Call.Argument, agg), j.depth(e.Call.Argument))
	}
}

func literal(l *ruleset.Literal) any {
	switch {
	case l.Number != nil:
		return *l.Number
	case l.String != nil:
		return *l.String
	case l.Numbers != nil:
		return list(l.Numbers)
	default:
		return list(l.Strings)
	}
}

// path is a list of a value per player, or a list of such lists, one per team.
func (j *judge) path(p *ruleset.Path, agg ruleset.Aggregation) any {
	teams := []any{}
	for _, slot := range p.Slots {
		players := []any{}
		for _, member := range j.match.Teams[slot].Members {
			if v := j.property(p, member, agg); v != nil {
				players = append(players, v)
			}
		}
		teams = append(teams, players)
	}
	if p.List {
		return teams
	}
	return teams[0]
}

// property is what a path reads of a member. A player as such is only counted:
// its id does for that.
func (j *judge) property(p *ruleset.Path, member rule.Member, agg ruleset.Aggregation) any {
	if p.Property == ruleset.PlayerAttribute {
		return j.counted(member, p.Attribute, agg)
	}
	return member.Player.ID
}

// depth is the number of lists around the scalars of an expression's value,
// which can't be told of a value that has no scalars.
func (j *judge) depth(e *ruleset.Expr) int {
	switch {
	case e.Literal != nil:
		if e.Literal.Number != nil || e.Literal.String != nil {
			return 0
		}
		return 1
	case e.Path != nil:
		depth := 1
		if e.Path.List {
			depth++
		}
		if a, ok := j.def.Attribute(e.Path.Attribute); ok && e.Path.Property == ruleset.PlayerAttribute && a.Type == ruleset.StringList {
			depth++
		}
		return depth
	default:
		return j.depth(e.Call.Argument) - 1 // each function takes one level away
	}
}

// apply calls a function with a value of a depth: once, or for each element of
// a list of what the function takes.
func apply(f ruleset.Function, argument any, depth int) any {
	if argument == nil {
		return nil
	}
	elements := argument.([]any)
	takes := 1
	if f == ruleset.FnSetIntersection {
		takes = 2
	}
	if depth > takes && f != ruleset.FnFlatten {
		results := []any{}
		for _, e := range elements {
			if v := apply(f, e, depth-1); v != nil {
				results = append(results, v)
			}
		}
		return results
	}
	return function(f, elements)
}

// function is the result of a function, or nil where a list without elements
// has none.
func function(f ruleset.Function, elements []any) any {
	switch f {
	case ruleset.FnFlatten:
		flat := []any{}
		for _, e := range elements {
			flat = append(flat, e.([]any)...)
		}
		return flat
	case ruleset.FnSetIntersection:
		var lists [][]string
		for _, e := range elements {
			lists = append(lists, only[string](e))
		}
		return list(common(lists))
	case ruleset.FnCount:
		return float64(len(elements))
	case ruleset.FnSum:
		return sum(only[float64](elements))
	}
	if len(elements) == 0 {
		return nil
	}
	numbers := only[float64](elements)
	switch f {
	case ruleset.FnMin:
		return slices.Min(numbers)
	case ruleset.FnMax:
		return slices.Max(numbers)
	case ruleset.FnAvg:
		return mean(numbers)
	case ruleset.FnMedian:
		return median(numbers)
	case ruleset.FnStddev:
		return stddev(numbers)
	}
	panic(fmt.Sprintf("check: unknown function %q", f))
}
