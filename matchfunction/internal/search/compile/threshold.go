package compile

import (
	"math"
	"strconv"
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
	// limit is which one of the rule's it is, until Loosening was asked.
	limit limit
}

// limit says which limit of a rule a threshold is.
type limit int

const (
	noLimit limit = iota
	latencyOf
	distanceOf
	// twiceDistanceOf is of two players, of whom each may be so far from a mean.
	twiceDistanceOf
	// onlyOf is the upper limit of a rule that has no other limit: of one with several it
	// is not known which a match breaks.
	onlyOf
)

// of is the limit of a rule, if it has it.
func (l limit) of(r *ruleset.Rule) (most float64, ok bool) {
	switch {
	case l == latencyOf && r.MaxLatency != nil:
		return *r.MaxLatency, true
	case l == distanceOf && r.MaxDistance != nil:
		return *r.MaxDistance, true
	case l == twiceDistanceOf && r.MaxDistance != nil:
		return 2 * *r.MaxDistance, true
	case l != onlyOf || limits(r) != 1:
		return 0, false
	case r.MaxLatency != nil:
		return *r.MaxLatency, true
	case r.MaxDistance != nil:
		return *r.MaxDistance, true
	case r.MaxCount != nil:
		return float64(*r.MaxCount), true
	}
	return 0, false
}

// limits is how many limits a rule has.
func limits(r *ruleset.Rule) (n int) {
	for _, has := range []bool{r.MaxLatency != nil, r.MinDistance != nil, r.MaxDistance != nil, r.MinCount != nil, r.MaxCount != nil} {
		n += int(one(has))
	}
	return n
}

// breach is the threshold of a rule that a complete match breaks. What would do is known of
// the rules that bound one number of it.
func (k *check) breach(m *Match) Threshold {
	t := Threshold{limit: onlyOf}
	if k.bounded {
		t.limit = distanceOf
	}
	if t.Most, _ = t.limit.of(k.rule); !k.bounded {
		return t
	}
	// The inverse of over.
	t.Needed = figure(t.Most + (k.broken(m)-1e-9)*(1+math.Abs(t.Most)))
	return t
}

// figure is a number without what comes of sums that are not exact.
func figure(x float64) float64 {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 12, 64), 64)
	if err != nil {
		return x // too large to be rounded up
	}
	return rounded
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
