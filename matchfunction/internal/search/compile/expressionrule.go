package compile

import "fmt"

type expressionRule struct{ unaided }

func (expressionRule) compile(c *checks, k *check) error {
	r := k.rule
	if c.options.Expression == nil {
		return fmt.Errorf("expressions are not supported here")
	}
	holds, err := c.options.Expression(c.stage, c.definition, r)
	if err != nil {
		return err
	}
	failed := c.failed(r)
	k.slow = true
	k.broken = func(m *Match) float64 {
		ok, err := holds(m.ruleMatch())
		if err != nil {
			failed(err)
		}
		return one(err != nil || !ok)
	}
	return nil
}
