package rpc

import (
	"log/slog"
	"sync"
)

// Health remembers whether something that a process depends on works, so that
// the log has one line for each change and none for each try. It is safe for
// concurrent use.
type Health struct {
	logger     *slog.Logger
	lost, back string

	mu   sync.Mutex
	down bool
}

// NewHealth makes a Health that is up. The messages are logged, as a warning
// with the error, when it goes down and, as information, when it is up again;
// an empty message is not logged.
func NewHealth(logger *slog.Logger, lost, back string) *Health {
	return &Health{logger: logger, lost: lost, back: back}
}

// Down records a failure.
func (h *Health) Down(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.down && h.lost != "" {
		h.logger.Warn(h.lost, "error", err)
	}
	h.down = true
}

// Up records a success.
func (h *Health) Up() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down && h.back != "" {
		h.logger.Info(h.back)
	}
	h.down = false
}

// Record records how a try has ended: a failure unless err is nil.
func (h *Health) Record(err error) {
	if err != nil {
		h.Down(err)
	} else {
		h.Up()
	}
}
