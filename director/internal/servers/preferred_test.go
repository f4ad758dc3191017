package servers_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/director/internal/servers"
)

// fixed is an allocator whose calls all have one effect.
type fixed struct {
	effect call.Effect
	takes  time.Duration
	calls  atomic.Int64
}

func (f *fixed) Allocate(ctx context.Context, _ *match.Match, _ servers.Selector) (servers.Server, call.Effect, error) {
	f.calls.Add(1)
	select {
	case <-time.After(f.takes):
	case <-ctx.Done():
		return servers.Server{}, call.NotSent, ctx.Err()
	}
	if f.effect == call.Done {
		return servers.Server{Name: "gs"}, call.Done, nil
	}
	return servers.Server{}, f.effect, errors.New(f.effect.String())
}

func preferred(first, second *fixed) *servers.Preferred {
	return servers.NewPreferred(slog.New(slog.DiscardHandler), servers.Named{Name: "first", Allocator: first}, servers.Named{Name: "second", Allocator: second})
}

func TestPreferredAsksTheNextOnlyIfNothingHasHappened(t *testing.T) {
	for _, c := range []struct {
		first, second, want call.Effect
		asked               int64 // how often the second is asked
	}{
		{call.Done, call.Done, call.Done, 0},
		{call.Busy, call.Done, call.Busy, 0},
		{call.Unknown, call.Done, call.Unknown, 0},
		{call.NotSent, call.Done, call.Done, 1},
		{call.NotSent, call.Busy, call.Busy, 1},
		{call.NotSent, call.Unknown, call.Unknown, 1},
		{call.NotSent, call.NotSent, call.NotSent, 1},
		{call.NotSent, call.Refused, call.NotSent, 1},
		{call.Refused, call.NotSent, call.NotSent, 1},
		{call.Refused, call.Done, call.Done, 1},
		{call.Refused, call.Refused, call.Refused, 1},
	} {
		first, second := &fixed{effect: c.first}, &fixed{effect: c.second}
		s, effect, err := preferred(first, second).Allocate(t.Context(), nil, servers.Selector{})
		if effect != c.want || (err == nil) != (effect == call.Done) || (s.Name != "") != (effect == call.Done) || second.calls.Load() != c.asked {
			t.Errorf("%v, %v: %v, %v, %v; the second was asked %d times", c.first, c.second, s, effect, err, second.calls.Load())
		}
	}
}

// TestPreferredLetsRest: an allocator that is away costs few calls, however many
// matches there are, and is found again.
func TestPreferredLetsRest(t *testing.T) {
	for _, away := range []call.Effect{call.NotSent, call.Refused} {
		synctest.Test(t, func(t *testing.T) {
			first, second := &fixed{effect: away}, &fixed{effect: call.Done}
			p := preferred(first, second)
			const matches = 6000
			for range matches {
				if _, effect, err := p.Allocate(t.Context(), nil, servers.Selector{}); effect != call.Done {
					t.Fatal(effect, err)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if n := first.calls.Load(); n < 10 || n > 60 {
				t.Errorf("%v: asked %d times in ten minutes", away, n)
			}
			if n := second.calls.Load(); n != matches {
				t.Errorf("%v: the second was asked %d times", away, n)
			}
			first.effect = call.Done
			time.Sleep(31 * time.Second)
			before := second.calls.Load()
			for range 10 {
				if _, effect, err := p.Allocate(t.Context(), nil, servers.Selector{}); effect != call.Done {
					t.Fatal(effect, err)
				}
			}
			if n := second.calls.Load(); n != before {
				t.Errorf("%v: the second was asked %d times after the first came back", away, n-before)
			}
		})
	}
}

// TestPreferredTriesOneAtATime: of many matches at a time, one finds out whether an
// allocator is back; and one that hangs leaves time for the next.
func TestPreferredTriesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := &fixed{effect: call.Done, takes: time.Hour}, &fixed{effect: call.Done}
		p := preferred(first, second)
		together := func() {
			var running sync.WaitGroup
			for range 64 {
				running.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					if _, effect, err := p.Allocate(ctx, nil, servers.Selector{}); effect != call.Done {
						t.Errorf("%v, %v", effect, err)
					}
				})
			}
			running.Wait()
		}
		together()
		before := first.calls.Load()
		time.Sleep(2 * time.Second)
		together()
		if n := first.calls.Load() - before; n != 1 {
			t.Errorf("the first was tried %d times", n)
		}
	})
}

func TestPreferredIsReadyWithOne(t *testing.T) {
	answer := func(err error) servers.Named {
		return servers.Named{Name: "x", Ready: func(context.Context) error { return err }}
	}
	lost := errors.New("no connection")
	log := slog.New(slog.DiscardHandler)
	if err := servers.NewPreferred(log, answer(lost), answer(nil)).Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := servers.NewPreferred(log, answer(lost), answer(lost)).Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "x: no connection") {
		t.Error(err)
	}
}
