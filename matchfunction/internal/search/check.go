package search

import (
	"fmt"
	"math"

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
	// broken is how far a match is from keeping the rule; 0 if it does. It
	// gets smaller as the match gets nearer.
	broken func(*state) float64
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
	var err error
	switch r.Kind {
	case ruleset.DistanceSort, ruleset.AbsoluteSort:
		return nil, nil
	case ruleset.Comparison:
		k.broken, k.guard, err = c.comparison(r)
	case ruleset.Distance:
		k.broken, err = c.distance(r)
	case ruleset.BatchDistance:
		k.guard = true
		k.broken, err = c.batchDistance(r)
	case ruleset.Collection:
		k.broken, k.guard, err = c.collection(r)
	case ruleset.Latency:
		k.guard = r.DistanceReference != ruleset.Avg
		k.broken = latency(r)
	case ruleset.Compound:
		k.broken, k.slow, err = c.statement(r.Statement)
	case ruleset.Expression:
		k.slow = true
		k.broken, err = c.expression(r)
	case ruleset.Custom:
		k.slow = true
		k.broken, k.pairwise, err = c.custom(r)
	default:
		k.broken, err = c.addition(r)
	}
	if err != nil {
		return nil, fmt.Errorf("%s (rule %q): %w", r.Path, r.Name, err)
	}
	return k, nil
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

func (c *checks) comparison(r *ruleset.Rule) (func(*state) float64, bool, error) {
	ms, reference, err := c.operands(r)
	if err != nil {
		return nil, false, err
	}
	perPlayer := true
	for _, m := range ms {
		perPlayer = perPlayer && m.perPlayer()
	}
	if reference == nil {
		return func(st *state) float64 {
			sum := 0.0
			for _, m := range ms {
				sum += alike(st.eval(m), r.Operation == ruleset.Equal)
			}
			return sum
		}, perPlayer, nil
	}
	perPlayer = perPlayer && reference.literal != nil
	return func(st *state) float64 {
		ref, sum := st.eval(reference), 0.0
		for _, m := range ms {
			v := st.eval(m)
			for _, y := range ref.numbers {
				for _, x := range v.numbers {
					sum += compare(r.Operation, x, y)
				}
			}
			for _, y := range ref.ids {
				for _, x := range v.ids {
					if (x == y) != (r.Operation == ruleset.Equal) {
						sum++
					}
				}
			}
		}
		return sum
	}, perPlayer, nil
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

// compare is how far x is from being so to y.
func compare(op ruleset.Operation, x, y float64) float64 {
	var ok bool
	switch op {
	case ruleset.Equal:
		ok = x == y
	case ruleset.NotEqual:
		ok = x != y
	case ruleset.Less:
		ok = x < y
	case ruleset.LessOrEqual:
		ok = x <= y
	case ruleset.Greater:
		ok = x > y
	default:
		ok = x >= y
	}
	if ok {
		return 0
	}
	return 1e-3 + min(math.Abs(x-y)/(1+math.Abs(y)), 1e6)
}

// alike counts how many values of the innermost lists are unlike the first
// (equal), or like one before (not equal).
func alike(v *vector, equal bool) float64 {
	ends := v.ends
	if v.depth < 2 {
		ends = []int32{int32(v.len())}
	}
	n, from := 0, int32(0)
	for _, to := range ends {
		if len(v.numbers) > 0 {
			n += unlike(v.numbers[from:to], equal)
		} else if len(v.ids) > 0 {
			n += unlike(v.ids[from:to], equal)
		}
		from = to
	}
	return float64(n)
}

func unlike[T comparable](v []T, equal bool) int {
	n := 0
	for i, x := range v {
		if equal && x != v[0] {
			n++
		}
		for j := 0; !equal && j < i; j++ {
			if v[j] == x {
				n++
				break
			}
		}
	}
	return n
}

func (c *checks) distance(r *ruleset.Rule) (func(*state) float64, error) {
	ms, reference, err := c.operands(r)
	if err != nil {
		return nil, err
	}
	least, most := distances(r)
	return func(st *state) float64 {
		ref, sum := st.eval(reference), 0.0
		for _, m := range ms {
			v := st.eval(m)
			for _, y := range ref.numbers {
				for _, x := range v.numbers {
					d := math.Abs(x - y)
					sum += over(d, most) + over(least, d)
				}
			}
		}
		return sum
	}, nil
}

func (c *checks) batchDistance(r *ruleset.Rule) (func(*state) float64, error) {
	a, ok := c.definition.Attribute(r.BatchAttribute)
	if !ok {
		return nil, fmt.Errorf("the attribute %q is not declared", r.BatchAttribute)
	}
	column, err := c.schema.column(a, r.PartyAggregation)
	if err != nil {
		return nil, err
	}
	if a.Type == ruleset.String {
		return func(st *state) float64 {
			col, first, n := st.run.pool.strings[column], int32(-1), 0.0
			for slot := range st.plan.slots {
				for from, to := range st.players(slot) {
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
		}, nil
	}
	return func(st *state) float64 {
		lo, hi := st.spread(column)
		return over(hi-lo, *r.MaxDistance)
	}, nil
}

// spread is the lowest and the highest number of the match in a column; 0, 0
// of a match without players.
func (st *state) spread(column int) (lo, hi float64) {
	col := st.run.pool.numbers[column]
	lo, hi = math.Inf(1), math.Inf(-1)
	for slot := range st.plan.slots {
		for from, to := range st.players(slot) {
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

// latency checks the match's region. Limits that are for each ticket alone
// hold by the choice of the region; they are here for statements.
func latency(r *ruleset.Rule) func(*state) float64 {
	return func(st *state) float64 {
		sum, lowest := 0.0, math.Inf(1)
		each := func(do func(regionLatency)) {
			for _, t := range st.all() {
				if st.run.pool.named[t] && st.region >= 0 {
					do(st.run.pool.latency(t, st.region))
				} else {
					sum++
				}
			}
		}
		each(func(l regionLatency) {
			if r.MaxLatency != nil {
				sum += over(l.by(r.PartyAggregation), *r.MaxLatency)
			}
		})
		if r.MaxDistance == nil {
			return sum
		}
		each(func(l regionLatency) { lowest = min(lowest, l.min) })
		reference := lowest
		if r.DistanceReference == ruleset.Avg {
			reference = st.meanLatency()
		}
		each(func(l regionLatency) { sum += over(math.Abs(l.by(r.PartyAggregation)-reference), *r.MaxDistance) })
		return sum
	}
}

// meanLatency is the mean over the players of the match in its region.
func (st *state) meanLatency() float64 {
	sum, n := 0.0, 0.0
	for _, t := range st.all() {
		l := st.run.pool.latency(t, st.region)
		sum += l.avg * l.players
		n += l.players
	}
	return sum / max(n, 1)
}

// statement compiles a compound rule. A part that may be broken costs 1.
func (c *checks) statement(s *ruleset.Statement) (broken func(*state) float64, slow bool, err error) {
	if s.Connective == "" {
		k, err := c.compile(&c.definition.Rules[s.Rule])
		if err != nil || k == nil || k.rule.Optional {
			return func(*state) float64 { return 0 }, false, err
		}
		return k.broken, k.slow, nil
	}
	branches := make([]func(*state) float64, len(s.Parts))
	for i, p := range s.Parts {
		branch, branchSlow, err := c.statement(p)
		if err != nil {
			return nil, false, err
		}
		branches[i], slow = branch, slow || branchSlow
	}
	switch s.Connective {
	case ruleset.And:
		broken = func(st *state) float64 {
			sum := 0.0
			for _, p := range branches {
				sum += p(st)
			}
			return sum
		}
	case ruleset.Or:
		broken = func(st *state) float64 {
			least := math.Inf(1)
			for _, p := range branches {
				least = min(least, p(st))
			}
			return least
		}
	case ruleset.Not:
		broken = func(st *state) float64 { return one(branches[0](st) == 0) }
	default:
		broken = func(st *state) float64 {
			n := 0
			for _, p := range branches {
				if p(st) == 0 {
					n++
				}
			}
			return math.Abs(float64(n - 1))
		}
	}
	return broken, slow, nil
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
