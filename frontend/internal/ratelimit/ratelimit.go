// Package ratelimit limits how often each of very many callers may do something: in
// this process, and with [Limiter.Share] in all that share a Redis.
package ratelimit

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxKeys bounds the keys that are remembered.
const maxKeys = 1 << 20

// Limiter is a token bucket for each key. It is safe for concurrent use.
type Limiter struct {
	limit    rate.Limit
	interval time.Duration
	burst    int
	now      func() time.Time
	// shared is nil for a limit of this process alone.
	shared *Shared
	prefix string

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
		limit: rate.Every(interval), interval: interval, burst: burst, now: now,
		period:  time.Duration(min(float64(interval)*float64(burst), math.MaxInt64/2)),
		current: make(map[string]*rate.Limiter), rotated: now(),
	}
}

// Share has Redis count too, under keys that begin with a prefix: what all who share it
// allow together is the limit then. It is called before any Allow. Processes with another
// interval or burst, as while these are changed, count under other keys. Calls that this
// process alone would refuse do not reach Redis, and while that does not answer each process
// limits for itself.
func (l *Limiter) Share(s *Shared, prefix string) *Limiter {
	l.shared, l.prefix = s, fmt.Sprintf("%s%v/%d:", prefix, l.interval, l.burst)
	return l
}

// Allow takes one call of a key, if there is one; else it returns when there will be.
// A nil Limiter allows everything.
func (l *Limiter) Allow(ctx context.Context, key string) (ok bool, again time.Duration) {
	if l == nil {
		return true, 0
	}
	if ok, again = l.allow(key); !ok || l.shared == nil {
		return ok, again
	}
	again = l.shared.take(ctx, l.prefix+key, l.interval, l.burst)
	return again == 0, again
}

// allow is Allow of this process.
func (l *Limiter) allow(key string) (ok bool, again time.Duration) {
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
