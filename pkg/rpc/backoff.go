package rpc

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff waits longer after each failure: Min, then twice as long each time
// up to Max, of which a random half is left out so that clients of the same
// server do not come back in step. The zero value waits from 100 ms to 5 s.
// It is not safe for concurrent use.
type Backoff struct {
	Min, Max time.Duration

	next time.Duration
}

// Wait sleeps until the next try is due, or until ctx ends, whose error it
// then returns.
func (b *Backoff) Wait(ctx context.Context) error {
	t := time.NewTimer(b.Next())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Next returns how long to wait, and makes the next wait longer.
func (b *Backoff) Next() time.Duration {
	lo, hi := b.Min, b.Max
	if lo <= 0 {
		lo = 100 * time.Millisecond
	}
	if hi <= 0 {
		hi = 5 * time.Second
	}
	hi = max(hi, lo)
	d := min(max(b.next, lo), hi)
	b.next = min(2*d, hi)
	return d/2 + rand.N(d/2+1)
}

// Reset starts over with Min, after a success.
func (b *Backoff) Reset() { b.next = 0 }
