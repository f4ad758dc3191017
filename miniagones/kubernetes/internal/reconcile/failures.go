package reconcile

import (
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// failures makes fleets pause whose servers end by themselves: min after the
// first, doubled with each further one, at most max. It ends with a server that
// did as it was asked, and when there was no failure for twice the longest
// pause. It is forgotten with the process: then there is one attempt more.
type failures struct {
	min, max time.Duration

	mu     sync.Mutex
	fleets map[client.ObjectKey]failing
}

type failing struct {
	count     int
	last      time.Time
	notBefore time.Time
}

func newFailures(o Options) *failures {
	return &failures{min: o.BackoffMin, max: o.BackoffMax, fleets: make(map[client.ObjectKey]failing)}
}

// note tells how a server of a fleet has ended.
func (f *failures) note(fleet client.ObjectKey, failed bool, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, known := f.fleets[fleet]
	if !failed || (known && now.Sub(s.last) > 2*f.max) {
		delete(f.fleets, fleet)
		s = failing{}
	}
	if !failed {
		return
	}
	s.last = now
	if !now.Before(s.notBefore) { // else it belongs to the same trouble
		pause := f.min
		for i := 0; i < s.count && pause < f.max; i++ {
			pause *= 2
		}
		s.count++
		s.notBefore = now.Add(min(pause, f.max))
	}
	f.fleets[fleet] = s
}

// wait is how long a fleet has to wait before it makes another server.
func (f *failures) wait(fleet client.ObjectKey, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(0, f.fleets[fleet].notBefore.Sub(now))
}

// forget drops a fleet that is no more.
func (f *failures) forget(fleet client.ObjectKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.fleets, fleet)
}
