package backfill_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/claims"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/proto/openmatch"
)

// withClaims has directors claim tickets, in a Redis of the test.
func (h *harness) withClaims() *claims.Store {
	h.Helper()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(h.T).Addr()})
	h.Cleanup(func() { _ = client.Close() })
	store := claims.New(client, "test")
	h.claims = store
	return store
}

// full checks that a match of four has exactly these players, and that each of the tickets
// was sent there and told of.
func (h *harness) full(name string, tickets []string, players ...string) {
	h.Helper()
	ids(h.T, h.members(name), players...)
	for _, team := range h.roster(name).GetTeams() {
		if len(team.GetMembers()) > 2 {
			h.Errorf("team %s has %d players", team.GetName(), len(team.GetMembers()))
		}
	}
	for _, ticket := range tickets {
		if server, _ := h.assignedTo(ticket); server != "games/"+name {
			h.Errorf("ticket %s was sent to %q", ticket, server)
		}
	}
}

// until calls as the gate does, and fetches as a director does, until it returns true.
func (h *harness) until(d director, name, what string, ok func() bool) {
	h.Helper()
	eventually.True(h.T, what, func() bool {
		_, err := d.fill(h, name, h.present(name)...)
		if code := status.Code(err); err != nil && code != codes.Unavailable {
			h.Fatal(err)
		}
		if ok() {
			return true
		}
		for _, m := range h.fetch() {
			d.Join(h.Context(), m)
		}
		return ok()
	})
}

// TestCrash kills a director after each call that it makes while it fills a match up, and
// lets another one go on: both who were found get to play, once, and nothing is left
// behind.
func TestCrash(t *testing.T) {
	const most = 32
	for _, trigger := range []string{"gate", "fetched match"} {
		for _, redis := range []bool{false, true} {
			for n := range most {
				t.Run(fmt.Sprintf("%s, claims %v, call %d", trigger, redis, n), func(t *testing.T) {
					t.Parallel()
					at := fmt.Sprintf("%d after", n)
					if n == 0 {
						at = "1 before"
					}
					if crash(t, at, trigger == "gate", redis) && n == most-1 {
						t.Error("there are more calls")
					}
				})
			}
		}
	}
}

// crash reports whether the first director has died.
func crash(t *testing.T, at string, gate, redis bool) bool {
	h := newHarness(t, 2*time.Second)
	if redis {
		h.withClaims()
	}
	h.match("gs", teams("ann", "bob"))
	first := h.director(at)
	step := func() {
		_, _ = first.fill(h, "gs", h.members("gs")...) // it may die
		matches := h.fetch()
		if gate {
			_, _ = first.fill(h, "gs", h.members("gs")...)
			return
		}
		for _, m := range matches {
			first.Join(h.Context(), m)
		}
	}
	tickets := []string{h.search("cid", 1010)}
	step()
	tickets = append(tickets, h.search("dan", 990))
	step()

	second := h.director("")
	h.until(second, "gs", "both play", func() bool {
		return !slices.ContainsFunc(tickets, func(id string) bool { s, _ := h.assignedTo(id); return s == "" }) && h.backfill("gs") == ""
	})
	h.full("gs", tickets, "ann", "bob", "cid", "dan")
	eventually.True(t, "no backfill is left", func() bool { h.fetch(); return h.backfills() == 0 })
	return first.dead()
}

// TestTwoDirectors: both are called at a time, again and again, and one of them has a
// backfill that counts. A match never has too many players, nor one twice.
func TestTwoDirectors(t *testing.T) {
	for _, redis := range []bool{false, true} {
		t.Run(fmt.Sprintf("claims %v", redis), func(t *testing.T) {
			h := newHarness(t, time.Minute)
			if redis {
				h.withClaims()
			}
			h.match("gs", teams("ann", "bob"))
			var tickets []string
			for i := range 6 {
				tickets = append(tickets, h.search(fmt.Sprint("p", i), 1000))
			}
			directors := []director{h.director(""), h.director("")}
			at := func() {
				var running sync.WaitGroup
				req := h.request("gs", h.present("gs")...) // from here on the gate is behind
				matches := h.fetch()
				for _, d := range directors {
					running.Go(func() { _, _ = d.Fill(asGate(t.Context(), "gs"), req) }) // one may have to try again
					running.Go(func() {
						for _, m := range matches {
							d.Join(h.Context(), m)
						}
					})
				}
				running.Wait()
			}
			eventually.True(t, "the match is full", func() bool { at(); return len(h.members("gs")) == 4 && h.backfill("gs") == "" })
			var played []string
			for _, ticket := range tickets {
				// Frontends send nobody there whom the assignment does not name.
				if server, d := h.assignedTo(ticket); server == "games/gs" && contract.Names(d, ticket) {
					played = append(played, ticket)
				}
			}
			members := h.members("gs")
			if len(played) != 2 || len(slices.Compact(members)) != 4 {
				t.Errorf("%d were sent there, on the roster are %q", len(played), members)
			}
			for _, m := range members {
				if m != "ann" && m != "bob" && !strings.HasPrefix(m, "p") {
					t.Errorf("%s is on the roster", m)
				}
			}
			eventually.True(t, "no backfill is left", func() bool { at(); return h.backfills() == 0 })
		})
	}
}

// TestClaims: who has been claimed by another director's match is not sent here, and a
// frontend delivers who was sent here.
func TestClaims(t *testing.T) {
	h := newHarness(t, time.Minute)
	store := h.withClaims()
	label := h.match("gs", teams("ann", "bob"))
	d := h.director("")
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	ticket := h.search("cid", 1000)
	held := claims.Match{Token: "other", Tickets: []string{ticket}, Hold: time.Hour, Keep: 2 * time.Hour}
	if err := store.Acquire(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	h.fetch()
	if _, err := d.fill(h, "gs", "ann", "bob"); err != nil {
		t.Fatal(err)
	}
	ids(t, h.members("gs"), "ann", "bob")
	if server, _ := h.assignedTo(ticket); server != "" {
		t.Errorf("another's was sent to %s", server)
	}
	if err := store.Drop(t.Context(), "other", held.Tickets); err != nil {
		t.Fatal(err)
	}
	h.until(d, "gs", "cid plays", func() bool { s, _ := h.assignedTo(ticket); return s != "" })
	verdicts, err := store.Check(t.Context(), label, "games/gs", []string{ticket})
	if err != nil || verdicts[0].Action != claims.DeliverThis || verdicts[0].Details.GetGameServer() != "games/gs" {
		t.Errorf("%+v, %v", verdicts, err)
	}
}

// TestForeignBackfill: one that no director has made is left alone.
func TestForeignBackfill(t *testing.T) {
	h := newHarness(t, time.Minute)
	d := h.director("")
	d.Join(t.Context(), &openmatch.Match{Backfill: &openmatch.Backfill{Id: "x"}})
	if len(d.calls) != 0 {
		t.Errorf("called %v", d.calls)
	}
}
