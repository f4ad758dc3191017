package compile

import (
	"math"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

type latency struct{}

// compile makes a check of the match's region. Limits that are for each ticket alone
// hold by the choice of the region; they are here for statements.
func (latency) compile(_ *checks, k *check) error {
	r := k.rule
	k.guard = r.DistanceReference != ruleset.Avg
	k.broken = func(m *Match) float64 {
		sum, lowest := 0.0, math.Inf(1)
		each := func(do func(pool.Latency)) {
			for _, t := range m.All() {
				if m.Pool.Named(t) && m.region >= 0 {
					do(m.Pool.Latency(t, m.region))
				} else {
					sum++
				}
			}
		}
		each(func(l pool.Latency) {
			if r.MaxLatency != nil {
				sum += over(l.By(r.PartyAggregation), *r.MaxLatency)
			}
		})
		if r.MaxDistance == nil {
			return sum
		}
		each(func(l pool.Latency) { lowest = min(lowest, l.Min) })
		reference := lowest
		if r.DistanceReference == ruleset.Avg {
			reference = m.MeanLatency()
		}
		each(func(l pool.Latency) { sum += over(math.Abs(l.By(r.PartyAggregation)-reference), *r.MaxDistance) })
		return sum
	}
	return nil
}

func (latency) help(p *Plan, _ *checks, r *ruleset.Rule) (exact bool, err error) {
	if r.MaxLatency != nil {
		p.limits = append(p.limits, latencyLimit{*r.MaxLatency, r.PartyAggregation, r})
	} else {
		p.limits = append(p.limits, latencyLimit{math.Inf(1), r.PartyAggregation, r})
	}
	return r.MaxDistance == nil, nil
}

// MeanLatency is the mean over the players of the match in its region.
func (m *Match) MeanLatency() float64 {
	sum, n := 0.0, 0.0
	for _, t := range m.All() {
		l := m.Pool.Latency(t, m.region)
		sum += l.Avg * l.Players
		n += l.Players
	}
	return sum / max(n, 1)
}
