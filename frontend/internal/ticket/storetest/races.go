package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"torikumi/frontend/internal/ticket"
)

// rounds is how often each race is run, on a ticket of its own.
const rounds = 200

// race runs functions at the same time; each is the first at times.
func race(runners ...func()) {
	rand.Shuffle(len(runners), func(i, j int) { runners[i], runners[j] = runners[j], runners[i] })
	var wg sync.WaitGroup
	start := make(chan struct{})
	for _, run := range runners {
		wg.Go(func() { <-start; run() })
	}
	close(start)
	wg.Wait()
}

// raceOfEnds: of Assign, two times Cancel and Expire exactly one changes the
// ticket, and the state stays that one's.
func raceOfEnds(h *harness) {
	for i := range rounds {
		id := fmt.Sprint(i)
		h.wait("q", id, id)
		var wins atomic.Int32
		var won atomic.Uint32
		count := func(c ticket.Change, err error) {
			if err != nil {
				if !errors.Is(err, ticket.ErrNotFound) {
					h.Errorf("%s: %v", id, err)
				}
				return
			}
			if c.Changed() {
				wins.Add(1)
				won.Store(uint32(c.Ticket.State))
			}
		}
		cancel := func() { count(h.Update(h.Context(), id, event(ticket.Cancel))) }
		race(cancel, cancel,
			func() { count(h.Assign(h.Context(), "om-"+id, server)) },
			func() { count(h.Update(h.Context(), id, event(ticket.Expire))) })
		if wins.Load() != 1 {
			h.Fatalf("%s: %d have ended it, want 1", id, wins.Load())
		}
		h.is(id, ticket.State(won.Load()))
	}
}

// raceOfEarly: an assignment that comes at the time of Attach is never lost.
func raceOfEarly(h *harness) {
	for i := range rounds {
		id := fmt.Sprint(i)
		h.create("q", id, id)
		var assigned atomic.Int32
		race(
			func() {
				if c, err := h.Assign(h.Context(), "om-"+id, server); err == nil && c.Changed() {
					assigned.Add(1)
				}
			},
			func() {
				if c, err := h.Update(h.Context(), id, attach("om-"+id)); err == nil && c.Ticket.State == ticket.Assigned {
					assigned.Add(1)
				}
			})
		if assigned.Load() != 1 {
			h.Fatalf("%s: %d have assigned it, want 1", id, assigned.Load())
		}
		h.is(id, ticket.Assigned)
	}
}

// raceOfRetries: one of several may create another Open Match ticket.
func raceOfRetries(h *harness) {
	for i := range rounds {
		id := fmt.Sprint(i)
		h.wait("q", id, id)
		var creates atomic.Int32
		lose := func() {
			if _, err := h.Update(h.Context(), id, lost("om-"+id)); err != nil {
				h.Errorf("%s: %v", id, err)
			}
			c, err := h.Update(h.Context(), id, event(ticket.BeginRetry))
			if err != nil {
				h.Errorf("%s: %v", id, err)
			}
			if c.Effect == ticket.CreateOpenMatch {
				creates.Add(1)
			}
		}
		race(lose, lose, lose)
		if creates.Load() != 1 {
			h.Fatalf("%s: %d create an Open Match ticket, want 1", id, creates.Load())
		}
	}
}

// raceOfCreations: of several tickets that share players one is created, and the
// others hold nothing.
func raceOfCreations(h *harness) {
	for i := range rounds {
		a, b, c := fmt.Sprint("a", i), fmt.Sprint("b", i), fmt.Sprint("c", i)
		var created atomic.Int32
		add := func(players ...string) func() {
			return func() {
				_, err := h.Create(h.Context(), party("q", fmt.Sprint(players), players...))
				var conflict *ticket.ConflictError
				switch {
				case err == nil:
					created.Add(1)
				case !errors.As(err, &conflict):
					h.Errorf("%q: %v", players, err)
				}
			}
		}
		race(add(a, b), add(b, a), add(b))
		if created.Load() != 1 {
			h.Fatalf("%s: %d were created, want 1", b, created.Load())
		}
		h.create("q", c, c)
	}
}

// raceOfWatch: whoever watches never misses the end.
func raceOfWatch(h *harness) {
	for i := range rounds {
		id := fmt.Sprint(i)
		h.wait("q", id, id)
		follow := func() {
			for {
				t, changed, err := h.Watch(h.Context(), id)
				if err != nil {
					h.Errorf("%s: %v", id, err)
					return
				}
				if t.Ended() {
					return
				}
				h.wakes(id, changed)
				if h.Failed() {
					return
				}
			}
		}
		race(follow, follow, func() {
			for i := range 3 {
				runtime.Gosched() // somebody may watch now
				om := fmt.Sprint("om-", id)
				if i > 0 {
					om = fmt.Sprint("om-", id, "-", i)
				}
				h.event(id, lost(om), ticket.Lost, ticket.Nothing)
				h.event(id, event(ticket.BeginRetry), ticket.Recreating, ticket.CreateOpenMatch)
				h.event(id, attach(fmt.Sprint("om-", id, "-", i+1)), ticket.Waiting, ticket.Nothing)
			}
			runtime.Gosched()
			h.assign(fmt.Sprint("om-", id, "-", 3), true)
		})
	}
}
