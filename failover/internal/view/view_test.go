package view_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	testclock "k8s.io/utils/clock/testing"

	"torikumi/failover/internal/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type rig struct {
	*testing.T
	clock  *testclock.FakeClock
	keeper *view.Keeper
	fails  atomic.Bool
	probed chan struct{}
}

func start(t *testing.T) *rig {
	r := &rig{T: t, clock: testclock.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)), probed: make(chan struct{}, 1)}
	r.keeper = view.New(r.clock, 5*time.Second, func(context.Context) error {
		defer func() { r.probed <- struct{}{} }()
		if r.fails.Load() {
			return errors.New("connection refused")
		}
		return nil
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.keeper.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	r.wait()
	return r
}

// wait returns when a probe has been made and taken in.
func (r *rig) wait() {
	<-r.probed
	for !r.clock.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
}

func (r *rig) pass(d time.Duration) {
	r.clock.Step(d)
	r.wait()
}

// settles waits until the view begins at the given instant.
func (r *rig) settles(want time.Time) {
	r.Helper()
	for range 1000 {
		if r.keeper.Since().Equal(want) {
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.Fatalf("the view begins at %v, want %v", r.keeper.Since(), want)
}

func TestView(t *testing.T) {
	r := start(t)
	begin := r.clock.Now()
	r.settles(begin)
	for range 10 {
		r.pass(5 * time.Second)
	}
	r.settles(begin)

	r.fails.Store(true) // while it is broken, it begins now, whenever that is
	r.pass(5 * time.Second)
	r.settles(r.clock.Now())
	r.clock.SetTime(r.clock.Now().Add(time.Second))
	r.settles(r.clock.Now())

	r.fails.Store(false)
	r.pass(4 * time.Second)
	again := r.clock.Now()
	r.settles(again)
	r.pass(5 * time.Second)
	r.settles(again)

	r.pass(time.Hour) // the process stood still, or the clock jumped
	r.settles(r.clock.Now())
}

func TestNoViewBeforeTheStart(t *testing.T) {
	c := testclock.NewFakeClock(time.Unix(1e9, 0))
	k := view.New(c, time.Second, nil, slog.New(slog.DiscardHandler))
	c.Step(time.Hour)
	if !k.Since().Equal(c.Now()) {
		t.Errorf("before the start the view begins at %v", k.Since())
	}
}
