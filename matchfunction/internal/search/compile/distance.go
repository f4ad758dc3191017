package compile

import (
	"math"

	"torikumi/pkg/ruleset"
)

type distance struct{}

func (distance) compile(c *checks, k *check) error {
	r := k.rule
	ms, reference, err := c.operands(r)
	if err != nil {
		return err
	}
	least, most := distances(r)
	k.broken = func(m *Match) float64 {
		ref, sum := m.eval(reference), 0.0
		for _, n := range ms {
			v := m.eval(n)
			for _, y := range ref.numbers {
				for _, x := range v.numbers {
					d := math.Abs(x - y)
					sum += over(d, most) + over(least, d)
				}
			}
		}
		return sum
	}
	return nil
}

// help finds the difference of any two players, and what is
// near enough to a literal.
func (distance) help(p *Plan, c *checks, r *ruleset.Rule) (exact bool, err error) {
	if len(r.Measurements) != 1 {
		return false, nil
	}
	m, err := c.nodes.compile(&r.Measurements[0], r.PartyAggregation)
	if err != nil {
		return false, nil // it is looked at when the match is complete
	}
	ref, err := c.nodes.compile(r.Reference, r.PartyAggregation)
	if err != nil {
		return false, nil // it is looked at when the match is complete
	}
	if r.Reference.Literal != nil && m.perPlayer() && m.scalar == numbers {
		least, most := distances(r)
		p.fits = append(p.fits, fit{m.root().slots, m.root().column, numbers, func(x float64, _ int32) bool {
			for _, y := range ref.literal.numbers {
				if d := math.Abs(x - y); over(d, most)+over(least, d) > 0 {
					return false
				}
			}
			return true
		}, r})
		return true, nil
	}
	if r.MaxDistance == nil || m.root() == nil || ref.root() == nil || m.root().column != ref.root().column || m.root().column < 0 {
		return false, nil
	}
	players := len(p.Slots)
	onlyMost := r.MinDistance == nil || *r.MinDistance <= 0
	of := func(f ruleset.Function, n *node) bool {
		return n.function == f && n.depth == 0 && n.argument.allPlayers(players)
	}
	lowest, highest := of(ruleset.FnMin, ref), of(ruleset.FnMax, ref)
	all := m.allPlayers(players)
	switch {
	case of(ruleset.FnMin, m) && highest, of(ruleset.FnMax, m) && lowest, all && (lowest || highest):
		p.Windows = append(p.Windows, newWindow(m.root().column, distanceOf, r))
		return onlyMost, nil
	case all && of(ruleset.FnAvg, ref):
		p.Windows = append(p.Windows, newWindow(m.root().column, twiceDistanceOf, r))
	}
	return false, nil
}

// distances are the bounds of a distance rule.
func distances(r *ruleset.Rule) (least, most float64) {
	most = math.Inf(1)
	if r.MinDistance != nil {
		least = *r.MinDistance
	}
	if r.MaxDistance != nil {
		most = *r.MaxDistance
	}
	return least, most
}
