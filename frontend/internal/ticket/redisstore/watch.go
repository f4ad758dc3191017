package redisstore

import (
	"context"

	"github.com/redis/go-redis/v9"

	"torikumi/frontend/internal/ticket"
)

// Watch implements [ticket.Store]. One subscription per frontend hears of all
// changes; whenever it stands anew, all watchers look for themselves.
func (s *Store) Watch(ctx context.Context, id string) (ticket.Ticket, <-chan struct{}, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ticket.Ticket{}, nil, ticket.ErrClosed
	}
	changed, ok := s.watchers[id]
	if !ok {
		changed = make(chan struct{})
		s.watchers[id] = changed
	}
	s.mu.Unlock()
	// Read after that, so that no change is missed.
	t, err := s.Get(ctx, id)
	if err != nil {
		s.wake(id)
		return ticket.Ticket{}, nil, err
	}
	if t.Ended() {
		// Nothing follows.
		s.wake(id)
		return t, s.closing, nil
	}
	return t, changed, nil
}

// wake tells those who watch a ticket.
func (s *Store) wake(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if changed, ok := s.watchers[id]; ok {
		close(changed)
		delete(s.watchers, id)
	}
}

// wakeAll tells everybody.
func (s *Store) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, changed := range s.watchers {
		close(changed)
	}
	clear(s.watchers)
}

// listen hears which tickets have changed.
func (s *Store) listen(ctx context.Context) {
	subscription := s.client.Subscribe(ctx, s.prefix+"changed")
	defer func() { _ = subscription.Close() }() // nobody hears it any more
	// The client subscribes again, and checks a silent connection, by itself.
	heard := subscription.ChannelWithSubscriptions(redis.WithChannelSize(queueSize), redis.WithChannelHealthCheckInterval(beat))
	for {
		select {
		case <-ctx.Done():
			return
		case message, ok := <-heard:
			if !ok {
				return
			}
			switch m := message.(type) {
			case *redis.Message:
				s.wake(m.Payload)
			case *redis.Subscription:
				s.wakeAll()
			}
		}
	}
}

// queueSize is how many changes may wait to be heard: more than come in the
// time that waking takes.
const queueSize = 10_000
