package state

import (
	"container/heap"
	"errors"
	"maps"
	"time"

	"torikumi/miniagones/internal/counts"
	"torikumi/pkg/agones"
)

// What can be wrong with a call.
var (
	ErrNotFound     = errors.New("no such game server")
	ErrPrecondition = errors.New("the game server is another one")
	ErrNoneFits     = errors.New("no game server fits")
)

// Placed notes that a server has an address and ports.
func (f *Fleet) Placed(name, address, node string, ports []Port) {
	f.advance(name, InputPlaced, func(s *Server) {
		s.Address, s.NodeName, s.Ports = address, node, ports
	})
}

// Starting notes that a server's surroundings stand and its program is next.
func (f *Fleet) Starting(name string) { f.advance(name, InputStarting, nil) }

// Started notes that a server's program runs: from now on signs of life are
// counted.
func (f *Fleet) Started(name string, now time.Time) {
	r := f.servers[name]
	if r == nil || r.cur.Going() {
		return
	}
	r.signs.Expect(f.cfg.Health, now)
	f.schedule(r)
	f.advance(name, InputStarted, nil)
}

// advance moves a server forward, never back: a quick program may have called
// Ready before its start was reported.
func (f *Fleet) advance(name string, in Input, edit func(*Server)) {
	if r := f.servers[name]; r != nil && !r.cur.Going() {
		f.input(r, in, edit)
	}
}

// Exited notes that a server's program has ended. Nobody having asked it to
// makes the server Unhealthy.
func (f *Fleet) Exited(name string, failure Failure) { f.broke(name, InputExited, failure) }

// Failed notes that a server could not be started.
func (f *Fleet) Failed(name string, failure Failure) { f.broke(name, InputFailed, failure) }

func (f *Fleet) broke(name string, in Input, failure Failure) {
	r := f.servers[name]
	if r == nil || r.cur.Going() {
		return
	}
	failure.Server = name
	f.input(r, in, nil)
	f.fail(r, failure)
}

// Gone notes that nothing is left of a server: no program, no port.
func (f *Fleet) Gone(name string) {
	r := f.servers[name]
	if r == nil {
		return
	}
	last := r.cur
	f.leave(last, nil)
	if r.slot >= 0 {
		heap.Remove(&f.timers, r.slot)
	}
	if r.attached {
		f.attachedLen--
	}
	f.all.remove(name)
	delete(f.servers, name)
	f.totals.Gone++
	f.version++
	f.changes = append(f.changes, Change{Server: last, From: last.State, Gone: true})
}

// running returns the record of a server that may still change its state. A
// server on its way out is not an error: as in Agones the call has no effect.
func (f *Fleet) running(name string) (*record, error) {
	r := f.servers[name]
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
func (f *Fleet) SDKReady(name string) error {
	r, err := f.running(name)
	if r == nil {
		return err
	}
	f.input(r, InputRequestReady, nil)
	f.input(r, InputReady, nil)
	return nil
}

// SDKAllocate is a server allocating itself.
func (f *Fleet) SDKAllocate(name string, now time.Time) error {
	r, err := f.running(name)
	if r == nil {
		return err
	}
	f.allocate(r, Allocation{}, now)
	return nil
}

// SDKReserve keeps a server from being allocated for a while; zero or less:
// until it says otherwise.
func (f *Fleet) SDKReserve(name string, d time.Duration, now time.Time) error {
	r, err := f.running(name)
	if r == nil {
		return err
	}
	f.input(r, InputReserve, func(s *Server) {
		if d > 0 {
			s.ReservedUntil = now.Add(d)
		}
	})
	return nil
}

// SDKShutdown is a server asking to be ended.
func (f *Fleet) SDKShutdown(name string) error {
	r, err := f.running(name)
	if r == nil {
		return err
	}
	f.input(r, InputShutdown, nil)
	return nil
}

// SDKHealth is a sign of life. Of a server that is attached more are expected after the
// first: it may not run yet.
func (f *Fleet) SDKHealth(name string, now time.Time) {
	r := f.servers[name]
	if r == nil {
		return
	}
	r.signs.Seen(now)
	if r.silence > 0 && r.signs.Next().IsZero() {
		r.signs.Expect(Health{Period: r.silence, InitialDelay: r.silence, FailureThreshold: 1}, now)
		f.schedule(r)
	}
}

// SDKLabel sets a label with Agones's prefix for labels of the SDK.
func (f *Fleet) SDKLabel(name, key, value string) error {
	return f.edit(name, func(s *Server) { s.Labels = with(s.Labels, map[string]string{agones.SDKPrefix + key: value}) })
}

// SDKAnnotation sets an annotation with the same prefix.
func (f *Fleet) SDKAnnotation(name, key, value string) error {
	return f.edit(name, func(s *Server) { s.Annotations = with(s.Annotations, map[string]string{agones.SDKPrefix + key: value}) })
}

// SDKCounts changes the counters and lists, if change says so.
func (f *Fleet) SDKCounts(name string, change func(counts.Set) (next counts.Set, changed bool)) error {
	r := f.servers[name]
	if r == nil {
		return ErrNotFound
	}
	next := *r.cur
	var changed bool
	if next.Counts, changed = change(next.Counts); changed {
		f.commit(r, &next)
	}
	return nil
}

func (f *Fleet) edit(name string, change func(*Server)) error {
	r := f.servers[name]
	if r == nil {
		return ErrNotFound
	}
	next := *r.cur
	change(&next)
	f.commit(r, &next)
	return nil
}

// Delete marks a server as deleted, if it is still the one that the caller means:
// ErrPrecondition if uid, or a non-empty version, is another.
func (f *Fleet) Delete(namespace, name, uid, version string, now time.Time) error {
	if _, err := f.meant(namespace, name, uid, version); err != nil {
		return err
	}
	f.remove(name, now)
	return nil
}

// Annotate sets annotations and returns the version with them, under the conditions of
// Delete. An empty value removes an annotation. Nothing changes if all are as they are.
func (f *Fleet) Annotate(namespace, name, uid, version string, annotations map[string]string) (*Server, error) {
	r, err := f.meant(namespace, name, uid, version)
	if err != nil {
		return nil, err
	}
	next := *r.cur
	next.Annotations = with(next.Annotations, annotations)
	maps.DeleteFunc(next.Annotations, func(_, value string) bool { return value == "" })
	if !maps.Equal(next.Annotations, r.cur.Annotations) {
		f.commit(r, &next)
	}
	return r.cur, nil
}

// meant returns the record of a server if it is still the one that the caller means.
func (f *Fleet) meant(namespace, name, uid, version string) (*record, error) {
	r := f.servers[name]
	if r == nil || r.cur.Namespace != namespace {
		return nil, ErrNotFound
	}
	if r.cur.UID != uid || (version != "" && version != FormatVersion(r.cur.ResourceVersion)) {
		return nil, ErrPrecondition
	}
	return r, nil
}

// with returns a copy of a map with more in it.
func with(m, more map[string]string) map[string]string {
	out := make(map[string]string, len(m)+len(more))
	maps.Copy(out, m)
	maps.Copy(out, more)
	return out
}
