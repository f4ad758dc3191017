package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"torikumi/frontend/internal/ticket"
)

// asked is a ticket of one player that a request asks for.
func asked(id, player, key, digest string) ticket.Ticket {
	t := party("q", id, player)
	t.Request = &ticket.Request{Key: key, Digest: digest}
	return t
}

// written is one whose digest of how it is written is another.
func written(id, player, key, digest, written string) ticket.Ticket {
	t := asked(id, player, key, digest)
	t.Request.Written = written
	return t
}

// repeats compares what a request is told that has made a ticket before.
func (h *harness) repeats(t ticket.Ticket, id string, same bool) {
	h.Helper()
	var repeated *ticket.RepeatedError
	if _, err := h.Create(h.Context(), t); !errors.As(err, &repeated) || *repeated != (ticket.RepeatedError{ID: id, Same: same}) {
		h.Errorf("the request of %q again: %v", id, err)
	}
}

// makes creates a ticket, which has to succeed.
func (h *harness) makes(t ticket.Ticket) {
	h.Helper()
	if _, err := h.Create(h.Context(), t); err != nil {
		h.Errorf("create %q: %v", t.ID, err)
	}
}

// A request makes one ticket, until that is forgotten or has come to nothing.
func requests(h *harness) {
	h.makes(asked("1", "a", "k", "d"))
	h.repeats(asked("2", "a", "k", "d"), "1", true)
	h.is("2", ticket.None)
	h.repeats(asked("2", "b", "k", "other"), "1", false)
	var conflict *ticket.ConflictError
	if _, err := h.Create(h.Context(), asked("2", "a", "l", "d")); !errors.As(err, &conflict) {
		h.Errorf("another request of a: %v", err)
	}
	h.makes(asked("3", "c", "l", "d")) // whose key the one that was refused has not kept

	h.event("1", event(ticket.AbortCreate), ticket.None, ticket.Nothing)
	h.makes(asked("4", "a", "k", "other"))
	h.event("4", attach("om-4"), ticket.Waiting, ticket.Nothing)
	h.repeats(asked("5", "a", "k", "other"), "4", true)
	h.event("4", event(ticket.Cancel), ticket.Cancelled, ticket.DeleteOpenMatch)
	h.repeats(asked("5", "a", "k", "other"), "4", true)
	h.pass(ended)
	h.makes(asked("6", "a", "k", "d"))
	h.event("6", attach("om-6"), ticket.Waiting, ticket.Nothing)
	h.assign("om-6", true)
	h.pass(ended)
	h.repeats(asked("7", "a", "k", "d"), "6", true)
	h.pass(assigned)
	h.makes(asked("7", "a", "k", "d"))

	// Two that ask for the same, however they are written. An earlier version had one digest.
	h.makes(written("8", "b", "m", "d", "w"))
	h.repeats(written("9", "b", "m", "d", "w"), "8", true)
	h.repeats(written("9", "b", "m", "d", "other"), "8", true)
	h.repeats(asked("9", "b", "m", "d"), "8", true)
	h.repeats(asked("9", "b", "m", "w"), "8", true)
	h.repeats(written("9", "b", "m", "other", "another"), "8", false)
	h.makes(asked("10", "e", "n", "w"))
	h.repeats(written("11", "e", "n", "d", "w"), "10", true)
	h.repeats(written("11", "e", "n", "w", "v"), "10", true)
	h.repeats(written("11", "e", "n", "d", "v"), "10", false)

	h.reopen(1)
	h.makes(asked("1", "a", "k", "d"))
	h.event("1", event(ticket.Cancel), ticket.Cancelled, ticket.Nothing)
	h.makes(asked("2", "a", "l", "d")) // for which 1 is forgotten
	h.event("2", event(ticket.Cancel), ticket.Cancelled, ticket.Nothing)
	h.makes(asked("3", "a", "k", "d"))
}

// raceOfRequests: a request that comes several times at once makes one ticket, and
// all are told of it.
func raceOfRequests(h *harness) {
	for i := range rounds {
		key := fmt.Sprint(i)
		var created atomic.Int32
		var ids [3]string
		again := func(n int) func() {
			return func() {
				t, err := h.Create(h.Context(), asked(fmt.Sprint(i, "-", n), key, key, "d"))
				var repeated *ticket.RepeatedError
				switch {
				case err == nil:
					created.Add(1)
					ids[n] = t.ID
				case errors.As(err, &repeated) && repeated.Same:
					ids[n] = repeated.ID
				default:
					h.Errorf("%s: %v", key, err)
				}
			}
		}
		race(again(0), again(1), again(2))
		if created.Load() != 1 || ids[0] != ids[1] || ids[1] != ids[2] {
			h.Fatalf("%s: %d were created, the answers are %q", key, created.Load(), ids)
		}
	}
}
