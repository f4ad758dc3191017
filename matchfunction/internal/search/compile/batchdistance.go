package compile

import (
	"fmt"
	"math"

	"torikumi/pkg/ruleset"
)

type batchDistance struct{}

func (batchDistance) compile(c *checks, k *check) error {
	r := k.rule
	k.guard = true
	a, ok := c.definition.Attribute(r.BatchAttribute)
	if !ok {
		return fmt.Errorf("the attribute %q is not declared", r.BatchAttribute)
	}
	column, err := c.schema.Column(a, r.PartyAggregation)
	if err != nil {
		return err
	}
	if a.Type == ruleset.String {
		k.broken = func(m *Match) float64 {
			col, first, n := m.Pool.Strings[column], int32(-1), 0.0
			for slot := range m.Plan.Slots {
				for from, to := range m.Players(slot) {
					for _, id := range col[from:to] {
						if first < 0 {
							first = id
						}
						if id != first {
							n++
						}
					}
				}
			}
			return n
		}
		return nil
	}
	k.broken = func(m *Match) float64 {
		lo, hi := m.Spread(column)
		return over(hi-lo, *r.MaxDistance)
	}
	return nil
}

func (batchDistance) help(p *Plan, c *checks, r *ruleset.Rule) (exact bool, err error) {
	a, _ := c.definition.Attribute(r.BatchAttribute)
	column, err := c.schema.Column(a, r.PartyAggregation)
	if err != nil {
		return false, err
	}
	if a.Type == ruleset.String {
		p.equals = append(p.equals, equal{column, r})
	} else {
		p.Windows = append(p.Windows, newWindow(column, distanceOf, r))
	}
	return true, nil
}

// Spread is the lowest and the highest number of the match in a column; 0, 0
// of a match without players.
func (m *Match) Spread(column int) (lo, hi float64) {
	col := m.Pool.Numbers[column]
	lo, hi = math.Inf(1), math.Inf(-1)
	for slot := range m.Plan.Slots {
		for from, to := range m.Players(slot) {
			for _, x := range col[from:to] {
				lo, hi = min(lo, x), max(hi, x)
			}
		}
	}
	if lo > hi {
		return 0, 0
	}
	return lo, hi
}
