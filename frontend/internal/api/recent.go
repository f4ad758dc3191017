package api

import (
	"sync"
	"time"
)

// recent keeps values for a time by their keys. It is safe for concurrent use.
type recent[V any] struct {
	keepFor time.Duration

	mu sync.Mutex
	// A value is in current for at least keepFor, and then in previous for as long.
	current, previous map[string]dated[V]
	rotated           time.Time
}

type dated[V any] struct {
	value V
	at    time.Time
}

func newRecent[V any](keepFor time.Duration) *recent[V] {
	return &recent[V]{keepFor: keepFor, current: make(map[string]dated[V]), rotated: time.Now()}
}

// get returns a value that is not too old.
func (r *recent[V]) get(key string) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.current[key]
	if !ok {
		d, ok = r.previous[key]
	}
	return d.value, ok && time.Since(d.at) < r.keepFor
}

func (r *recent[V]) put(key string, value V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Sub(r.rotated) >= r.keepFor {
		r.previous, r.current, r.rotated = r.current, make(map[string]dated[V]), now
	}
	r.current[key] = dated[V]{value, now}
}

// len is how many values there are, of which some are too old.
func (r *recent[V]) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.current) + len(r.previous)
}
