package backfill

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests *prometheus.CounterVec
	players  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) metrics {
	f := promauto.With(r)
	return metrics{
		requests: f.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_director_backfill_requests_total",
			Help: "Calls of gates for players, by what was answered; the queue is empty if it is not known."}, []string{"queue", "outcome"}),
		players: f.NewCounterVec(prometheus.CounterOpts{Name: "torikumi_director_backfill_players_total",
			Help: "Players who were found for running matches and assigned."}, []string{"queue"}),
	}
}
