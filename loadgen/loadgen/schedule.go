package loadgen

import (
	"context"
	"math"
	"time"
)

// schedule says when each ticket is due. It does not know what became of the
// tickets before.
type schedule struct {
	start time.Time
	rate  float64 // tickets per second
	total int
}

// newSchedule plans the tickets of one run: rate times duration, rounded up so
// that each region gets as many as fill its matches.
func newSchedule(rate float64, duration time.Duration, regions, size int) schedule {
	total := int(math.Round(rate * duration.Seconds()))
	if group := max(regions, 1) * max(size, 1); total%group != 0 {
		total += group - total%group
	}
	if rate == 0 {
		total = 0
	}
	return schedule{rate: rate, total: total}
}

func (s *schedule) at(i int) time.Time {
	return s.start.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
}

func (s *schedule) due(now time.Time) int {
	if s.total == 0 || now.Before(s.start) {
		return 0
	}
	n := int(min(now.Sub(s.start).Seconds()*s.rate, float64(s.total))) + 1
	// Rounding can be off by one either way.
	for n < s.total && !s.at(n).After(now) {
		n++
	}
	n = min(n, s.total)
	for n > 0 && s.at(n-1).After(now) {
		n--
	}
	return n
}

// pause is the least time between two looks at the clock: tickets that are due
// within it are started together.
const pause = time.Millisecond

// run calls start for each ticket when it is due, until all are or ctx ends.
// Start must not block.
func (s *schedule) run(ctx context.Context, start func(i int)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := 0; next < s.total; {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		for n := s.due(time.Now()); next < n; next++ {
			start(next)
		}
		if next < s.total {
			timer.Reset(max(time.Until(s.at(next)), pause))
		}
	}
}
