package compile

import (
	"math"
	"math/bits"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

// Apart names the first rule that keeps two tickets from being in one match,
// and, if it bounds a difference, says how large that is and may be. The name is empty
// if there is none, and RegionRule if the regions do.
func (pl *Plan) Apart(p *pool.Pool, a, b int32) (name string, kind ruleset.Kind, t Threshold) {
	of := func(r *ruleset.Rule, t Threshold) (string, ruleset.Kind, Threshold) { return r.Name, r.Kind, t }
	for _, e := range pl.equals {
		if p.Differ(e.column, p.First[a], p.First[b]) {
			return of(e.rule, Threshold{})
		}
	}
	if pl.Reachable(p, a)&pl.Reachable(p, b) == 0 && len(p.Regions) > 0 {
		// A rule keeps them apart only if there is a region for both without it.
		var together *ruleset.Rule
		for _, l := range pl.limits {
			nearest := pl.nearestLatency(p, l.aggregation, a, b)
			if nearest > l.most {
				return of(l.rule, Threshold{Most: l.most, Needed: nearest, limit: latencyOf})
			}
			if nearest > 0 {
				together = l.rule
			}
		}
		if together != nil {
			return of(together, Threshold{})
		}
		return RegionRule, "", Threshold{}
	}
	for _, w := range pl.Windows {
		if d := math.Abs(p.Value(w.Column, a) - p.Value(w.Column, b)); d > w.Most {
			return of(w.rule, w.threshold(d))
		}
	}
	for _, r := range pl.pairwise {
		if r.pairwise(&p.Tickets[a], &p.Tickets[b]) {
			return of(r.rule, Threshold{})
		}
	}
	if r := pl.apartByGuards(p, a, b); r != nil {
		return of(r, Threshold{})
	}
	return "", "", Threshold{}
}

// apartByGuards puts both tickets into a match, in whichever teams, and looks
// at what adding others can't repair.
func (pl *Plan) apartByGuards(p *pool.Pool, a, b int32) *ruleset.Rule {
	if len(pl.incremental) == 0 || p.Tickets[a].Teams != nil || p.Tickets[b].Teams != nil {
		return nil
	}
	m := NewMatch(nil, pl, p)
	var blamed *ruleset.Rule
	few := min(len(pl.Slots), mostTried)
	for i := range few {
		for j := range few {
			if i == j && p.Size(a)+p.Size(b) > pl.Slots[i].Max {
				continue
			}
			m.Start(firstRegion(pl.Reachable(p, a) & pl.Reachable(p, b)))
			m.Put(a, i)
			m.Put(b, j)
			m.filling = true
			bad := m.brokenGuard()
			if bad == nil {
				return nil
			}
			blamed = bad
		}
	}
	return blamed
}

// mostTried is how many teams two tickets are tried in.
const mostTried = 4

// firstRegion is one of a set of regions, or -1.
func firstRegion(mask uint64) int {
	if mask == 0 || mask == ^uint64(0) {
		return -1
	}
	return bits.TrailingZeros64(mask)
}

func (m *Match) brokenGuard() *ruleset.Rule {
	for _, k := range m.Plan.incremental {
		if k.broken(m) > 0 {
			return k.rule
		}
	}
	return nil
}

// RegionRule stands, where a rule is named, for the regions, which are no rule's.
const RegionRule = "(regions)"
