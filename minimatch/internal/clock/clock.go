// Package clock is the time that minimatch runs on: the timeouts of pending
// and assigned tickets and the windows of a match cycle. A player's wait is
// measured against it, so tests replace it with one they move by hand.
package clock

import "time"

// Clock tells the time and calls back later. Implementations are safe for
// concurrent use.
type Clock interface {
	// Now is the present time. Durations between two results never go
	// backwards, even when the machine's wall clock is set.
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a callback that has not happened yet.
type Timer interface {
	// Stop prevents the callback and reports whether it did: false means that
	// the callback has run, is running, or was stopped before.
	Stop() bool
}

// Real is the machine's clock. The zero value is ready for use.
type Real struct{}

// Now is time.Now.
func (Real) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (Real) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
