package runner

import (
	"context"

	"torikumi/matchfunction/internal/engine"
	"torikumi/proto/openmatch"
)

// tooLarge is why the tickets of a match are left out that is too large for one
// message.
const tooLarge engine.Reason = "match_size"

// pageTooLarge counts that a pool was read in parts or not whole. It is logged
// once: as long as Open Match is not set otherwise it is so in each run.
func (r *Runner) pageTooLarge(p *openmatch.Pool, read bool) {
	r.options.Metrics.oversized.WithLabelValues(map[bool]string{true: "read in parts", false: "left out"}[read]).Inc()
	r.oversized.Do(func() {
		r.options.Logger.Warn("a page of a pool is too large for one message: lower Open Match's queryPageSize; said once, see torikumi_matchfunction_oversized_pools_total",
			"pool", p.GetName(), "read_in_parts", read)
	})
}

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
