package runner

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what runs see and propose.
type Metrics struct {
	tickets   *prometheus.CounterVec
	proposals *prometheus.CounterVec
	skipped   *prometheus.CounterVec
	cut       *prometheus.CounterVec
	failed    *prometheus.CounterVec
	whole     prometheus.Counter
	oversized *prometheus.CounterVec
	runTime   *prometheus.HistogramVec
}

// NewMetrics makes the metrics and registers them.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		tickets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "torikumi_matchfunction_tickets_total", Help: "Tickets read from pools, each once per run."}, []string{"queue"}),
		proposals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "torikumi_matchfunction_proposals_total", Help: "Matches proposed."}, []string{"queue"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "torikumi_matchfunction_skipped_tickets_total", Help: "Tickets left out of a run, by reason."}, []string{"queue", "reason"}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "torikumi_matchfunction_cut_runs_total", Help: "Runs that ended at their time limit before they had looked at all tickets."}, []string{"queue"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "torikumi_matchfunction_failed_rules_total", Help: "Times that an expression could not be evaluated or a custom rule panicked, so that it counted as broken."}, []string{"queue", "rule"}),
		whole: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "torikumi_matchfunction_whole_pools_total", Help: "Pools read whole; the others were brought up to date by their new tickets."}),
		oversized: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "torikumi_matchfunction_oversized_pools_total", Help: "Pools with a page too large for one message: read in parts, or left out in part."}, []string{"outcome"}),
		runTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "torikumi_matchfunction_run_seconds", Help: "Time of one run, reading the pools included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"queue"}),
	}
	r.MustRegister(m.tickets, m.proposals, m.skipped, m.cut, m.failed, m.whole, m.oversized, m.runTime)
	return m
}
