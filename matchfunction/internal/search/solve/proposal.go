package solve

import (
	"math"
	"time"

	"torikumi/matchfunction/internal/search/compile"
	"torikumi/matchfunction/internal/search/pool"
)

// Proposal is a match of tickets, which are positions in what Search was
// given.
type Proposal struct {
	compile.Lineup
	// Score is positive and finite; higher is better.
	Score float64
	// Spread is the difference between the highest and the lowest of the
	// number that the rules care about most, 0 if there is none.
	Spread float64
}

func (r *run) proposal(st *state) Proposal {
	p := Proposal{Lineup: st.Lineup()}
	if r.plan.SortKey >= 0 {
		lo, hi := st.Spread(r.plan.SortKey)
		p.Spread = hi - lo
	}
	p.Score = r.score(st.All(), st.Total, p.Spread, st.MeanLatency())
	return p
}

// The score of a match is
//
//	players · (1 + wait / 1 min) · (1 + closeness + nearness)
//
// where wait is the mean wait of its tickets, at most 10 min, closeness is
// 1 / (1 + spread / window), and nearness is 1 / (1 + latency / 100 ms). So
// of two that collide the one that serves more players stands, unless others
// have waited much longer, and then the fairer and nearer one. It is made for
// an evaluator that adds scores up.
const (
	scoreWait    = time.Minute
	scoreMaxWait = 10 * time.Minute
	scoreLatency = 100.0 // ms
)

func (r *run) score(tickets []int32, players int, spread, latency float64) float64 {
	wait := 0.0
	for _, t := range tickets {
		wait += min(max(0, r.pool.Wait[t]), scoreMaxWait).Seconds()
	}
	wait /= float64(len(tickets)) * scoreWait.Seconds()
	scale := r.scale
	closeness := 1 / (1 + spread/scale)
	nearness := 1 / (1 + latency/scoreLatency)
	s := float64(players) * (1 + wait) * (1 + closeness + nearness)
	if math.IsNaN(s) || math.IsInf(s, 0) {
		return float64(players) // numbers at the end of their range
	}
	return s
}

// window is what spreads are measured by: the first window of the rules, or
// else the standard deviation of the pool.
func (r *run) window() float64 {
	if len(r.plan.Windows) > 0 && r.plan.Windows[0].Most > 0 {
		return r.plan.Windows[0].Limit()
	}
	if r.plan.SortKey < 0 || len(r.free) < 2 {
		return 1
	}
	values := make([]float64, len(r.free))
	for i, t := range r.free {
		values[i] = r.pool.Value(r.plan.SortKey, t)
	}
	m, sum := pool.Mean(values), 0.0
	for _, x := range values {
		sum += (x - m) * (x - m)
	}
	if sd := math.Sqrt(sum / float64(len(values))); sd > 0 && !math.IsInf(sd, 0) {
		return sd
	}
	return 1
}
