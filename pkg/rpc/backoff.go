package rpc

import (
	"cmp"
	"context"
	"iter"
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
func (b *Backoff) Wait(ctx context.Context) error { return Sleep(ctx, b.Next()) }

// Sleep pauses until d has passed, or until ctx ends, whose error it then
// returns.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
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
	lo := cmp.Or(b.Min, 100*time.Millisecond)
	hi := max(cmp.Or(b.Max, 5*time.Second), lo)
	d := min(max(b.next, lo), hi)
	b.next = min(2*d, hi)
	return d/2 + rand.N(d/2+1)
}

// Reset starts over with Min, after a success.
func (b *Backoff) Reset() { b.next = 0 }

// Ticks comes round after every interval, until ctx ends.
func Ticks(ctx context.Context, interval time.Duration) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				if !yield(now) {
					return
				}
			}
		}
	}
}
