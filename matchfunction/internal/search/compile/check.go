package compile

import (
	"fmt"
	"math"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/matchfunction/rule"
	"torikumi/pkg/ruleset"
)

// check is a compiled rule.
type check struct {
	rule *ruleset.Rule
	// pairwise, if not nil, tells of two tickets that they never meet.
	pairwise func(a, b *rule.Ticket) bool
	// guard reports whether a match that breaks the rule can't be repaired by adding
	// tickets, so that it is looked at after each one.
	guard bool
	// slow reports whether the rule is looked at only when all others are kept.
	slow bool
	// twice: a guarded rule is looked at in a complete match too.
	twice bool
	// bounded: the rule bounds one number of a match by MaxDistance.
	bounded bool
	// reads are attributes that may become the sort key, beside those that the rule
	// measures. There need not be any.
	reads []string
	// broken is how far a match is from keeping the rule; 0 if it does. It
	// gets smaller as the match gets nearer.
	broken func(*Match) float64
}

// tolerance is the relative error of sums that are taken in another order.
const tolerance = 1e-10

// over is how far x is above most.
func over(x, most float64) float64 {
	excess := x - most
	if excess <= tolerance*max(math.Abs(x), math.Abs(most)) {
		return 0
	}
	return min(excess/(1+math.Abs(most)), 1e6) + 1e-9
}

// checks compiles the rules of one stage.
type checks struct {
	nodes
	options *Options
	stage   int
}

// compile returns nil for what demands nothing.
func (c *checks) compile(r *ruleset.Rule) (*check, error) {
	k := &check{rule: r}
	of, ok := kinds[r.Kind]
	if !ok {
		return nil, fmt.Errorf("%s (rule %q): type: %q is not known", r.Path, r.Name, r.Kind)
	}
	if err := of.compile(c, k); err != nil {
		return nil, fmt.Errorf("%s (rule %q): %w", r.Path, r.Name, err)
	}
	if k.broken == nil {
		return nil, nil
	}
	return k, nil
}

// atMost has a rule bound a number of a match by its MaxDistance.
func (k *check) atMost(number func(*Match) float64) {
	k.bounded = true
	k.broken = func(m *Match) float64 { return over(number(m), *k.rule.MaxDistance) }
}

// own is an attribute with the column of each player's own value.
func (c *checks) own(attribute string) (a ruleset.Attribute, column int, err error) {
	a, ok := c.definition.Attribute(attribute)
	if !ok {
		return a, 0, fmt.Errorf("the attribute %q is not declared", attribute)
	}
	column, err = c.schema.Column(a, pool.Own)
	return a, column, err
}

// operands compiles what a rule measures, and its reference if there is one.
func (c *checks) operands(r *ruleset.Rule) (measurements []*node, reference *node, err error) {
	measurements = make([]*node, len(r.Measurements))
	for i := range r.Measurements {
		if measurements[i], err = c.nodes.compile(&r.Measurements[i], r.PartyAggregation); err != nil {
			return nil, nil, err
		}
	}
	if r.Reference != nil {
		reference, err = c.nodes.compile(r.Reference, r.PartyAggregation)
	}
	return measurements, reference, err
}

// perPlayer reports whether an expression yields the values of single players.
func (n *node) perPlayer() bool {
	for n.argument != nil {
		if n.function != ruleset.FnFlatten {
			return false
		}
		n = n.argument
	}
	return n.literal == nil && n.scalar != people
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
