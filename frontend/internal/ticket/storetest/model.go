package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"torikumi/frontend/internal/ticket"
)

// modelTicket is what the model knows of a ticket.
type modelTicket struct {
	player, openMatch string
	state             ticket.State
	order             int
}

// model applies random events to a store and to [ticket.Transition] alone: states,
// effects, conflicts and what is open have to be the same. Time stands still.
func model(h *harness) {
	for seed := range uint64(4) {
		h.reopen(1 << 20)
		r := rand.New(rand.NewPCG(seed, 1))
		tickets := map[string]*modelTicket{}
		kinds := []ticket.Kind{
			ticket.Create, ticket.Create, ticket.Attach, ticket.Attach, ticket.AbortCreate, ticket.MarkLost,
			ticket.BeginRetry, ticket.AbortRetry, ticket.Assign, ticket.Cancel, ticket.Expire,
		}
		for i := range 1500 {
			id := fmt.Sprint(r.IntN(20), "-", r.IntN(4))
			m := tickets[id]
			if m == nil {
				m = &modelTicket{player: fmt.Sprint("p", r.IntN(12)), order: i}
			}
			k := kinds[r.IntN(len(kinds))]
			if h.step(tickets, id, m, k, fmt.Sprint("om-", i)); h.Failed() {
				h.Fatalf("seed %d, step %d: %v of %q, which was %+v", seed, i, k, id, *m)
			}
		}
	}
}

// step applies one event to both.
func (h *harness) step(tickets map[string]*modelTicket, id string, m *modelTicket, k ticket.Kind, newOpenMatch string) {
	if k == ticket.Create {
		if tickets[id] == nil {
			h.modelCreate(tickets, id, m)
		}
		return
	}
	want, effect, ok := ticket.Transition(m.state, k)
	e := ticket.Event{Kind: k, OpenMatchID: m.openMatch}
	var c ticket.Change
	var err error
	switch {
	case k == ticket.Attach:
		e.OpenMatchID = newOpenMatch
		c, err = h.Update(h.Context(), id, e)
	case k == ticket.Assign:
		if m.openMatch == "" {
			return
		}
		if c, err = h.Assign(h.Context(), m.openMatch, server); errors.Is(err, ticket.ErrNotFound) {
			c, err = ticket.Change{From: m.state, Ticket: ticket.Ticket{State: m.state}}, nil
		}
	default:
		c, err = h.Update(h.Context(), id, e)
	}
	if tickets[id] == nil {
		if !errors.Is(err, ticket.ErrNotFound) && k != ticket.Assign {
			h.Errorf("a ticket that is not there: %+v, %v", c, err)
		}
		return
	}
	if err != nil || c.From != m.state || c.Ticket.State != want || c.Effect != effect || c.Changed() != ok {
		h.Errorf("got %v to %v, effect %d, %v; want %v, effect %d", c.From, c.Ticket.State, c.Effect, err, want, effect)
	}
	if ok && k == ticket.Attach {
		m.openMatch = newOpenMatch
	}
	if ok && k == ticket.MarkLost {
		m.openMatch = ""
	}
	if m.state = want; want == ticket.None {
		delete(tickets, id)
	}
	h.is(id, want)
	h.modelOpen(tickets)
}

// modelCreate creates a ticket, or finds that its player has one.
func (h *harness) modelCreate(tickets map[string]*modelTicket, id string, m *modelTicket) {
	holder := ""
	for other, o := range tickets {
		if o.player == m.player && !o.state.Ended() {
			holder = other
		}
	}
	_, err := h.Create(h.Context(), party("q", id, m.player))
	var conflict *ticket.ConflictError
	switch errors.As(err, &conflict); {
	case holder == "" && err == nil:
		m.state, _, _ = ticket.Transition(ticket.None, ticket.Create)
		tickets[id] = m
	case holder == "" || conflict == nil || conflict.ID != holder:
		h.Errorf("create: %v, but the player's ticket is %q", err, holder)
	}
}

// modelOpen compares what is open.
func (h *harness) modelOpen(tickets map[string]*modelTicket) {
	want := slices.DeleteFunc(slices.Collect(maps.Keys(tickets)), func(id string) bool {
		return tickets[id].state != ticket.Waiting && tickets[id].state != ticket.Lost
	})
	slices.SortFunc(want, func(a, b string) int { return tickets[a].order - tickets[b].order })
	h.opened(want...)
}
