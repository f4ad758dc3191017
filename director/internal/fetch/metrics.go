package fetch

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count fetches and what becomes of the matches. They are safe for
// concurrent use.
type Metrics struct {
	fetches, matches *prometheus.CounterVec
	placeSeconds     prometheus.Histogram
	inFlight         prometheus.Gauge
}

// NewMetrics makes and registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	return &Metrics{
		fetches: f.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_director_fetches_total",
			Help: "FetchMatches calls that have ended."}, []string{"queue", "result"}),
		matches: f.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_director_matches_total",
			Help: "Matches by what became of them."}, []string{"queue", "outcome"}),
		placeSeconds: f.NewHistogram(prometheus.HistogramOpts{Name: "torikumi_director_place_seconds",
			Help: "Time from receiving a match until its outcome.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{Name: "torikumi_director_in_flight_matches",
			Help: "Matches that are being placed."}),
	}
}
