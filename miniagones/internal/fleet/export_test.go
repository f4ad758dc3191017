package fleet

import "torikumi/miniagones/internal/state"

// Snapshot is the fleet at one moment.
type Snapshot struct {
	// Servers by name.
	Servers []*Server
	Totals  state.Totals
	// LastFailure is nil as long as there was none. FailuresInARow counts the
	// pauses that failures have caused since a server last became Ready.
	LastFailure    *state.Failure
	FailuresInARow int
}

// Snapshot returns the fleet as it is now.
func (f *Fleet) Snapshot() Snapshot {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := Snapshot{Servers: f.state.List("", nil), Totals: f.state.Totals()}
	s.LastFailure, s.FailuresInARow = f.state.LastFailure()
	return s
}
