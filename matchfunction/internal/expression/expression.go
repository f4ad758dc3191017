// Package expression evaluates rules of type "expression", which
// torikumi/pkg/expression describes and compiles. On the player's path it
// stands in the match function's search, behind all other rules: an expression
// is looked at only where they are kept.
package expression

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/common/types"

	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// Compile readies the expression of a rule, as search.Options.Expression wants
// it; the stage does not matter. The error tells line and column of each
// mistake. What it returns is safe for concurrent use, and says whether the
// match may stand: false with each error.
func Compile(_ int, d *ruleset.Definition, r *ruleset.Rule) (func(*rule.Match) (bool, error), error) {
	s, err := newSchema(d)
	if err != nil {
		return nil, fmt.Errorf("expression: %w", err)
	}
	program, mistakes := s.Compile(r.Expression)
	if len(mistakes) > 0 {
		errs := make([]error, len(mistakes))
		for i, m := range mistakes {
			if errs[i] = fmt.Errorf("expression: %s", m.Message); m.Line > 0 {
				errs[i] = fmt.Errorf("expression:%d:%d: %s", m.Line, m.Column, m.Message)
			}
		}
		return nil, errors.Join(errs...)
	}
	return func(m *rule.Match) (bool, error) {
		v, err := newView(s, m)
		if err != nil {
			return false, fmt.Errorf("expression: %w", err)
		}
		out, _, err := program.Eval(v)
		if err != nil {
			return false, fmt.Errorf("expression: %w", err)
		}
		return out == types.True, nil
	}, nil
}
