package state

import (
	"container/heap"
	"errors"
	"maps"
	"time"
)

// What can be wrong with a call.
var (
	ErrNotFound     = errors.New("no such game server")
	ErrPrecondition = errors.New("the game server is another one")
	ErrNoneFits     = errors.New("no game server fits")
)

// Placed tells that a server has an address and ports.
func (m *Fleet) Placed(name, address, node string, ports []Port) {
	m.advance(name, Creating, func(s *Server) {
		s.Address, s.NodeName, s.Ports = address, node, ports
	})
}

// Starting tells that a server's surroundings stand and its program is next.
func (m *Fleet) Starting(name string) { m.advance(name, Starting, nil) }

// Started tells that a server's program runs: from now on signs of life are
// counted.
func (m *Fleet) Started(name string, now time.Time) {
	r := m.servers[name]
	if r == nil || r.cur.Going() {
		return
	}
	if !m.cfg.Health.Disabled {
		if r.lastSign.IsZero() {
			r.lastSign = now
		}
		r.nextCheck = now.Add(m.cfg.Health.InitialDelay)
		m.schedule(r)
	}
	m.advance(name, Scheduled, nil)
}

// order ranks the states that a server goes through before it says anything.
func order(s State) int {
	switch s {
	case PortAllocation:
		return 0
	case Creating:
		return 1
	case Starting:
		return 2
	case Scheduled:
		return 3
	}
	return 4
}

// advance moves a server forward, never back: a quick program may have called
// Ready before its start was reported.
func (m *Fleet) advance(name string, to State, edit func(*Server)) {
	r := m.servers[name]
	if r == nil || r.cur.Going() || order(r.cur.State) >= order(to) {
		return
	}
	m.move(r, to, edit)
}

// Exited tells that a server's program has ended. Nobody having asked it to
// makes the server Unhealthy.
func (m *Fleet) Exited(name string, f Failure) { m.broke(name, Unhealthy, f) }

// Failed tells that a server could not be started.
func (m *Fleet) Failed(name string, f Failure) { m.broke(name, Error, f) }

func (m *Fleet) broke(name string, to State, f Failure) {
	r := m.servers[name]
	if r == nil || r.cur.Going() {
		return
	}
	f.Server = name
	m.move(r, to, nil)
	m.fail(r, f)
}

// Gone tells that nothing is left of a server: no program, no port.
func (m *Fleet) Gone(name string) {
	r := m.servers[name]
	if r == nil {
		return
	}
	last := r.cur
	m.leave(last, nil)
	if r.slot >= 0 {
		heap.Remove(&m.timers, r.slot)
	}
	m.all.remove(name)
	delete(m.servers, name)
	m.totals.Gone++
	m.version++
	m.changes = append(m.changes, Change{Server: last, From: last.State, Gone: true})
}

// running returns the record of a server that may still change its state. A
// server on its way out is not an error: as in Agones the call has no effect.
func (m *Fleet) running(name string) (*record, error) {
	r := m.servers[name]
	if r == nil {
		return nil, ErrNotFound
	}
	if r.cur.Going() {
		return nil, nil
	}
	return r, nil
}

// SDKReady is the server's own word that it may be allocated. An Allocated
// server becomes Ready again, with its labels kept.
func (m *Fleet) SDKReady(name string) error {
	r, err := m.running(name)
	if r == nil {
		return err
	}
	m.move(r, RequestReady, nil)
	m.move(r, Ready, nil)
	return nil
}

// SDKAllocate is a server allocating itself.
func (m *Fleet) SDKAllocate(name string, now time.Time) error {
	r, err := m.running(name)
	if r == nil {
		return err
	}
	m.allocate(r, nil, nil, now)
	return nil
}

// SDKReserve keeps a server from being allocated for a while; zero or less:
// until it says otherwise.
func (m *Fleet) SDKReserve(name string, d time.Duration, now time.Time) error {
	r, err := m.running(name)
	if r == nil {
		return err
	}
	m.move(r, Reserved, func(s *Server) {
		if d > 0 {
			s.ReservedUntil = now.Add(d)
		}
	})
	return nil
}

// SDKShutdown is a server asking to be ended.
func (m *Fleet) SDKShutdown(name string) error {
	r, err := m.running(name)
	if r == nil {
		return err
	}
	m.move(r, Shutdown, nil)
	return nil
}

// SDKHealth is a sign of life.
func (m *Fleet) SDKHealth(name string, now time.Time) {
	if r := m.servers[name]; r != nil {
		r.lastSign, r.misses = now, 0
	}
}

// SDKLabel sets a label with Agones' prefix for labels of the SDK.
func (m *Fleet) SDKLabel(name, key, value string) error {
	r := m.servers[name]
	if r == nil {
		return ErrNotFound
	}
	next := *r.cur
	next.Labels = with(next.Labels, map[string]string{SDKPrefix + key: value})
	m.commit(r, &next)
	return nil
}

// SDKAnnotation sets an annotation with the same prefix.
func (m *Fleet) SDKAnnotation(name, key, value string) error {
	r := m.servers[name]
	if r == nil {
		return ErrNotFound
	}
	next := *r.cur
	next.Annotations = with(next.Annotations, map[string]string{SDKPrefix + key: value})
	m.commit(r, &next)
	return nil
}

// Delete tells a server to go, if it is still the one that the caller means:
// ErrPrecondition if uid, or a non-empty version, is another.
func (m *Fleet) Delete(namespace, name, uid, version string, now time.Time) error {
	r := m.servers[name]
	if r == nil || r.cur.Namespace != namespace {
		return ErrNotFound
	}
	if r.cur.UID != uid || (version != "" && version != FormatVersion(r.cur.ResourceVersion)) {
		return ErrPrecondition
	}
	m.remove(name, now)
	return nil
}

// with returns a copy of a map with more in it.
func with(m, more map[string]string) map[string]string {
	out := make(map[string]string, len(m)+len(more))
	maps.Copy(out, m)
	maps.Copy(out, more)
	return out
}
