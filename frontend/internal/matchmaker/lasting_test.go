package matchmaker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"torikumi/frontend/internal/ticket"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// keeping is a store with assigned tickets, of which one cannot be kept.
type keeping struct {
	ticket.Store
	assigned []ticket.Ticket
	fails    string

	mu   sync.Mutex
	kept map[string]bool
}

func (k *keeping) AssignedBefore(context.Context, time.Duration) ([]ticket.Ticket, error) {
	return k.assigned, nil
}

func (k *keeping) Keep(ctx context.Context, t *ticket.Ticket) error {
	if t.ID == k.fails {
		return errors.New("not kept")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept[t.ID] = true
	return nil
}

// TestOneIsNotKept: a ticket that cannot be kept has no other be forgotten.
func TestOneIsNotKept(t *testing.T) {
	const tickets = 10 * checks
	store := &keeping{fails: "0", kept: make(map[string]bool)}
	for i := range tickets {
		store.assigned = append(store.assigned, ticket.Ticket{
			ID: fmt.Sprint(i), Players: []*torikumiv1.Player{{Id: "alice"}}, Updated: time.Now(),
			Assignment: &ticket.Assignment{Details: &torikumiv1.AssignmentDetails{MatchId: "m-1", GameServer: "games/arena-1"}},
		})
	}
	if err := (&Client{store: store}).keepOnce(t.Context(), time.Hour); err == nil {
		t.Error("no error of the one that is not kept")
	}
	if len(store.kept) != tickets-1 {
		t.Errorf("%d kept, want %d", len(store.kept), tickets-1)
	}
}
