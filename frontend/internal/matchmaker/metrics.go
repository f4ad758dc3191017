package matchmaker

import (
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/ticket"
)

// Metrics are what the client counts.
type Metrics struct {
	tickets       *prometheus.CounterVec
	waiting       *prometheus.GaugeVec
	wait          *prometheus.HistogramVec
	errors        *prometheus.CounterVec
	announcements prometheus.Counter
	directors     prometheus.Gauge
	reads         prometheus.Counter
	found         prometheus.Counter
	recreated     prometheus.Counter
	up            prometheus.Gauge
}

// NewMetrics registers the client's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "torikumi", Subsystem: "frontend", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts(opts(name, help)))
	}
	m := &Metrics{
		tickets: prometheus.NewCounterVec(prometheus.CounterOpts(opts("tickets_total", "Tickets that have ended, by state.")), []string{"queue", "state"}),
		waiting: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("tickets_waiting", "Tickets that wait for a match, or for their party.")), []string{"queue"}),
		wait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "torikumi", Subsystem: "frontend", Name: "wait_seconds", Help: "From the creation of a ticket, or from when its party was complete, to its end.",
			Buckets: []float64{.1, .25, .5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600},
		}, []string{"queue", "state"}),
		errors:        prometheus.NewCounterVec(prometheus.CounterOpts(opts("open_match_errors_total", "Failed calls of Open Match.")), []string{"call", "code"}),
		announcements: counter("announcements_total", "Announcements heard from directors."),
		directors:     gauge("directors_subscribed", "Directors whose announcements are heard."),
		reads:         counter("reconcile_reads_total", "Tickets read from Open Match to catch what was missed."),
		found:         counter("reconcile_found_total", "Assignments that were found by reading."),
		recreated:     counter("tickets_recreated_total", "Tickets created again in Open Match, which had lost them."),
		up:            gauge("open_match_up", "1 while there is a connection to Open Match."),
	}
	r.MustRegister(m.tickets, m.waiting, m.wait, m.errors, m.announcements, m.directors, m.reads, m.found, m.recreated, m.up)
	return m
}

func (m *Metrics) began(queue string) { m.waiting.WithLabelValues(queue).Inc() }

func (m *Metrics) left(queue string) { m.waiting.WithLabelValues(queue).Dec() }

func (m *Metrics) ended(t *ticket.Ticket) {
	m.left(t.Queue)
	m.tickets.WithLabelValues(t.Queue, t.State.String()).Inc()
	m.wait.WithLabelValues(t.Queue, t.State.String()).Observe(t.Updated.Sub(t.Searching()).Seconds())
}

func (m *Metrics) failed(call string, err error) {
	m.errors.WithLabelValues(call, status.Code(err).String()).Inc()
}
