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

// touched are the tickets that somebody asks for at this frontend, until the store's Touch
// hears of them. The zero value is ready to use.
type touched struct {
	mu sync.Mutex
	// calls counts the calls that wait for a ticket; noted are those that were
	// asked for since the store was last told, and nil if it is not told.
	calls map[string]int
	noted map[string]bool
}

// begin says that all that is noted from now on will be taken.
func (t *touched) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noted = make(map[string]bool)
}

// note says that somebody asks for a ticket.
func (t *touched) note(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noted != nil {
		t.noted[id] = true
	}
}

// enter says that a call waits for a ticket, until leave is called.
func (t *touched) enter(id string) (leave func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls == nil {
		t.calls = make(map[string]int)
	}
	t.calls[id]++
	return func() {
		t.note(id)
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.calls[id]--; t.calls[id] == 0 {
			delete(t.calls, id)
		}
	}
}

// take returns all of them, and forgets who has only asked.
func (t *touched) take() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	ids := slices.Collect(maps.Keys(t.calls))
	for id := range t.noted {
		if t.calls[id] == 0 {
			ids = append(ids, id)
		}
	}
	clear(t.noted)
	return ids
}

// KeepWaiting tells the store again and again for which tickets somebody asks here,
// until ctx ends; after the time of gone it ends those for which nobody does.
func (s *Service) KeepWaiting(ctx context.Context, gone time.Duration) error {
	s.touched.begin()
	health := rpc.NewHealth(s.o.Logger, "the ticket store is not told who waits", "the ticket store is told again who waits")
	for range rpc.Ticks(ctx, gone/touches) {
		ids := s.touched.take()
		err := s.o.Store.Touch(ctx, ids)
		if err != nil {
			for _, id := range ids {
				s.touched.note(id)
			}
		}
		if ctx.Err() == nil {
			health.Record(err)
		}
	}
	return nil
}
