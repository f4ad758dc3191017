package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"torikumi/frontend/internal/ratelimit"
	"torikumi/pkg/eventually"
	"torikumi/pkg/redistest"
)

func shared(client redis.Scripter) *ratelimit.Shared {
	return patient(ratelimit.NewShared(client, slog.New(slog.DiscardHandler), nil))
}

// patient has a Redis that is slow, as on a busy machine, count all the same.
func patient(s *ratelimit.Shared) *ratelimit.Shared {
	s.Patience = time.Minute
	return s
}

// TestLimiter: each key has its own calls, and what is forgotten changes nothing.
func TestLimiter(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	l := ratelimit.New(time.Second, 3, func() time.Time { return now })
	for _, key := range []string{"a", "b"} {
		for i := range 5 {
			if ok, again := l.Allow(t.Context(), key); ok != (i < 3) || !ok && again != time.Second {
				t.Errorf("call %d of %s: %v, again in %v", i, key, ok, again)
			}
		}
	}
	now = now.Add(999 * time.Millisecond)
	if ok, again := l.Allow(t.Context(), "a"); ok || again != time.Millisecond {
		t.Errorf("after 999 ms: %v, %v", ok, again)
	}
	now = now.Add(time.Millisecond)
	if ok, _ := l.Allow(t.Context(), "a"); !ok {
		t.Error("after a second: refused")
	}
	if ok, _ := (*ratelimit.Limiter)(nil).Allow(t.Context(), "a"); !ok {
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
		ok, _ := l.Allow(t.Context(), key)
		if near := tokens[key] > 0.999 && tokens[key] < 1.001; !near && ok != (tokens[key] >= 1) {
			t.Fatalf("%s with %v left: %v", key, tokens[key], ok)
		}
		if ok {
			tokens[key]--
		}
	}
}

// TestShared: several processes allow together what one would, by Redis's clock, and what
// is counted is forgotten by itself.
func TestShared(t *testing.T) {
	redistest.Each(t, func(t *testing.T, address string) {
		client := redis.NewClient(&redis.Options{Addr: address})
		defer client.Close()
		limiter := func() *ratelimit.Limiter { return ratelimit.New(time.Hour, 3, nil).Share(shared(client), "limit:") }
		a, b := limiter(), limiter()
		var got []bool
		for i := range 6 {
			ok, again := []*ratelimit.Limiter{a, b}[i%2].Allow(t.Context(), "alice")
			if got = append(got, ok); !ok && (again > time.Hour || again < 59*time.Minute) {
				t.Errorf("call %d: again in %v", i, again)
			}
		}
		if want := []bool{true, true, true, false, false, false}; !slices.Equal(got, want) {
			t.Errorf("two processes allow %v, want %v", got, want)
		}
		if ok, _ := b.Allow(t.Context(), "bob"); !ok {
			t.Error("another key is refused")
		}
		if left := client.PTTL(t.Context(), "limit:1h0m0s/3:alice").Val(); left <= 2*time.Hour || left > 3*time.Hour {
			t.Errorf("the key of an empty bucket is kept for %v", left)
		}
		quick := func() *ratelimit.Limiter {
			return ratelimit.New(20*time.Millisecond, 1, nil).Share(shared(client), "quick:")
		}
		if ok, _ := quick().Allow(t.Context(), "alice"); !ok {
			t.Error("the first is refused")
		}
		eventually.True(t, "one more comes with time", func() bool { ok, _ := quick().Allow(t.Context(), "alice"); return ok })
	})
}

// TestSharedClockSetBack: a bucket that is full in a far future is no more than empty.
func TestSharedClockSetBack(t *testing.T) {
	store := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: store.Addr()})
	defer client.Close()
	now := time.Unix(2_000_000_000, 0)
	store.SetTime(now)
	l := ratelimit.New(time.Second, 2, func() time.Time { return now }).Share(shared(client), "")
	for i, want := range []bool{true, true, false} {
		if ok, _ := l.Allow(t.Context(), "alice"); ok != want {
			t.Errorf("call %d: %v", i, ok)
		}
	}
	store.SetTime(now.Add(-24 * time.Hour))
	now = now.Add(time.Hour) // this process allows it
	if ok, again := l.Allow(t.Context(), "alice"); ok || again != time.Second {
		t.Errorf("a day earlier: %v, again in %v", ok, again)
	}
	store.SetTime(now.Add(time.Second - 25*time.Hour))
	if ok, again := l.Allow(t.Context(), "alice"); !ok {
		t.Errorf("and a second after that: again in %v", again)
	}
}

