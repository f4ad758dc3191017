package token_test

import (
	"context"
	"log/slog"
	"sync"
)

// recorder counts log messages.
type recorder struct {
	mu       sync.Mutex
	messages map[string]int
}

func (r *recorder) logger() *slog.Logger { return slog.New(r) }

func (r *recorder) count(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.messages[message]
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) WithGroup(string) slog.Handler            { return r }

func (r *recorder) Handle(_ context.Context, record slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.messages == nil {
		r.messages = map[string]int{}
	}
	r.messages[record.Message]++
	return nil
}
