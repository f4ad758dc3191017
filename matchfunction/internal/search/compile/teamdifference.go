package compile

import (
	"math"

	"torikumi/pkg/ruleset"
)

type teamDifference struct{ unaided }

func (teamDifference) compile(c *checks, k *check) error {
	_, column, err := c.own(k.rule.Attribute)
	if err != nil {
		return err
	}
	k.reads = []string{k.rule.Attribute}
	k.atMost(func(m *Match) float64 { return m.teamDifference(column, k.rule.TeamAggregate) })
	return nil
}

func (m *Match) teamDifference(column int, aggregate string) float64 {
	lo, hi := math.Inf(1), math.Inf(-1)
	for slot := range m.Plan.Slots {
		if m.Fill[slot] == 0 {
			continue
		}
		m.numbers = m.numbers[:0]
		for from, to := range m.Players(slot) {
			m.numbers = append(m.numbers, m.Pool.Numbers[column][from:to]...)
		}
		x, _ := m.aggregate(ruleset.Function(aggregate), m.numbers)
		lo, hi = min(lo, x), max(hi, x)
	}
	if lo > hi {
		return 0
	}
	return hi - lo
}
