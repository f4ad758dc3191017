package compile

import "torikumi/pkg/ruleset"

// kind is what the search knows of a type of rules.
type kind interface {
	// compile fills in what there is to look at; broken stays nil if the rule demands
	// nothing.
	compile(c *checks, k *check) error
	// help takes from a rule what helps the search. It reports whether that is all that
	// the rule says.
	help(p *Plan, c *checks, r *ruleset.Rule) (exact bool, err error)
}

// unaided is for types whose rules do not help the search.
type unaided struct{}

func (unaided) help(*Plan, *checks, *ruleset.Rule) (bool, error) { return false, nil }

// kinds are all types.
var kinds = map[ruleset.Kind]kind{
	ruleset.Comparison: comparison{}, ruleset.Distance: distance{}, ruleset.BatchDistance: batchDistance{}, ruleset.Collection: collection{},
	ruleset.Latency: latency{}, ruleset.DistanceSort: sorts{}, ruleset.AbsoluteSort: sorts{}, ruleset.Compound: compound{},
	ruleset.Expression: expressionRule{}, ruleset.Custom: custom{}, ruleset.TeamDifference: teamDifference{},
	ruleset.TeamSizeBalance: teamSizeBalance{}, ruleset.PartySizes: partySizes{}, ruleset.RoleQuota: roleQuota{},
}
