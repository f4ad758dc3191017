package compile

import (
	"math"

	"torikumi/pkg/ruleset"
)

type comparison struct{}

func (comparison) compile(c *checks, k *check) error {
	r := k.rule
	ms, reference, err := c.operands(r)
	if err != nil {
		return err
	}
	perPlayer := true
	for _, m := range ms {
		perPlayer = perPlayer && m.perPlayer()
	}
	k.guard, k.twice = perPlayer, true // empty teams and repairs
	if reference == nil {
		k.broken = func(m *Match) float64 {
			sum := 0.0
			for _, n := range ms {
				sum += alike(m.eval(n), r.Operation == ruleset.Equal)
			}
			return sum
		}
		return nil
	}
	k.guard = perPlayer && reference.literal != nil
	k.broken = func(m *Match) float64 {
		ref, sum := m.eval(reference), 0.0
		for _, n := range ms {
			v := m.eval(n)
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
	}
	return nil
}

// help finds equality of all players, and what a player has to
// be for a team.
func (comparison) help(p *Plan, c *checks, r *ruleset.Rule) (exact bool, err error) {
	for i := range r.Measurements {
		n, err := c.nodes.compile(&r.Measurements[i], r.PartyAggregation)
		if err != nil || !n.perPlayer() {
			return false, nil
		}
		root := n.root()
		if root.column < 0 {
			return false, nil
		}
		switch {
		case r.Reference == nil && r.Operation == ruleset.Equal && n.allPlayers(len(p.Slots)) && n.depth == 1:
			p.equals = append(p.equals, equal{root.column, r})
		case r.Reference != nil && r.Reference.Literal != nil && root.scalar != wordLists:
			p.fits = append(p.fits, fit{root.slots, root.column, root.scalar, allows(c, r), r})
		default:
			return false, nil
		}
	}
	return true, nil
}

// allows is a comparison with a literal.
func allows(c *checks, r *ruleset.Rule) func(float64, int32) bool {
	ref := new(node)
	c.literal(ref, r.Reference.Literal)
	return func(x float64, id int32) bool {
		for _, y := range ref.literal.numbers {
			if compare(r.Operation, x, y) != 0 {
				return false
			}
		}
		for _, y := range ref.literal.ids {
			if (id == y) != (r.Operation == ruleset.Equal) {
				return false
			}
		}
		return true
	}
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
