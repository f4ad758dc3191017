package api

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"torikumi/pkg/rpc"
)

// touches is how often the store is told of a ticket within the time after which
// nobody asks for it: enough that one call may fail.
const touches = 6

// presence is which tickets somebody asks for at this frontend. The zero value is
// ready to use.
type presence struct {
	mu sync.Mutex
	// waiting counts the calls that wait for a ticket; asked are those that were
	// asked for since the store was last told, and nil if it is not told.
	waiting map[string]int
	asked   map[string]bool
}

// begin says that all that is noted from now on will be taken.
func (p *presence) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = make(map[string]bool)
}

// note says that somebody asks for a ticket.
func (p *presence) note(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked != nil {
		p.asked[id] = true
	}
}

// enter says that a call waits for a ticket, until leave is called.
func (p *presence) enter(id string) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == nil {
		p.waiting = make(map[string]int)
	}
	p.waiting[id]++
	return func() {
		p.note(id)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.waiting[id]--; p.waiting[id] == 0 {
			delete(p.waiting, id)
		}
	}
}

// take returns all of them, and forgets who has only asked.
func (p *presence) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := slices.Collect(maps.Keys(p.waiting))
	for id := range p.asked {
		if p.waiting[id] == 0 {
			ids = append(ids, id)
		}
	}
	clear(p.asked)
	return ids
}

// KeepWaiting tells the store again and again for which tickets somebody asks here,
// until ctx ends; after the time of gone it ends those for which nobody does.
func (s *Service) KeepWaiting(ctx context.Context, gone time.Duration) error {
	s.presence.begin()
	health := rpc.NewHealth(s.o.Logger, "the ticket store is not told who waits", "the ticket store is told again who waits")
	for range rpc.Ticks(ctx, gone/touches) {
		ids := s.presence.take()
		err := s.o.Store.Touch(ctx, ids)
		if err != nil {
			for _, id := range ids {
				s.presence.note(id)
			}
		}
		if ctx.Err() == nil {
			health.Record(err)
		}
	}
	return nil
}
