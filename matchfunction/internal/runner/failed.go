package runner

import (
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"torikumi/matchfunction/internal/search"
	"torikumi/matchfunction/rule"
)

const (
	// quiet is how long a rule has not failed before its next failure is logged
	// again.
	quiet = 10 * time.Minute
	// mostFailing bounds what is remembered of rules.
	mostFailing = 1000
)

// Failures counts rules that fail: expressions that cannot be evaluated, and
// custom rules that panic or say that they failed. The first failure of a rule is logged, and again one
// after a time without. It is safe for concurrent use.
type Failures struct {
	Metrics *Metrics
	Logger  *slog.Logger
	Now     func() time.Time

	mu   sync.Mutex
	last map[failing]time.Time
}

type failing struct{ queue, rule string }

// Add takes one failure in. Of a panic it has to be called on the panicking
// stack, which is logged.
func (f *Failures) Add(queue, name string, err error) {
	f.Metrics.failed.WithLabelValues(queue, name).Inc()
	if !f.changed(failing{queue, name}) {
		return
	}
	var p *search.Panic
	if errors.As(err, &p) {
		f.Logger.Error("custom rule panics; it counts as broken", "queue", queue, "rule", name, "error", err, "stack", string(debug.Stack()))
		return
	}
	if failure := (*rule.Failure)(nil); errors.As(err, &failure) {
		f.Logger.Error("custom rule fails; it counts as broken", "queue", queue, "rule", name, "error", err)
		return
	}
	f.Logger.Warn("expression fails; it counts as broken", "queue", queue, "rule", name, "error", err)
}

// changed reports whether a rule has just begun to fail.
func (f *Failures) changed(of failing) bool {
	now := f.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	last, known := f.last[of]
	if f.last == nil || (len(f.last) >= mostFailing && !known) {
		f.last = make(map[failing]time.Time)
	}
	f.last[of] = now
	return !known || now.Sub(last) >= quiet
}
