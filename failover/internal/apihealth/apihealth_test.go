package apihealth_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	testclock "k8s.io/utils/clock/testing"

	"torikumi/failover/internal/apihealth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type harness struct {
	*testing.T
	clock   *testclock.FakeClock
	monitor *apihealth.Monitor
	fails   atomic.Bool
	probes  int
}

// start makes a monitor in a bubble: whatever a step of its clock sets off is
// over when the step returns.
func start(t *testing.T) *harness {
	r := &harness{T: t, clock: testclock.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))}
	r.monitor = apihealth.New(r.clock, still(), 5*time.Second, func(context.Context) error {
		r.probes++
		if r.fails.Load() {
			return errors.New("connection refused")
		}
		return nil
	}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.monitor.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return r
}

func (r *harness) pass(d time.Duration) {
	r.Helper()
	before := r.probes
	r.clock.Step(d)
	synctest.Wait()
	if r.probes != before+1 {
		r.Fatalf("%d probes within %s", r.probes-before, d)
	}
}

// begins checks when the view begins.
func (r *harness) begins(want time.Time) {
	r.Helper()
	if got := r.monitor.Since(); !got.Equal(want) {
		r.Fatalf("the view begins at %v, want %v", got, want)
	}
}

func TestView(t *testing.T) { synctest.Test(t, testView) }

func testView(t *testing.T) {
	r := start(t)
	begin := r.clock.Now()
	r.begins(begin)
	for range 10 {
		r.pass(5 * time.Second)
	}
	r.begins(begin)

	r.fails.Store(true) // while it is broken, it begins now, whenever that is
	r.pass(5 * time.Second)
	r.begins(r.clock.Now())
	r.clock.SetTime(r.clock.Now().Add(time.Second))
	r.begins(r.clock.Now())

	r.fails.Store(false)
	r.pass(4 * time.Second)
	again := r.clock.Now()
	r.begins(again)
	r.pass(5 * time.Second)
	r.begins(again)

	r.pass(time.Hour) // the process stood still, or the clock jumped
	r.begins(r.clock.Now())
}

func TestNoViewBeforeTheStart(t *testing.T) {
	c := testclock.NewFakeClock(time.Unix(1e9, 0))
	k := apihealth.New(c, still(), time.Second, nil, slog.New(slog.DiscardHandler))
	c.Step(time.Hour)
	if !k.Since().Equal(c.Now()) {
		t.Errorf("before the start the view begins at %v", k.Since())
	}
}
