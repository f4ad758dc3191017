package claims_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"torikumi/pkg/claims"
	"torikumi/pkg/eventually"
	"torikumi/pkg/redistest"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a store of claims. Matches have the names of their tokens.
type harness struct {
	*claims.Store
	t      *testing.T
	client *redis.Client
}

func each(t *testing.T, run func(h *harness)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, address string) {
		client := redis.NewClient(&redis.Options{Addr: address})
		t.Cleanup(func() { _ = client.Close() })
		run(&harness{Store: claims.New(client, "test"), t: t, client: client})
	})
}

const (
	long  = time.Hour
	short = 20 * time.Millisecond
)

func (h *harness) acquire(token string, hold time.Duration, tickets ...string) error {
	return h.Acquire(h.t.Context(), claims.Match{Token: token, Tickets: tickets, Hold: hold, Keep: 2 * long})
}

func (h *harness) acquired(token string, hold time.Duration, tickets ...string) {
	h.t.Helper()
	if err := h.acquire(token, hold, tickets...); err != nil {
		h.t.Fatalf("%s does not get %q: %v", token, tickets, err)
	}
}

// taken expects that some of the tickets are another's, for good or not.
func (h *harness) taken(token string, tickets []string, good bool, want ...string) {
	h.t.Helper()
	var taken *claims.TakenError
	err := h.acquire(token, long, tickets...)
	if !errors.As(err, &taken) || !slices.Equal(taken.Tickets, want) || (taken.Wait < 0) != good || taken.Wait > long {
		h.t.Fatalf("%s wants %q: %v (%+v), taken should be %q", token, tickets, err, taken, want)
	}
}

func details(token string) *torikumiv1.AssignmentDetails {
	return &torikumiv1.AssignmentDetails{MatchId: "match-" + token, GameServer: "games/" + token}
}

func (h *harness) confirm(token string) error {
	return h.Confirm(h.t.Context(), token, "192.0.2.1:7000", details(token))
}

// expect compares what may be done with tickets that came with a match.
func (h *harness) expect(token string, want map[string]claims.Action) {
	h.t.Helper()
	for ticket, action := range want {
		got, err := h.Check(h.t.Context(), "match-"+token, "games/"+token, []string{ticket})
		if err != nil || got[0].Action != action {
			h.t.Fatalf("%s of match %s: %+v, %v; want %v", ticket, token, got, err, action)
		}
	}
}

func (h *harness) errorIs(got, want error) {
	h.t.Helper()
	if !errors.Is(got, want) {
		h.t.Fatalf("got %v, want %v", got, want)
	}
}

// TestPlaced is the way of a match of which nothing goes wrong.
func TestPlaced(t *testing.T) {
	each(t, func(h *harness) {
		h.expect("a", map[string]claims.Action{"1": claims.Deliver})
		h.acquired("a", long, "1", "2")
		h.acquired("a", long, "1", "2") // the answer was lost
		h.taken("b", []string{"3", "2"}, false, "2")
		h.expect("a", map[string]claims.Action{"1": claims.Wait, "3": claims.Deliver})
		h.errorIs(h.confirm("a"), nil)
		h.errorIs(h.confirm("a"), nil)
		h.taken("b", []string{"3", "2"}, false, "2")
		h.expect("b", map[string]claims.Action{"1": claims.Wait})
		h.errorIs(h.MarkAssigned(t.Context(), "a"), nil)
		h.errorIs(h.confirm("a"), nil)
		h.taken("b", []string{"1", "2", "3"}, true, "1", "2")
		// Whatever came, what is delivered is the holder's.
		got, err := h.Check(h.t.Context(), "match-b", "games/b", []string{"3", "1"})
		if err != nil || got[0].Action != claims.Deliver || got[1].Action != claims.DeliverThis ||
			got[1].Connection != "192.0.2.1:7000" || got[1].Details.GetGameServer() != "games/a" {
			t.Errorf("%+v, %v", got, err)
		}
		for _, key := range []string{"{test}:claim:1", "{test}:match:a"} {
			if ttl := h.client.PTTL(t.Context(), key).Val(); ttl <= long || ttl > 2*long {
				t.Errorf("%s is kept for %v", key, ttl)
			}
		}
	})
}

