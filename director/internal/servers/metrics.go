package servers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
)

// Metrics count the tries of each allocator. They are safe for concurrent use.
type Metrics struct {
	allocations *prometheus.CounterVec
	seconds     *prometheus.HistogramVec
}

// NewMetrics makes and registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	return &Metrics{
		allocations: f.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_director_allocations_total",
			Help: "Tries to allocate a game server, by allocator: its address, or the kubeconfig file of its cluster."}, []string{"allocator", "result"}),
		seconds: f.NewHistogramVec(prometheus.HistogramOpts{Name: "torikumi_director_allocation_seconds",
			Help: "Time of one try to allocate a game server.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 16)}, []string{"allocator"}),
	}
}

// Counted is an Allocator whose tries are counted under its name.
func (m *Metrics) Counted(n Named) Named {
	n.Allocator = counted{n.Allocator, m, n.Name}
	return n
}

type counted struct {
	Allocator
	metrics *Metrics
	name    string
}

func (c counted) Allocate(ctx context.Context, m *match.Match, sel Selector) (Server, call.Effect, error) {
	start := time.Now()
	s, effect, err := c.Allocator.Allocate(ctx, m, sel)
	c.metrics.allocations.WithLabelValues(c.name, effect.String()).Inc()
	c.metrics.seconds.WithLabelValues(c.name).Observe(time.Since(start).Seconds())
	return s, effect, err
}
