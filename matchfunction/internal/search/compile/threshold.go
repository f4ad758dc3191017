package compile

import (
	"math"
	"time"

	"torikumi/matchfunction/internal/search/pool"
	"torikumi/pkg/ruleset"
)

// Threshold is the limit of a rule, the number that would let a ticket be matched,
// and when the rule comes to allow that.
type Threshold struct {
	// Most is what the rule allows, Needed what would have to be allowed; both 0
	// where the rule has no such number.
	Most, Needed float64
	// Loosens reports whether the rule will allow what is needed, or, where that
	// is not known, more than now; In is when, and Then how much it allows by
	// then, +Inf if it demands nothing any more.
	Loosens bool
	In      time.Duration
	Then    float64
}

// mostOf is the upper limit of a rule, +Inf where it demands nothing.
func mostOf(r *ruleset.Rule) (most float64, ok bool) {
	switch {
	case r.Optional:
		return math.Inf(1), true
	case r.Kind == ruleset.Latency && r.MaxLatency != nil:
		return *r.MaxLatency, true
	case r.MaxDistance != nil:
		return *r.MaxDistance, true
	case r.MaxCount != nil:
		return float64(*r.MaxCount), true
	}
	return 0, false
}

// spreadOf is how much the rule would have to allow for a complete match, for the
// rules that bound one number of it.
func (k *check) spreadOf(m *Match) (needed float64, ok bool) {
	if !k.bounded {
		return 0, false
	}
	most := *k.rule.MaxDistance
	// The inverse of over.
	return most + (k.broken(m)-1e-9)*(1+math.Abs(most)), true
}

// nearestLatency is the latency that a limit would have to allow for two tickets
// to meet in some region, or for one in any.
func (pl *Plan) nearestLatency(p *pool.Pool, by ruleset.Aggregation, tickets ...int32) float64 {
	best := math.Inf(1)
	for r := range p.Regions {
		worst := 0.0
		for _, t := range tickets {
			if !p.Named(t) {
				continue
			}
			if !p.Playable(t, r, pl.needsRegion) {
				worst = math.Inf(1)
				continue
			}
			worst = max(worst, p.Latency(t, r).By(by))
		}
		best = min(best, worst)
	}
	if math.IsInf(best, 1) {
		return 0 // no limit would do
	}
	return best
}
