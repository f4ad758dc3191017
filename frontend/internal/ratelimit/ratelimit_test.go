package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"torikumi/frontend/internal/ratelimit"
)

// TestLimiter: each key has its own calls, and what is forgotten changes nothing.
func TestLimiter(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	l := ratelimit.New(time.Second, 3, func() time.Time { return now })
	for _, key := range []string{"a", "b"} {
		for i := range 5 {
			if ok, again := l.Allow(key); ok != (i < 3) || !ok && again != time.Second {
				t.Errorf("call %d of %s: %v, again in %v", i, key, ok, again)
			}
		}
	}
	now = now.Add(999 * time.Millisecond)
	if ok, again := l.Allow("a"); ok || again != time.Millisecond {
		t.Errorf("after 999 ms: %v, %v", ok, again)
	}
	now = now.Add(time.Millisecond)
	if ok, _ := l.Allow("a"); !ok {
		t.Error("after a second: refused")
	}
	if ok, _ := (*ratelimit.Limiter)(nil).Allow("a"); !ok {
		t.Error("no limit refuses")
	}
}

// TestForgets compares with counting: over any time nobody gets more than the burst and
// one for each interval, and nobody who waits gets less.
func TestForgets(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	l := ratelimit.New(time.Second, 3, func() time.Time { return now })
	r := rand.New(rand.NewPCG(1, 1))
	tokens, at := map[string]float64{}, map[string]time.Time{}
	for range 20_000 {
		now = now.Add(time.Duration(r.IntN(300)) * time.Millisecond)
		key := fmt.Sprint(r.IntN(3))
		if _, ok := at[key]; !ok {
			tokens[key] = 3
		}
		tokens[key] = min(3, tokens[key]+now.Sub(at[key]).Seconds())
		at[key] = now
		ok, _ := l.Allow(key)
		if near := tokens[key] > 0.999 && tokens[key] < 1.001; !near && ok != (tokens[key] >= 1) {
			t.Fatalf("%s with %v left: %v", key, tokens[key], ok)
		}
		if ok {
			tokens[key]--
		}
	}
}
