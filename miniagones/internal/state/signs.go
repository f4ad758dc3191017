package state

import "time"

// Signs counts the signs of life of one server by the rules of Health. The zero
// value expects none.
type Signs struct {
	health Health
	// next is the next check; zero while no signs are expected.
	next, last time.Time
	misses     int
}

// Expect begins to count.
func (s *Signs) Expect(h Health, now time.Time) {
	if h.Disabled {
		return
	}
	if s.last.IsZero() {
		s.last = now
	}
	s.health, s.next = h, now.Add(h.InitialDelay)
}

// Seen notes a sign of life.
func (s *Signs) Seen(now time.Time) { s.last, s.misses = now, 0 }

// Next is when Check has to be called; zero: not at all.
func (s *Signs) Next() time.Time { return s.next }

// Check looks at the signs, if it is time, and reports whether the server counts as
// dead, and for how long there has been no sign of it.
func (s *Signs) Check(now time.Time) (silent time.Duration, dead bool) {
	if s.next.IsZero() || s.next.After(now) {
		return 0, false
	}
	if s.last.Add(s.health.Period).Before(now) {
		s.misses++
	}
	// One check at a time: a computer that was asleep has not heard its
	// servers, which says nothing of them.
	if s.next = s.next.Add(s.health.Period); !s.next.After(now) {
		s.next = now.Add(s.health.Period)
	}
	return now.Sub(s.last), s.misses >= s.health.FailureThreshold
}
