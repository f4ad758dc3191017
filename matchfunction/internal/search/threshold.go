package search

import (
	"math"
	"time"

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

// loosening fills in when a rule, from the stage of a match that has waited so
// long, comes to allow what is needed.
func (e *Engine) loosening(rule string, stage int, wait time.Duration, t Threshold) Threshold {
	for later := stage + 1; later < len(e.rules.Stages); later++ {
		d := &e.rules.Stages[later].Definition
		for i := range d.Rules {
			r := &d.Rules[i]
			if r.Name != rule {
				continue
			}
			most, ok := mostOf(r)
			if enough := most >= t.Needed && (t.Needed > 0 || most > t.Most); ok && enough {
				t.Loosens, t.Then, t.In = true, most, max(0, e.rules.Stages[later].After-wait)
				return t
			}
		}
	}
	return t
}

// spreadOf is how much the rule would have to allow for a complete match, for the
// rules that bound one number of it.
func (k *check) spreadOf(st *state) (needed float64, ok bool) {
	switch k.rule.Kind {
	case ruleset.TeamDifference, ruleset.TeamSizeBalance, ruleset.PartySizes:
		most := *k.rule.MaxDistance
		// The inverse of over.
		return most + (k.broken(st)-1e-9)*(1+math.Abs(most)), true
	}
	return 0, false
}

// nearestLatency is the latency that a limit would have to allow for two tickets
// to meet in some region, or for one in any.
func (pl *plan) nearestLatency(p *pool, tickets ...int32) float64 {
	best := math.Inf(1)
	for r := range p.regions {
		worst := 0.0
		for _, t := range tickets {
			if !p.named[t] {
				continue
			}
			l := p.latencies[int(t)*len(p.regions)+r]
			if l.min == far || pl.needsRegion && p.unmeasured[t]&(1<<r) != 0 {
				worst = math.Inf(1)
				continue
			}
			worst = max(worst, l.by(pl.limits[0].aggregation))
		}
		best = min(best, worst)
	}
	if math.IsInf(best, 1) {
		return 0 // no limit would do
	}
	return best
}
