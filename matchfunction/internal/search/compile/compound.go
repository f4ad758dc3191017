package compile

import (
	"math"

	"torikumi/pkg/ruleset"
)

type compound struct{ unaided }

func (compound) compile(c *checks, k *check) (err error) {
	k.broken, k.slow, err = c.statement(k.rule.Statement)
	return err
}

// statement compiles a compound rule. A part that may be broken costs 1.
func (c *checks) statement(s *ruleset.Statement) (broken func(*Match) float64, slow bool, err error) {
	if s.Connective == "" {
		k, err := c.compile(&c.definition.Rules[s.Rule])
		if err != nil || k == nil || k.rule.Optional {
			return func(*Match) float64 { return 0 }, false, err
		}
		return k.broken, k.slow, nil
	}
	branches := make([]func(*Match) float64, len(s.Parts))
	for i, p := range s.Parts {
		branch, branchSlow, err := c.statement(p)
		if err != nil {
			return nil, false, err
		}
		branches[i], slow = branch, slow || branchSlow
	}
	switch s.Connective {
	case ruleset.And:
		broken = func(m *Match) float64 {
			sum := 0.0
			for _, p := range branches {
				sum += p(m)
			}
			return sum
		}
	case ruleset.Or:
		broken = func(m *Match) float64 {
			least := math.Inf(1)
			for _, p := range branches {
				least = min(least, p(m))
			}
			return least
		}
	case ruleset.Not:
		broken = func(m *Match) float64 { return one(branches[0](m) == 0) }
	default:
		broken = func(m *Match) float64 {
			n := 0
			for _, p := range branches {
				if p(m) == 0 {
					n++
				}
			}
			return math.Abs(float64(n - 1))
		}
	}
	return broken, slow, nil
}
