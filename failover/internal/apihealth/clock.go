package apihealth

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"torikumi/failover/internal/decide"
)

// slack is what the wall clock may be adjusted by without anyone's notice.
const slack = 2 * time.Second

// kept is how many skips are remembered.
const kept = 32

// Clock notices when the wall clock is set. Make one with NewClock. The machine
// being suspended counts as such, because no timer could be looked at.
type Clock struct {
	now func() (wall time.Time, steady time.Duration)
	log *slog.Logger

	mu     sync.Mutex
	offset time.Duration // the wall clock, seen from the steady one
	skips  []decide.Skip
}

// NewClock begins to watch. The wall clock may be set; the steady one goes on
// whatever happens, from any beginning.
func NewClock(now func() (wall time.Time, steady time.Duration), log *slog.Logger) *Clock {
	c := &Clock{now: now, log: log}
	c.Begin()
	return c
}

// Begin forgets what was before: nobody's wait has run then.
func (c *Clock) Begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, steady := c.now()
	c.offset, c.skips = ahead(wall, steady), nil
}

// System is this machine's clocks, to be given to NewClock.
func System() func() (time.Time, time.Duration) {
	began := time.Now()
	return func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Round(0), now.Sub(began) // Round drops the steady clock
	}
}

func ahead(wall time.Time, steady time.Duration) time.Duration {
	return wall.Sub(time.Unix(0, 0).Add(steady))
}

// Skips are the spans that the clock was set forward over and not back again,
// in their order, up to now.
func (c *Clock) Skips() []decide.Skip {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, steady := c.now()
	offset := ahead(wall, steady)
	by := offset - c.offset
	if by.Abs() <= slack {
		return c.skips
	}
	c.log.Warn("the clock was set: waits are as long as they would have been", "by", by)
	c.offset = offset
	// A slice that was given away is not changed.
	skips := slices.Clone(c.skips)
	if by > 0 {
		skips = append(skips, decide.Skip{From: wall.Add(-by), To: wall})
	}
	for back := -by; back > 0 && len(skips) > 0; {
		last := &skips[len(skips)-1]
		over := last.To.Sub(last.From)
		if over > back {
			last.To = last.To.Add(-back)
			break
		}
		back -= over
		skips = skips[:len(skips)-1]
	}
	c.skips = skips[max(0, len(skips)-kept):]
	return c.skips
}
