// Package ratelimit limits how often each of very many callers may do something, in
// this process: a player who asks several frontends gets as much from each.
package ratelimit

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds the keys that are remembered.
const maxKeys = 1 << 20

// Limiter is a token bucket for each key. It is safe for concurrent use.
type Limiter struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu sync.Mutex
	// A bucket that was not asked for period is full, and as good as a new one. So
	// current becomes previous after that time, and what is left there is dropped.
	period            time.Duration
	current, previous map[string]*rate.Limiter
	rotated           time.Time
}

// New makes a limiter that allows one call every interval, and burst at once.
// now is the clock; nil means time.Now.
func New(interval time.Duration, burst int, now func() time.Time) *Limiter {
	if now == nil {
		now = time.Now
	}
	return &Limiter{
		limit: rate.Every(interval), burst: burst, now: now,
		period:  time.Duration(min(float64(interval)*float64(burst), math.MaxInt64/2)),
		current: make(map[string]*rate.Limiter), rotated: now(),
	}
}

// Allow takes one call of a key, if there is one; else it returns when there will be.
// A nil Limiter allows everything.
func (l *Limiter) Allow(key string) (ok bool, again time.Duration) {
	if l == nil {
		return true, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if now.Sub(l.rotated) >= l.period || len(l.current) >= maxKeys {
		l.previous, l.current, l.rotated = l.current, make(map[string]*rate.Limiter), now
	}
	bucket := l.current[key]
	if bucket == nil {
		if bucket = l.previous[key]; bucket == nil {
			bucket = rate.NewLimiter(l.limit, l.burst)
		}
		l.current[key] = bucket
	}
	r := bucket.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return false, wait
	}
	return true, 0
}
