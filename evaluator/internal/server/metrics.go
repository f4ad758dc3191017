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
	chooseTime prometheus.Histogram
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		proposals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_proposals_total", Help: "Proposals received."}),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_accepted_total", Help: "Proposals that stand."}),
		collisions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_evaluator_collisions_total", Help: "Proposals turned down because they share a ticket or a backfill with a better one."}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "torikumi_evaluator_broken_total", Help: "Proposals turned down because they are broken, by reason."}, []string{"reason"}),
		chooseTime: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "torikumi_evaluator_choose_seconds", Help: "Time to choose, once all proposals are there.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8)}),
	}
	r.MustRegister(m.proposals, m.accepted, m.collisions, m.rejected, m.chooseTime)
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
	m.chooseTime.Observe(took.Seconds())
}
