package check

import (
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Eval is the value of an expression in a match.
func Eval(d *ruleset.Definition, m *rule.Match, e ruleset.Expr, agg ruleset.Aggregation) any {
	return (&judge{def: d, match: m}).eval(&e, agg)
}

// Assignable reports whether each player can be given a role.
func Assignable(players [][]string, roles []ruleset.Role) bool { return assignable(players, roles) }
