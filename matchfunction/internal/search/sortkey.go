package search

import "torikumi/pkg/ruleset"

// chooseSortKey decides by what candidates are near, and what teams should share.
func (p *plan) chooseSortKey(c *checks) error {
	d := p.definition
	number := func(name string) (int, error) {
		a, ok := d.Attribute(name)
		if !ok || a.Type != ruleset.Number {
			return -1, nil
		}
		return c.schema.column(a, ruleset.Avg)
	}
	var err error
	if d.Algorithm.BalancedAttribute != "" {
		if p.balance, err = number(d.Algorithm.BalancedAttribute); err != nil {
			return err
		}
	}
	for _, o := range p.sorts {
		if !o.absolute && o.kind == ruleset.Number && o.ascending {
			p.sortKey = o.column
		}
	}
	if p.sortKey < 0 && d.Algorithm.BatchingPreference == ruleset.Sorted {
		if err := p.sortBy(c); err != nil {
			return err
		}
	}
	if p.sortKey < 0 && len(p.windows) > 0 {
		p.sortKey = p.windows[0].column
	}
	if p.sortKey < 0 {
		p.sortKey = p.balance
	}
	for _, k := range p.checks {
		for _, n := range k.numberColumns(c) {
			if p.sortKey < 0 {
				p.sortKey = n
			}
			if p.balance < 0 {
				p.balance = n
			}
		}
	}
	if p.balance < 0 {
		p.balance = p.sortKey
	}
	return nil
}

// sortBy takes in sortByAttributes: the first number is the sort key, and of
// strings those come first that are the anchor's.
func (p *plan) sortBy(c *checks) error {
	for _, name := range p.definition.Algorithm.SortByAttributes {
		a, ok := p.definition.Attribute(name)
		if !ok {
			continue
		}
		agg := ruleset.Aggregation("")
		if a.Type == ruleset.StringList {
			agg = ruleset.Union
		}
		column, err := c.schema.column(a, agg)
		switch {
		case err != nil:
			return err
		case a.Type != ruleset.Number:
			p.sorts = append(p.sorts, order{column: column, kind: a.Type, ascending: true, key: ruleset.MaxValue, agg: ruleset.Avg})
		case p.sortKey < 0:
			p.sortKey = column
		}
	}
	return nil
}

// numberColumns are the columns of numbers that a rule reads.
func (k *check) numberColumns(c *checks) []int {
	var out []int
	add := func(name string) {
		if a, ok := c.definition.Attribute(name); ok && a.Type == ruleset.Number {
			if column, err := c.schema.column(a, k.rule.PartyAggregation); err == nil {
				out = append(out, column)
			}
		}
	}
	for i := range k.rule.Measurements {
		add(k.rule.Measurements[i].Attribute())
	}
	if k.rule.Kind == ruleset.TeamDifference {
		add(k.rule.SortAttribute)
	}
	return out
}