// failing counts the scripts that are run, and has them fail.
type failing struct {
	redis.Scripter
	err   error
	calls int
}

func (f *failing) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	f.calls++
	if f.err != nil {
		cmd := redis.NewCmd(ctx)
		cmd.SetErr(f.err)
		return cmd
	}
	return f.Scripter.EvalSha(ctx, sha, keys, args...)
}

// TestSharedAway: while Redis is away each process limits for itself. Redis is asked by one
// call a second, whoever calls for whichever limit, also if the clock is set back meanwhile, and
// the log says so once.
func TestSharedAway(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	defer client.Close()
	now := time.Unix(1_000_000_000, 0)
	clock := func() time.Time { return now }
	var log bytes.Buffer
	store := &failing{Scripter: client, err: errors.New("away")}
	s := patient(ratelimit.NewShared(store, slog.New(slog.NewTextHandler(&log, nil)), clock))
	one, other := ratelimit.New(time.Hour, 3, clock).Share(s, "one:"), ratelimit.New(time.Hour, 100, clock).Share(s, "other:")
	for i := range 5 {
		if ok, _ := one.Allow(t.Context(), "alice"); ok != (i < 3) {
			t.Errorf("call %d: %v", i, ok)
		}
		if ok, _ := other.Allow(t.Context(), "alice"); !ok {
			t.Errorf("call %d of the other limit is refused", i)
		}
	}
	for want := 1; want <= 3; want++ {
		if store.calls != want {
			t.Errorf("Redis was asked %d times, want %d", store.calls, want)
		}
		now = now.Add(time.Second)
		for range 3 {
			other.Allow(t.Context(), "alice")
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "error=away") {
		t.Errorf("logged %q, want one line with the error", text)
	}
	now = now.Add(-time.Hour)
	asked := store.calls
	for range 3 {
		other.Allow(t.Context(), "alice")
	}
	if store.calls != asked+1 {
		t.Errorf("the clock was set back by an hour: Redis was asked %d times, want once", store.calls-asked)
	}
	store.err = nil
	now = now.Add(time.Second)
	before := store.calls
	for range 3 {
		other.Allow(t.Context(), "alice")
	}
	if store.calls-before < 3 {
		t.Errorf("Redis is back, and was asked by %d of 3 calls", store.calls-before)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 {
		t.Errorf("logged %q, want that Redis is back", text)
	}
}

// TestSharedCallerGone: a caller who has gone says nothing of Redis.
func TestSharedCallerGone(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	defer client.Close()
	var log bytes.Buffer
	l := ratelimit.New(time.Hour, 3, nil).Share(patient(ratelimit.NewShared(client, slog.New(slog.NewTextHandler(&log, nil)), nil)), "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, _ := l.Allow(ctx, "alice"); !ok || log.Len() > 0 {
		t.Errorf("allowed: %v, logged: %q", ok, log.String())
	}
	for range 2 { // this process has none left
		l.Allow(t.Context(), "alice")
	}
	if left := client.Keys(t.Context(), "*alice").Val(); len(left) != 1 {
		t.Errorf("Redis has counted under %q, want one key", left)
	}
}

// TestSharedChanged: while the limits are changed, processes with the old ones and with the
// new do not count in each other's buckets.
func TestSharedChanged(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	defer client.Close()
	of := func(interval time.Duration, burst int) *ratelimit.Limiter {
		return ratelimit.New(interval, burst, nil).Share(shared(client), "")
	}
	for range 10 { // takes ten hours of a bucket
		of(time.Hour, 10).Allow(t.Context(), "alice")
	}
	for _, l := range []*ratelimit.Limiter{of(time.Minute, 10), of(time.Hour, 3)} {
		if ok, again := l.Allow(t.Context(), "alice"); !ok {
			t.Errorf("refused by other limits than its own, again in %v", again)
		}
	}
}
