// Package metrics counts what the director does.
package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the director's own. All are safe for concurrent use.
type Metrics struct {
	// Fetches counts ended FetchMatches calls by queue and result (ok, error).
	Fetches *prometheus.CounterVec
	// Matches counts matches by queue and what became of them.
	Matches *prometheus.CounterVec
	// Allocations counts tries by result, AllocationSeconds times them.
	Allocations       *prometheus.CounterVec
	AllocationSeconds prometheus.Histogram
	// PlaceSeconds is the time from receiving a match until it was settled.
	PlaceSeconds prometheus.Histogram
	Assigned     prometheus.Counter
	Released     prometheus.Counter
	// GivenBack counts servers that were returned, Found those that were
	// taken after an answer had been lost.
	GivenBack prometheus.Counter
	Found     prometheus.Counter
	InFlight  prometheus.Gauge
	// Subscribers are connected to the announcements, CutOff were too slow.
	Subscribers prometheus.Gauge
	CutOff      prometheus.Counter
}

// New makes the metrics and registers them.
func New(r prometheus.Registerer) *Metrics {
	const ns = "torikumi_director"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: ns, Name: name, Help: help})
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: ns, Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: ns, Name: name, Help: help})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: ns, Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		})
	}
	m := &Metrics{
		Fetches:           vec("fetches_total", "FetchMatches calls that have ended.", "queue", "result"),
		Matches:           vec("matches_total", "Matches by what became of them.", "queue", "outcome"),
		Allocations:       vec("allocations_total", "Tries to allocate a game server.", "result"),
		AllocationSeconds: seconds("allocation_seconds", "Time of one try to allocate a game server."),
		PlaceSeconds:      seconds("place_seconds", "Time from receiving a match until it was settled."),
		Assigned:          counter("assigned_tickets_total", "Tickets that were assigned a game server."),
		Released:          counter("released_tickets_total", "Tickets that were released to be matched again."),
		GivenBack:         counter("given_back_servers_total", "Game servers that were allocated and given back unused."),
		Found:             counter("found_servers_total", "Game servers that were found by their match instead of allocated."),
		InFlight:          gauge("in_flight_matches", "Matches that are being placed."),
		Subscribers:       gauge("announcement_subscribers", "Subscribers to the announcements."),
		CutOff:            counter("announcement_cut_offs_total", "Subscribers that were cut off because they were too slow."),
	}
	r.MustRegister(m.Fetches, m.Matches, m.Allocations, m.AllocationSeconds, m.PlaceSeconds, m.Assigned, m.Released,
		m.GivenBack, m.Found, m.InFlight, m.Subscribers, m.CutOff)
	return m
}
