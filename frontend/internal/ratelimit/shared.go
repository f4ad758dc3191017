package ratelimit

import (
	"context"
	_ "embed"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"torikumi/pkg/rpc"
)

const (
	// patience is how long Redis may take to count a call.
	patience = 500 * time.Millisecond
	// pause is for how long Redis is not asked after it has failed.
	pause = time.Second
)

//go:embed take.lua
var takeSource string

var takeScript = redis.NewScript(takeSource)

// Shared is a Redis in which several processes count, by its clock. It is safe for
// concurrent use.
type Shared struct {
	// Patience is how long Redis may take to count a call; NewShared sets 500 ms.
	Patience time.Duration

	redis  redis.Scripter
	now    func() time.Time
	health *rpc.Health
	// retry is when Redis is asked again that has failed, in ns; 0 while it answers.
	retry atomic.Int64
}

// NewShared makes one. now is the clock by which it pauses; nil means time.Now.
func NewShared(client redis.Scripter, logger *slog.Logger, now func() time.Time) *Shared {
	if now == nil {
		now = time.Now
	}
	return &Shared{Patience: patience, redis: client, now: now, health: rpc.NewHealth(logger,
		"limits cannot be counted in Redis: each frontend allows players as much as all together should",
		"limits are counted in Redis again")}
}

// take returns in how long a key has a call, or 0 if it had one or nobody can tell.
func (s *Shared) take(ctx context.Context, key string, interval time.Duration, burst int) time.Duration {
	if !s.asks() {
		return 0
	}
	call, cancel := context.WithTimeout(ctx, s.Patience)
	defer cancel()
	wait, err := takeScript.Run(call, s.redis, []string{key}, max(1, interval.Microseconds()), burst).Int64()
	switch {
	case err == nil:
		s.retry.Store(0)
		s.health.Up()
	case ctx.Err() == nil: // else it is the caller who has gone
		s.retry.Store(s.now().Add(pause).UnixNano())
		s.health.Down(err)
	}
	return time.Duration(wait) * time.Microsecond
}

// asks reports whether Redis is to be asked: after it has failed by one call each pause,
// and the others do not wait for it. It is too if the clock has been set back.
func (s *Shared) asks() bool {
	retry, now := s.retry.Load(), s.now()
	if retry == 0 {
		return true
	}
	left := time.Duration(retry - now.UnixNano())
	return (left <= 0 || left > pause) && s.retry.CompareAndSwap(retry, now.Add(pause).UnixNano())
}