// TestUnreadable: a claim that holds something else is named, and keeps no other ticket from its match.
func TestUnreadable(t *testing.T) {
	each(t, func(h *harness) {
		h.acquired("good", long, "1")
		h.errorIs(h.confirm("good"), nil)
		h.errorIs(h.MarkAssigned(t.Context(), "good"), nil)
		for name, spoil := range map[string]func(match, claim string) error{
			"details":       func(match, _ string) error { return h.client.HSet(t.Context(), match, "d", "\xff").Err() },
			"no details":    func(match, _ string) error { return h.client.HDel(t.Context(), match, "d").Err() },
			"no connection": func(match, _ string) error { return h.client.HDel(t.Context(), match, "c").Err() },
			"time":          func(match, _ string) error { return h.client.HSet(t.Context(), match, "s", "held", "u", "soon").Err() },
			"no time": func(match, _ string) error {
				return errors.Join(h.client.HSet(t.Context(), match, "s", "confirmed").Err(), h.client.HDel(t.Context(), match, "u").Err())
			},
			"another type": func(match, _ string) error {
				return errors.Join(h.client.Del(t.Context(), match).Err(), h.client.Set(t.Context(), match, "x", 0).Err())
			},
			"claim of another type": func(_, claim string) error {
				return errors.Join(h.client.Del(t.Context(), claim).Err(), h.client.SAdd(t.Context(), claim, "x").Err())
			},
		} {
			h.acquired(name, long, name)
			h.errorIs(h.confirm(name), nil)
			h.errorIs(h.MarkAssigned(t.Context(), name), nil)
			h.errorIs(spoil("{test}:match:"+name, "{test}:claim:"+name), nil)
			got, err := h.Check(h.t.Context(), "match-good", "games/good", []string{name, "1"})
			if len(got) != 2 || got[0].Action != claims.Deliver || got[0].Details != nil || got[1].Action != claims.DeliverThis {
				t.Errorf("%s: %+v", name, got)
			}
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("ticket %q", name)) || strings.Contains(err.Error(), `"1"`) {
				t.Errorf("%s: %v does not name the ticket", name, err)
			}
		}
	})
}

// TestTakenOver: a match that was not assigned in time is revoked as a whole.
func TestTakenOver(t *testing.T) {
	each(t, func(h *harness) {
		for name, confirmed := range map[string]bool{"held": false, "confirmed": true} {
			a, b := "a-"+name, "b-"+name
			one, two, three := "1-"+name, "2-"+name, "3-"+name
			h.acquired(a, short, one, two)
			if confirmed {
				h.errorIs(h.confirm(a), nil)
			}
			eventually.NoError(h.t, "the ticket is taken over", func() error { return h.acquire(b, long, two, three) })
			h.errorIs(h.acquire(a, long, one, two), claims.ErrRevoked)
			h.errorIs(h.confirm(a), claims.ErrRevoked)
			h.errorIs(h.MarkAssigned(h.t.Context(), a), claims.ErrRevoked)
			h.expect(a, map[string]claims.Action{one: claims.Recreate, two: claims.Wait, three: claims.Wait})
			h.errorIs(h.confirm(b), nil)
			h.expect(a, map[string]claims.Action{two: claims.Wait})
			h.expect(b, map[string]claims.Action{one: claims.Recreate, two: claims.DeliverThis})
			h.acquired("c-"+name, long, one) // nobody's
			h.errorIs(h.Drop(h.t.Context(), a, []string{one, two}), nil)
			h.expect("c-"+name, map[string]claims.Action{one: claims.Wait})
		}
	})
}

// TestDelivered: a match that was delivered to one of its players stays.
func TestDelivered(t *testing.T) {
	each(t, func(h *harness) {
		h.acquired("a", long, "1", "2")
		h.errorIs(h.confirm("a"), nil)
		h.expect("a", map[string]claims.Action{"1": claims.DeliverThis})
		h.taken("b", []string{"2", "3"}, true, "2")
		h.expect("a", map[string]claims.Action{"2": claims.DeliverThis})
	})
}

