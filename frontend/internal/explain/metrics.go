package explain

import "github.com/prometheus/client_golang/prometheus"

// Metrics are what the cache counts.
type Metrics struct {
	calls   *prometheus.CounterVec
	up      prometheus.Gauge
	tickets prometheus.Gauge
}

// NewMetrics registers the cache's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "torikumi", Subsystem: "frontend", Name: name, Help: help}
	}
	m := &Metrics{
		calls:   prometheus.NewCounterVec(prometheus.CounterOpts(opts("reason_calls_total", "Calls of match functions for the reasons why tickets wait, by result.")), []string{"code"}),
		up:      prometheus.NewGauge(prometheus.GaugeOpts(opts("reason_matchfunctions_up", "Match functions that said why tickets wait when they were last asked."))),
		tickets: prometheus.NewGauge(prometheus.GaugeOpts(opts("reason_tickets", "Tickets whose reasons players have looked for of late."))),
	}
	r.MustRegister(m.calls, m.up, m.tickets)
	return m
}
