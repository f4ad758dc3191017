package fleet

import (
	"context"
	"sync"
	"time"
)

// Event is one change of one server.
type Event struct {
	// Server is the version after the change; when Gone, the last one.
	Server *Server
	// From is the state before, empty for a new server.
	From State
	// Gone says that nothing is left of the server.
	Gone bool
	Time time.Time
}

// How many events wait for a slow reader.
const (
	fleetQueue  = 4096
	serverQueue = 64
)

// Subscription delivers changes in order. A reader that is too slow loses the
// oldest ones, never the newest, and never holds up the fleet.
type Subscription struct {
	hub  *hub
	name string
	wake chan struct{}

	mu     sync.Mutex
	queue  []Event
	limit  int
	lost   uint64
	closed bool
}

// Subscribe delivers the changes of all servers from now on. Close has to be
// called.
func (f *Fleet) Subscribe() *Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hub.subscribe("", fleetQueue)
}

// Next waits for the next change. After Close, and when the fleet has stopped,
// its error is ErrStopped once everything has been delivered. One goroutine
// at a time may call it.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			e := s.queue[0]
			s.queue[0] = Event{}
			s.queue = s.queue[1:]
			s.mu.Unlock()
			return e, nil
		}
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return Event{}, ErrStopped
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Lost is how many changes were dropped because the reader was too slow.
func (s *Subscription) Lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Close ends the subscription.
func (s *Subscription) Close() {
	s.hub.owner.Lock()
	s.hub.drop(s)
	s.hub.owner.Unlock()
	s.end()
}

func (s *Subscription) end() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
}

func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Subscription) put(e Event) {
	s.mu.Lock()
	if len(s.queue) >= s.limit {
		s.queue = s.queue[1:]
		s.lost++
	}
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	s.signal()
}

// hub hands changes to subscriptions. Its fleet's mutex, which owner points to
// from the start, guards everything else.
type hub struct {
	owner *sync.Mutex
	// all has the subscriptions by server; those of the whole fleet under "".
	all  map[string]map[*Subscription]struct{}
	next chan struct{}
	over bool
}

func (h *hub) subscribe(name string, limit int) *Subscription {
	s := &Subscription{hub: h, name: name, limit: limit, wake: make(chan struct{}, 1), closed: h.over}
	if h.over {
		return s
	}
	if h.all == nil {
		h.all = make(map[string]map[*Subscription]struct{})
	}
	if h.all[name] == nil {
		h.all[name] = make(map[*Subscription]struct{})
	}
	h.all[name][s] = struct{}{}
	return s
}

func (h *hub) drop(s *Subscription) {
	delete(h.all[s.name], s)
	if len(h.all[s.name]) == 0 {
		delete(h.all, s.name)
	}
}

// send never waits.
func (h *hub) send(e Event) {
	for s := range h.all[""] {
		s.put(e)
	}
	for s := range h.all[e.Server.Name] {
		s.put(e)
	}
	if h.next != nil {
		close(h.next)
		h.next = nil
	}
}

// changed returns a channel that is closed at the next change.
func (h *hub) changed() <-chan struct{} {
	if h.next == nil {
		h.next = make(chan struct{})
	}
	return h.next
}

func (h *hub) close() {
	h.over = true
	for _, subs := range h.all {
		for s := range subs {
			s.end()
		}
	}
	h.all = nil
}
