package runner

import (
	"context"

	"torikumi/matchfunction/internal/engine"
	"torikumi/proto/openmatch"
)

// leftOut counts the tickets of one call that fit no match.
type leftOut struct {
	metrics *Metrics
	queue   string
	count   int
	// ticket is the one with the least id, and reason its.
	ticket string
	reason engine.Reason
}

func (l *leftOut) add(t *openmatch.Ticket, reason engine.Reason) {
	l.metrics.skipped.WithLabelValues(l.queue, string(reason)).Inc()
	if l.count == 0 || t.GetId() < l.ticket {
		l.ticket, l.reason = t.GetId(), reason
	}
	l.count++
}

// mostProfiles bounds what is remembered of profiles.
const mostProfiles = 1000

// complain logs that tickets were left out, with one as the example: at most
// once per call, and not again as long as the example stays the same.
func (r *Runner) complain(ctx context.Context, p *engine.Profile, l *leftOut) {
	r.mu.Lock()
	last, known := r.complained[p.Name]
	if len(r.complained) >= mostProfiles && !known {
		clear(r.complained)
	}
	if l.count == 0 {
		delete(r.complained, p.Name)
	} else {
		r.complained[p.Name] = l.ticket
	}
	r.mu.Unlock()
	if l.count > 0 && (!known || last != l.ticket) {
		r.options.Logger.WarnContext(ctx, "tickets left out", "queue", p.Queue, "count", l.count, "ticket", l.ticket, "reason", string(l.reason))
	}
}
