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
	c, err := check.New(rs, o.Custom, expression)
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
