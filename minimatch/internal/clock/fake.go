package clock

import (
	"slices"
	"sync"
	"time"
)

// Fake is a clock that stands still until it is advanced. Create it with
// NewFake; it is safe for concurrent use.
type Fake struct {
	mu      sync.Mutex
	now     time.Time
	timers  map[*fakeTimer]struct{}
	changed chan struct{}
}

type fakeTimer struct {
	clock *Fake
	due   time.Time
	f     func()
}

// NewFake returns a clock that shows start.
func NewFake(start time.Time) *Fake {
	return &Fake{now: start, timers: map[*fakeTimer]struct{}{}, changed: make(chan struct{})}
}

// Now is the time to which the clock was advanced last.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// AfterFunc calls back during the Advance that reaches the time.
func (f *Fake) AfterFunc(d time.Duration, callback func()) Timer {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := &fakeTimer{clock: f, due: f.now.Add(d), f: callback}
	f.timers[t] = struct{}{}
	close(f.changed)
	f.changed = make(chan struct{})
	return t
}

// Advance moves the clock forward, and returns when every callback that is due
// has returned. They run in the order of their times; what they set in turn
// waits for the next Advance.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	f.now = f.now.Add(d)
	var due []*fakeTimer
	for t := range f.timers {
		if !t.due.After(f.now) {
			due = append(due, t)
			delete(f.timers, t)
		}
	}
	f.mu.Unlock()
	slices.SortFunc(due, func(a, b *fakeTimer) int { return a.due.Compare(b.due) })
	for _, t := range due {
		t.f()
	}
}

// Waiting counts the timers that have neither fired nor been stopped, and
// returns a channel that is closed when the next one is set. A test waits with
// it until the code under test has set its timer, and only then advances.
func (f *Fake) Waiting() (int, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.timers), f.changed
}

// Stop takes the timer off its clock.
func (t *fakeTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	_, pending := t.clock.timers[t]
	delete(t.clock.timers, t)
	return pending
}
