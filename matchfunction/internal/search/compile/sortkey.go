package compile

import "torikumi/pkg/ruleset"

// chooseSortKey decides by what candidates are near, and what teams should share.
func (p *Plan) chooseSortKey(c *checks) error {
	d := p.Definition
	number := func(name string) (int, error) {
		a, ok := d.Attribute(name)
		if !ok || a.Type != ruleset.Number {
			return -1, nil
		}
		return c.schema.Column(a, ruleset.Avg)
	}
	var err error
	if d.Algorithm.BalancedAttribute != "" {
		if p.Balance, err = number(d.Algorithm.BalancedAttribute); err != nil {
			return err
		}
	}
	for _, o := range p.Sorts {
		if !o.absolute && o.kind == ruleset.Number && o.Ascending {
			p.SortKey = o.column
		}
	}
	if p.SortKey < 0 && d.Algorithm.BatchingPreference == ruleset.Sorted {
		if err := p.sortBy(c); err != nil {
			return err
		}
	}
	if p.SortKey < 0 && len(p.Windows) > 0 {
		p.SortKey = p.Windows[0].Column
	}
	if p.SortKey < 0 {
		p.SortKey = p.Balance
	}
	for _, k := range p.checks {
		for _, n := range k.numberColumns(c) {
			if p.SortKey < 0 {
				p.SortKey = n
			}
			if p.Balance < 0 {
				p.Balance = n
			}
		}
	}
	if p.Balance < 0 {
		p.Balance = p.SortKey
	}
	return nil
}

// sortBy takes in sortByAttributes: the first number is the sort key, and of
// strings those come first that are the anchor's.
func (p *Plan) sortBy(c *checks) error {
	for _, name := range p.Definition.Algorithm.SortByAttributes {
		a, ok := p.Definition.Attribute(name)
		if !ok {
			continue
		}
		agg := ruleset.Aggregation("")
		if a.Type == ruleset.StringList {
			agg = ruleset.Union
		}
		column, err := c.schema.Column(a, agg)
		switch {
		case err != nil:
			return err
		case a.Type != ruleset.Number:
			p.Sorts = append(p.Sorts, Order{column: column, kind: a.Type, Ascending: true, key: ruleset.MaxValue, agg: ruleset.Avg})
		case p.SortKey < 0:
			p.SortKey = column
		}
	}
	return nil
}

// numberColumns are the columns of numbers that a rule reads.
func (k *check) numberColumns(c *checks) []int {
	var out []int
	add := func(name string) {
		if a, ok := c.definition.Attribute(name); ok && a.Type == ruleset.Number {
			if column, err := c.schema.Column(a, k.rule.PartyAggregation); err == nil {
				out = append(out, column)
			}
		}
	}
	for i := range k.rule.Measurements {
		add(k.rule.Measurements[i].Attribute())
	}
	for _, name := range k.reads {
		add(name)
	}
	return out
}
