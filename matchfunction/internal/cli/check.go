package cli

import (
	"time"

	"torikumi/matchfunction/internal/check"
	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/internal/simulate"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// newChecker makes what judges the matches that the simulator finds.
func newChecker(rs *ruleset.RuleSet, o search.Options) (simulate.Checker, error) {
	var expression func(int, *ruleset.Rule) (func(*rule.Match) (bool, error), error)
	if o.Expression != nil {
		expression = func(stage int, r *ruleset.Rule) (func(*rule.Match) (bool, error), error) {
			return o.Expression(stage, &rs.Stages[stage].Definition, r)
		}
	}
	custom, err := named(rs, o)
	if err != nil {
		return nil, err
	}
	c, err := check.New(rs, custom, expression)
	if err != nil {
		return nil, err
	}
	return func(matches []*rule.Match, now time.Time) []string {
		var out []string
		for _, v := range c.Proposals(matches, now) {
			out = append(out, v.String())
		}
		return out
	}, nil
}

// named are the custom rules that a rule set names, those of modules too.
func named(rs *ruleset.RuleSet, o search.Options) (rule.Registry, error) {
	custom := make(rule.Registry)
	for i := range rs.Stages {
		for _, r := range rs.Stages[i].Rules {
			if r.Kind != ruleset.Custom {
				continue
			}
			factory, err := o.Factory(r.CustomRule)
			if err != nil {
				return nil, err
			}
			custom[r.CustomRule] = factory
		}
	}
	return custom, nil
}
