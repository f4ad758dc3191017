package fetch

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count fetches and what becomes of the matches. They are safe for
// concurrent use.
type Metrics struct {
	fetches, matches *prometheus.CounterVec
	placeSeconds     prometheus.Histogram
	inFlight         prometheus.Gauge

	mu sync.Mutex
	// started are the times since when matches are in flight, by a number.
	started map[uint64]time.Time
	next    uint64
}

// begin counts a match that is in flight until end is called.
func (m *Metrics) begin() (end func()) {
	m.inFlight.Inc()
	start := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	id := m.next
	m.started[id] = start
	return func() {
		m.inFlight.Dec()
		m.placeSeconds.Observe(time.Since(start).Seconds())
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.started, id)
	}
}

// oldest is the age of the oldest match in flight, in seconds; 0 if there is none.
func (m *Metrics) oldest() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var age time.Duration
	for _, start := range m.started {
		age = max(age, time.Since(start))
	}
	return age.Seconds()
}

// NewMetrics makes and registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	m := &Metrics{
		started: make(map[uint64]time.Time),
		fetches: f.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_director_fetches_total",
			Help: "FetchMatches calls that have ended."}, []string{"queue", "result"}),
		matches: f.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_director_matches_total",
			Help: "Matches by what became of them."}, []string{"queue", "outcome"}),
		placeSeconds: f.NewHistogram(prometheus.HistogramOpts{Name: "torikumi_director_place_seconds",
			Help: "Time from receiving a match until its outcome.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		inFlight: f.NewGauge(prometheus.GaugeOpts{Name: "torikumi_director_in_flight_matches",
			Help: "Matches that are being placed."}),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "torikumi_director_oldest_match_age_seconds",
		Help: "How long the match is being placed that was received first; 0 if there is none."}, m.oldest)
	return m
}
