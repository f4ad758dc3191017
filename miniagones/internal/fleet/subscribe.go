package fleet

import (
	"context"
	"sync/atomic"
)

// How many events wait for a slow reader.
const (
	fleetQueue  = 4096
	serverQueue = 64
)

// Subscription delivers changes in order. A reader that is too slow loses the
// oldest ones, never the newest, and never holds up the fleet.
type Subscription struct {
	fleet *Fleet
	name  string
	queue chan Event
	lost  atomic.Uint64
}

// Subscribe delivers the changes of all servers from now on. Close has to be
// called.
func (f *Fleet) Subscribe() *Subscription {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.subscribe("", fleetQueue)
}

// Next waits for the next change. After Close, and when the fleet has stopped,
// its error is ErrStopped once everything has been delivered. One goroutine at a
// time may call it.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for ended := ctx.Done(); ; ended = nil {
		select {
		case e, ok := <-s.queue:
			if !ok {
				return Event{}, ErrStopped
			}
			return e, nil
		case <-ended:
			if len(s.queue) == 0 {
				return Event{}, ctx.Err()
			}
		}
	}
}

// Lost is how many changes were dropped because the reader was too slow.
func (s *Subscription) Lost() uint64 { return s.lost.Load() }

// Close ends the subscription.
func (s *Subscription) Close() {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	s.fleet.hub.end(s)
}

// put never waits. Its caller holds the fleet's mutex, so that nobody else puts
// anything into the place that becomes free.
func (s *Subscription) put(e Event) {
	select {
	case s.queue <- e:
		return
	default:
	}
	select {
	case <-s.queue:
		s.lost.Add(1)
	default: // the reader was quicker
	}
	s.queue <- e
}

// hub hands changes to subscriptions. The fleet's mutex guards it.
type hub struct {
	// all has the subscriptions by server; those of the whole fleet under "".
	all  map[string]map[*Subscription]struct{}
	next chan struct{}
	over bool
}

// subscribe is Subscribe for one server, or for all. The caller holds mu.
func (f *Fleet) subscribe(name string, limit int) *Subscription {
	s := &Subscription{fleet: f, name: name, queue: make(chan Event, limit)}
	if f.hub.over {
		close(s.queue)
		return s
	}
	if f.hub.all[name] == nil {
		f.hub.all[name] = make(map[*Subscription]struct{})
	}
	f.hub.all[name][s] = struct{}{}
	return s
}

// end closes a subscription, unless it has ended before.
func (h *hub) end(s *Subscription) {
	if _, ok := h.all[s.name][s]; !ok {
		return
	}
	close(s.queue)
	if delete(h.all[s.name], s); len(h.all[s.name]) == 0 {
		delete(h.all, s.name)
	}
}

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
			h.end(s)
		}
	}
}
