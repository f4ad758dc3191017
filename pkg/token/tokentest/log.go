package tokentest

import (
	"context"
	"log/slog"
	"sync"
)

// Log counts log messages.
type Log struct {
	mu       sync.Mutex
	messages map[string]int
}

// Logger returns a logger that writes into the log.
func (r *Log) Logger() *slog.Logger { return slog.New(r) }

// Count returns how often a message was logged.
func (r *Log) Count(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages[message]
}

// Enabled implements slog.Handler.
func (r *Log) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (r *Log) WithAttrs([]slog.Attr) slog.Handler { return r }

// WithGroup implements slog.Handler.
func (r *Log) WithGroup(string) slog.Handler { return r }

// Handle implements slog.Handler.
func (r *Log) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.messages == nil {
		r.messages = map[string]int{}
	}
	r.messages[record.Message]++
	return nil
}
