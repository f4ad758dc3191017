package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/eventually"
)

// OpenTwo makes two stores of the same tickets, as two frontends have them.
type OpenTwo func(t testing.TB, l ticket.Limits) (a, b ticket.Store)

// RunShared checks stores that several frontends share: what Run checks of one, as
// far as it does not matter who looks after a ticket, with calls that go to one or
// the other; and that they divide the work.
func RunShared(t *testing.T, open OpenTwo) {
	either := func(t testing.TB, l ticket.Limits) ticket.Store {
		a, b := open(t, l)
		return either{a, b}
	}
	for _, c := range checks {
		if !slices.Contains([]string{"Create", "AbortCreate", "LostAndRecreated", "Gathering", "Ages", "Kept", "Close", "Model"}, c.name) {
			t.Run(c.name, func(t *testing.T) { c.run(newHarness(t, either)) })
		}
	}
	t.Run("Division", func(t *testing.T) { division(t, open) })
}

// either passes each call to one of two stores.
type either struct{ a, b ticket.Store }

func (e either) any() ticket.Store {
	if rand.IntN(2) == 0 {
		return e.a
	}
	return e.b
}

func (e either) Create(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
	return e.any().Create(ctx, t)
}

func (e either) Get(ctx context.Context, id string) (ticket.Ticket, error) {
	return e.any().Get(ctx, id)
}

func (e either) Find(ctx context.Context, code string) (ticket.Ticket, error) {
	return e.any().Find(ctx, code)
}

func (e either) Of(ctx context.Context, player string) ([]ticket.Ticket, error) {
	return e.any().Of(ctx, player)
}

func (e either) Watch(ctx context.Context, id string) (ticket.Ticket, <-chan struct{}, error) {
	return e.any().Watch(ctx, id)
}

func (e either) Update(ctx context.Context, id string, event ticket.Event) (ticket.Change, error) {
	return e.any().Update(ctx, id, event)
}

func (e either) Assign(ctx context.Context, openMatchID string, a ticket.Assignment) (ticket.Change, error) {
	return e.any().Assign(ctx, openMatchID, a)
}

func (e either) UpdateOpenMatch(ctx context.Context, openMatchID string, event ticket.Event) (ticket.Change, error) {
	return e.any().UpdateOpenMatch(ctx, openMatchID, event)
}

func (e either) Accepting(ctx context.Context) ([]ticket.Ticket, error) {
	return e.any().Accepting(ctx)
}

func (e either) Open(ctx context.Context) ([]string, error) { return e.any().Open(ctx) }

func (e either) Waits(ctx context.Context, queue string) ([]ticket.Wait, error) {
	return e.any().Waits(ctx, queue)
}

func (e either) Touch(ctx context.Context, ids []string) error { return e.any().Touch(ctx, ids) }

func (e either) Last(ctx context.Context, player string) (ticket.Ticket, error) {
	return e.any().Last(ctx, player)
}

func (e either) AssignedBefore(ctx context.Context, age time.Duration) ([]ticket.Ticket, error) {
	return e.any().AssignedBefore(ctx, age)
}

func (e either) Keep(ctx context.Context, t *ticket.Ticket) error { return e.any().Keep(ctx, t) }

func (e either) Expire(ctx context.Context) ([]ticket.Change, error) { return e.any().Expire(ctx) }

func (e either) Close(ctx context.Context) ([]ticket.Ticket, error) { return e.any().Close(ctx) }

// division: each open ticket is looked after by one of two, and by the other when
// that has closed; the tickets stay.
func division(t *testing.T, open OpenTwo) {
	h := &harness{TB: t, now: time.Unix(1_000_000_000, 0)}
	a, b := open(t, ticket.Limits{Timeout: timeout, Gathering: gather, Assigned: assigned, Ended: ended, Tickets: 1000, Now: h.clock})
	h.Store = either{a, b}
	var all []string
	for i := range 100 {
		id := fmt.Sprintf("%02d", i)
		h.wait("q", id, id)
		all = append(all, id)
	}
	share := func(s ticket.Store) []string {
		ids, err := s.Open(t.Context())
		if err != nil || !slices.IsSorted(ids) {
			t.Errorf("open: %q, %v", ids, err)
		}
		return ids
	}
	eventually.True(t, "the tickets are divided", func() bool {
		both := slices.Concat(share(a), share(b))
		slices.Sort(both)
		return slices.Equal(both, all) && len(share(a)) > 0 && len(share(b)) > 0
	})
	if left, err := a.Close(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("close: %v, %v: the other looks after them", left, err)
	}
	eventually.True(t, "the other looks after all", func() bool { return slices.Equal(share(b), all) })
	h.Store = b
	h.assign("om-07", true)
	h.is("08", ticket.Waiting)
	if expired := h.pass(timeout); len(expired) != len(all)-1 {
		t.Errorf("%d have expired, want %d", len(expired), len(all)-1)
	}
}
