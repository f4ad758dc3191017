package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/evaluator/internal/choice"
)

// Metrics counts what is proposed and what stands.
type Metrics struct {
	proposals  prometheus.Counter
	accepted   prometheus.Counter
	collisions prometheus.Counter
	rejected   *prometheus.CounterVec
	kept, lost prometheus.Counter
	cut        prometheus.Counter
	steps      prometheus.Counter
	chooseTime prometheus.Histogram
}

// mostScore is the highest sum of scores that is counted. A counter is a
// float64: one cycle of absurd scores would drown all others for ever.
const mostScore = 1e12

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		proposals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_proposals_total", Help: "Proposals received."}),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_accepted_total", Help: "Proposals that stand."}),
		collisions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_collisions_total", Help: "Proposals turned down because they share a ticket or a backfill with one that stands."}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "torikumi_evaluator_broken_total", Help: "Proposals turned down because they are broken, by reason."}, []string{"reason"}),
		kept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_score_kept_total", Help: "Sum of the positive scores of proposals that stand; a sum above 1e12 in one cycle is left out."}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_score_lost_total", Help: "Sum of the positive scores of proposals turned down for a collision; a sum above 1e12 in one cycle is left out."}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_cut_total", Help: "Cycles in which the clock cut the search for a better choice; more than none means that the effort is too high for this machine."}),
		steps: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_steps_total", Help: "Steps of search for a better choice than the stock one."}),
		chooseTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "torikumi_evaluator_choose_seconds", Help: "Time to choose, once all proposals are there.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9)}),
	}
	r.MustRegister(m.proposals, m.accepted, m.collisions, m.rejected, m.kept, m.lost, m.cut, m.steps, m.chooseTime)
	return m
}

func (m *Metrics) observe(received int, r choice.Result, took time.Duration) {
	m.proposals.Add(float64(received))
	m.accepted.Add(float64(len(r.Accepted)))
	for reason, n := range r.Rejected {
		if reason == choice.Collision {
			m.collisions.Add(float64(n))
			continue
		}
		m.rejected.WithLabelValues(string(reason)).Add(float64(n))
	}
	if r.Kept <= mostScore {
		m.kept.Add(r.Kept)
	}
	if r.Lost <= mostScore {
		m.lost.Add(r.Lost)
	}
	if r.Cut {
		m.cut.Inc()
	}
	m.steps.Add(float64(r.Steps))
	m.chooseTime.Observe(took.Seconds())
}