// TestForgottenConfirmation: Redis has lost what was confirmed, as a failover can, and
// not that the match is assigned. Then what Open Match has is delivered, and nobody
// else's tickets are held up.
func TestForgottenConfirmation(t *testing.T) {
	each(t, func(h *harness) {
		h.acquired("a", long, "1")
		h.errorIs(h.MarkAssigned(h.t.Context(), "a"), nil)
		got, err := h.Check(h.t.Context(), "match-a", "games/a", []string{"1", "2"})
		if err != nil || got[0].Action != claims.Deliver || got[1].Action != claims.Deliver {
			h.t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestLateAssignment: an assignment that arrives when the match's time is over is not
// delivered, nor one to a match that had lost the ticket; then the match that holds it
// is revoked when its own time is over.
func TestLateAssignment(t *testing.T) {
	each(t, func(h *harness) {
		h.acquired("late", 0, "4", "5")
		h.errorIs(h.confirm("late"), nil)
		h.expect("late", map[string]claims.Action{"4": claims.Recreate, "5": claims.Recreate})
		h.errorIs(h.MarkAssigned(t.Context(), "late"), claims.ErrRevoked)

		h.acquired("a", 0, "1", "2")
		h.acquired("b", short, "2", "3")
		eventually.True(h.t, "the ticket is to be made anew", func() bool {
			got, err := h.Check(h.t.Context(), "match-a", "games/a", []string{"2"})
			return err == nil && got[0].Action == claims.Recreate
		})
		h.errorIs(h.confirm("b"), claims.ErrRevoked)
	})
}

// TestGivenUp: tickets are dropped, or are to be made anew.
func TestGivenUp(t *testing.T) {
	each(t, func(h *harness) {
		h.acquired("a", long, "1", "2")
		h.errorIs(h.Drop(h.t.Context(), "a", []string{"1", "2"}), nil)
		h.acquired("b", long, "2", "3")
		h.errorIs(h.confirm("b"), nil)
		h.errorIs(h.MarkAssigned(h.t.Context(), "b"), nil)
		h.errorIs(h.Revoke(h.t.Context(), "b"), nil)
		h.errorIs(h.Revoke(h.t.Context(), "b"), nil)
		h.expect("b", map[string]claims.Action{"1": claims.Deliver, "2": claims.Recreate, "3": claims.Recreate})
		// Redis comes back empty.
		h.errorIs(h.client.FlushAll(h.t.Context()).Err(), nil)
		h.errorIs(h.Revoke(h.t.Context(), "b"), claims.ErrGone)
		h.errorIs(h.confirm("b"), claims.ErrGone)
		h.errorIs(h.MarkAssigned(h.t.Context(), "b"), claims.ErrGone)
		h.expect("b", map[string]claims.Action{"2": claims.Deliver})
	})
}

// TestDroppedAfterTakeOver: an assignment of the match that a ticket was taken from is
// not delivered, even if the match that took it over has been given up.
func TestDroppedAfterTakeOver(t *testing.T) {
	each(t, func(h *harness) {
		h.acquired("a", 0, "1", "2")
		h.errorIs(h.confirm("a"), nil)
		h.acquired("b", long, "2", "3")
		h.errorIs(h.Drop(h.t.Context(), "b", []string{"2", "3"}), nil)
		h.acquired("c", long, "1") // so that the match of a is played without
		h.expect("a", map[string]claims.Action{"2": claims.Recreate, "3": claims.Deliver})
		h.acquired("d", long, "2", "3")
		h.errorIs(h.Drop(h.t.Context(), "d", []string{"2", "3"}), nil)
		h.expect("a", map[string]claims.Action{"2": claims.Recreate, "3": claims.Deliver})
	})
}

func (h *harness) retire(ticket string, assigned, want bool) {
	h.t.Helper()
	if got, err := h.Retire(h.t.Context(), ticket, assigned, 2*long); err != nil || got != want {
		h.t.Fatalf("retire %s: %v, %v; want %v", ticket, got, err, want)
	}
}

// TestRetired: nobody gets a ticket in whose place another one is made, whatever becomes of the
// match that had it; and none is made for a ticket that a match holds.
func TestRetired(t *testing.T) {
	each(t, func(h *harness) {
		h.acquired("late", 0, "1", "2")
		h.errorIs(h.confirm("late"), nil)
		h.expect("late", map[string]claims.Action{"1": claims.Recreate})
		h.retire("1", false, true)
		h.retire("1", false, true) // the answer was lost, or two frontends heard of it
		h.errorIs(h.Drop(h.t.Context(), "late", []string{"1", "2"}), nil)
		// A match that was fetched before.
		h.taken("fetched", []string{"1", "3"}, true, "1")
		h.acquired("again", long, "2", "3")
		h.expect("late", map[string]claims.Action{"1": claims.Recreate, "2": claims.Wait})
		h.errorIs(h.Drop(h.t.Context(), "again", []string{"1", "2", "3"}), nil)
		h.taken("fetched", []string{"1", "3"}, true, "1")

		h.acquired("live", long, "4", "5")
		h.retire("4", false, false)
		h.errorIs(h.confirm("live"), nil)
		h.retire("4", true, false)
		h.errorIs(h.MarkAssigned(h.t.Context(), "live"), nil)
		h.retire("4", false, false)
		h.expect("live", map[string]claims.Action{"4": claims.DeliverThis, "5": claims.DeliverThis})
		h.retire("4", true, true) // it has no place there
		h.expect("live", map[string]claims.Action{"4": claims.Recreate, "5": claims.DeliverThis})

		// Whose time is over loses the match as a whole.
		h.acquired("slow", 0, "6", "7")
		h.retire("6", false, true)
		h.errorIs(h.confirm("slow"), claims.ErrRevoked)
		h.expect("slow", map[string]claims.Action{"7": claims.Recreate})
		// Nobody has claimed it, or something else stands there.
		h.retire("8", false, true)
		h.errorIs(h.client.SAdd(h.t.Context(), "{test}:claim:9", "x").Err(), nil)
		h.retire("9", false, true)
		h.taken("other", []string{"8", "9"}, true, "8", "9")
		if state := h.client.HGet(h.t.Context(), "{test}:match:retired", "s").Val(); state != "revoked" {
			t.Errorf("what earlier versions look for is %q", state)
		}
		for _, key := range []string{"{test}:claim:1", "{test}:claim:8", "{test}:match:retired"} {
			if ttl := h.client.PTTL(h.t.Context(), key).Val(); ttl <= long || ttl > 2*long {
				t.Errorf("%s is kept for %v", key, ttl)
			}
		}
	})
}

// TestAbandoned: a match whose server is given back is not delivered any more, and none is
// given back under players who were sent there.
func TestAbandoned(t *testing.T) {
	each(t, func(h *harness) {
		h.errorIs(h.Abandon(h.t.Context(), "unknown"), claims.ErrGone)
		for token, confirmed := range map[string]bool{"held": false, "confirmed": true} {
			h.acquired(token, long, token)
			if confirmed {
				h.errorIs(h.confirm(token), nil)
			}
			h.errorIs(h.Abandon(h.t.Context(), token), nil)
			h.errorIs(h.Abandon(h.t.Context(), token), nil)
			h.errorIs(h.confirm(token), claims.ErrRevoked) // which was given up before, and is late
			h.expect(token, map[string]claims.Action{token: claims.Recreate})
		}
		h.acquired("delivered", long, "1", "2")
		h.errorIs(h.confirm("delivered"), nil)
		h.expect("delivered", map[string]claims.Action{"1": claims.DeliverThis})
		h.errorIs(h.Abandon(h.t.Context(), "delivered"), claims.ErrAssigned)
		h.expect("delivered", map[string]claims.Action{"2": claims.DeliverThis})
	})
}

// TestRace: of many matches that share tickets, and of whose directors each is too slow
// now and then, no two are delivered that have a ticket in common.
func TestRace(t *testing.T) {
	each(t, func(h *harness) {
		const tickets, directors, tries = 6, 4, 60
		delivered := make([]atomic.Value, tickets)
		var work sync.WaitGroup
		for d := range directors {
			work.Go(func() {
				for i := range tries {
					token := fmt.Sprint(d, "-", i)
					one, two := (d+i)%tickets, (d+2*i+1)%tickets
					if one == two {
						continue
					}
					own := []string{fmt.Sprint(one), fmt.Sprint(two)}
					hold := time.Duration(i%2) * 50 * time.Millisecond
					if i == tries-2 { // the last of all, for a machine on which each was too slow
						hold = long
					}
					if h.acquire(token, hold, own...) != nil || h.confirm(token) != nil {
						continue
					}
					for _, n := range []int{one, two} {
						got, err := h.Check(h.t.Context(), "match-"+token, "games/"+token, []string{fmt.Sprint(n)})
						if err != nil {
							h.t.Errorf("check: %v", err)
							return
						}
						if got[0].Action == claims.DeliverThis && got[0].Details.GetGameServer() == "games/"+token {
							if before := delivered[n].Swap(token); before != nil && before != token {
								h.t.Errorf("ticket %d is delivered to %v and %v", n, before, token)
							}
						}
					}
				}
			})
		}
		work.Wait()
		of := make(map[string]int)
		for i := range delivered {
			if token, ok := delivered[i].Load().(string); ok {
				of[token]++
			}
		}
		for token, n := range of {
			if n != 2 {
				h.t.Errorf("%d of two tickets of match %s are delivered", n, token)
			}
		}
		if len(of) == 0 {
			h.t.Error("nothing was delivered")
		}
	})
}
