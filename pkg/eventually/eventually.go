// Package eventually waits in tests for a condition, so that no test sleeps.
package eventually

import (
	"errors"
	"testing"
	"time"
)

// limit is generous, for a busy machine; a test that passes does not wait for it.
const limit = 30 * time.Second

// The condition is polled often at first, for tests that are soon done, and then
// less often, for conditions that cost something.
const (
	firstPoll = time.Millisecond
	lastPoll  = 25 * time.Millisecond
)

// True waits up to 30 s for a condition. After that it fails the test, and says
// what it waited for.
func True(t testing.TB, what string, condition func() bool) {
	t.Helper()
	NoError(t, what, func() error {
		if condition() {
			return nil
		}
		return errors.New("not true")
	})
}

// NoError waits up to 30 s for a condition that says what it lacks. After that
// it fails the test with the last error.
func NoError(t testing.TB, what string, condition func() error) {
	t.Helper()
	Within(t, limit, what, condition)
}

// Within is NoError with a limit of the caller's, for a system that is slow by
// its settings.
func Within(t testing.TB, limit time.Duration, what string, condition func() error) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for poll := firstPoll; ; poll = min(2*poll, lastPoll) {
		err := condition()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s: %v", limit, what, err)
		case <-time.After(poll):
		}
	}
}
