package placement

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	// assignSeconds times tries.
	assignSeconds prometheus.Histogram
	released      *prometheus.CounterVec
	assigned,
	// adopted counts servers that were found with the match's label,
	// deallocated those that were deleted unused.
	adopted, deallocated prometheus.Counter
}

func newMetrics(r prometheus.Registerer) metrics {
	f := promauto.With(r)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: "torikumi_director_" + name, Help: help})
	}
	return metrics{
		assignSeconds: f.NewHistogram(prometheus.HistogramOpts{Name: "torikumi_director_assign_seconds",
			Help: "Time of one try to assign a match's tickets.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}),
		assigned: counter("assigned_tickets_total", "Tickets that were assigned a game server."),
		released: f.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_director_released_tickets_total",
			Help: "Tickets that were released to be matched again, by why their match was not played."}, []string{"cause"}),
		adopted:     counter("adopted_servers_total", "Game servers that were found by their match instead of allocated."),
		deallocated: counter("deallocated_servers_total", "Game servers that were allocated and deleted unused."),
	}
}
