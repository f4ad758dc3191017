package director_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/director"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

var lost = status.Error(codes.Unavailable, "connection reset")

func without(gameServers, frontend bool) func(*director.Config) {
	return func(c *director.Config) {
		if gameServers {
			c.GameServers = ""
		}
		if frontend {
			c.Frontend = ""
		}
	}
}

func matchTimeout(d time.Duration) func(*director.Config) {
	return func(c *director.Config) { c.MatchTimeout = d }
}

func (h *harness) releases() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.released)
}

// TestLostCalls: a few calls fail before or after their effect, and the match
// is played all the same, on the only server there is.
func TestLostCalls(t *testing.T) {
	for _, c := range []struct {
		method, phase string
		err           error
		n             int
	}{
		{"Allocate", "before", lost, 2},
		{"Allocate", "after", lost, 1},
		{"Allocate", "after", status.Error(codes.Unknown, "internal"), 1},
		{"Allocate", "before", status.Error(codes.Aborted, "contention"), 2},
		{"Allocate", "before", status.Error(codes.ResourceExhausted, "none"), 2},
		{"ListGameServers", "before", lost, 1},
		{"AssignTickets", "before", lost, 2},
		{"AssignTickets", "after", lost, 2},
		{"AssignTickets", "after", status.Error(codes.DeadlineExceeded, "slow"), 1},
		{"FetchMatches", "before", lost, 2},
		{"FetchMatches", "after", lost, 2},
	} {
		t.Run(c.method+" "+c.phase+" "+status.Code(c.err).String(), func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.addServers(1)
			h.hook = failing(c.method, c.phase, c.n, c.err)
			stream := subscribe(t, start(t, h, nil))
			ids := h.addTickets(2)
			if a, err := stream.Recv(); err != nil || len(a.GetTicketIds()) != 2 {
				t.Errorf("announcement = %v, %v", a, err)
			}
			if n := h.assigned(ids...); n != 2 {
				t.Errorf("%d tickets are assigned", n)
			}
			h.check(t)
		})
	}
}

// TestLostAllocationWithoutList: when nobody can be asked for the server that
// may have been allocated, the match is given up, and no call allocates twice.
func TestLostAllocationWithoutList(t *testing.T) {
	h := newHarness(t)
	h.addServers(3)
	var mu sync.Mutex
	allocations, releasedAt := 0, 0
	h.hook = func(_ context.Context, method, phase string) error {
		mu.Lock()
		defer mu.Unlock()
		switch method + phase {
		case "Allocateafter":
			if allocations++; allocations == 1 {
				return lost
			}
		case "ReleaseTicketsbefore":
			releasedAt = allocations
		}
		return nil
	}
	ids := h.addTickets(2)
	start(t, h, without(true, false))
	eventually.True(t, "the second match is assigned", func() bool { return h.assigned(ids...) == 2 })
	mu.Lock()
	defer mu.Unlock()
	if releasedAt != 1 || allocations != 2 {
		t.Errorf("tickets were released after %d allocations, of %d", releasedAt, allocations)
	}
}

// TestAllocatorIsDown: a call that never left is no reason to give the tickets
// up, list or not.
func TestAllocatorIsDown(t *testing.T) {
	h := newHarness(t)
	h.addServers(1)
	h.fleetServer.Stop()
	ids := h.addTickets(2)
	i := start(t, h, without(true, false))
	eventually.True(t, "the allocator is tried", func() bool {
		return metric(t, i, `torikumi_director_allocations_total{allocator="`+h.fleetAddr+`",result="not_sent"}`) >= 2
	})
	serve(t, h.fleetAddr, h.registerFleet)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
	if n := h.releases(); n != 0 {
		t.Errorf("tickets were released %d times", n)
	}
}

// TestLateAllocation: the first allocation happens after the look for it, so
// that the match gets two servers; the one that is not used is deleted.
func TestLateAllocation(t *testing.T) {
	h := newHarness(t)
	h.addServers(2)
	ids := h.addTickets(2)
	var once sync.Once
	var late *torikumiv1.GameServerInfo
	h.hook = func(_ context.Context, method, phase string) (err error) {
		if method+phase == "Allocatebefore" {
			once.Do(func() { err = lost })
		}
		if method+phase == "AssignTicketsbefore" {
			h.do(func() {
				if late != nil {
					return
				}
				late = h.servers["gs-0002"]
				late.State, late.Annotations = "Allocated", h.servers["gs-0001"].GetAnnotations()
				late.Labels[contract.MatchLabel] = h.servers["gs-0001"].GetLabels()[contract.MatchLabel]
			})
		}
		return err
	}
	start(t, h, nil)
	eventually.True(t, "the extra server is deleted", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Contains(h.deleted, "gs-0002")
	})
	if n := h.assigned(ids...); n != 2 {
		t.Errorf("%d tickets are assigned", n)
	}
	h.check(t)
}

func TestNothingReadyForAWhile(t *testing.T) {
	h := newHarness(t)
	ids := h.addTickets(2)
	i := start(t, h, nil)
	eventually.True(t, "allocation is tried", func() bool {
		return metric(t, i, `torikumi_director_allocations_total{allocator="`+h.fleetAddr+`",result="busy"}`) >= 2
	})
	h.addServers(1)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
	if n := h.releases(); n != 0 {
		t.Errorf("tickets were released %d times", n)
	}
	h.check(t)
}

func TestNothingReadyInTime(t *testing.T) {
	h := newHarness(t)
	ids := h.addTickets(2)
	i := start(t, h, matchTimeout(2*time.Second))
	eventually.True(t, "tickets are released", func() bool { return h.releases() > 0 })
	eventually.True(t, "they are matched again", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.proposed[matchID(ids)] > 1
	})
	h.addServers(1)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
	if metric(t, i, `torikumi_director_released_tickets_total{cause="timeout"}`) < 2 {
		t.Error("released tickets are not counted")
	}
	h.check(t)
}

// TestUnclearAssignment: the answers to all assignments of a match are lost.
func TestUnclearAssignment(t *testing.T) {
	for _, c := range []struct {
		name, phase string
		frontend    bool
		announced   bool
	}{
		{"assigned, and it can be read", "after", true, true},
		{"assigned, and it cannot be read", "after", false, false},
		{"not assigned, for all one knows", "before", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.addServers(2)
			lose := failing("AssignTickets", c.phase, -1, lost)
			asked, undone := false, 0
			h.hook = func(ctx context.Context, method, phase string) error {
				h.do(func() {
					if method == "AssignTickets" && !asked { // a match whose time was over before is given up
						asked, undone = true, len(h.deleted)+len(h.released)
					}
				})
				return lose(ctx, method, phase)
			}
			i := start(t, h, func(cfg *director.Config) {
				cfg.MatchTimeout = 2 * time.Second
				if !c.frontend {
					cfg.Frontend = ""
				}
			})
			stream := subscribe(t, i)
			ids := h.addTickets(2)
			outcome := `outcome="unknown"`
			if c.announced {
				outcome = `outcome="assigned"`
			}
			eventually.True(t, outcome, func() bool {
				return metric(t, i, `torikumi_director_matches_total{`+outcome+`,queue="session"}`) == 1
			})
			h.do(func() {
				if len(h.deleted)+len(h.released) > undone {
					t.Errorf("deleted %v, released %v: players may be on their way", h.deleted, h.released)
				}
				h.hook = nil
			})
			if !c.announced {
				// The next announcement is another match's.
				ids = h.addTickets(2)
			}
			a, err := stream.Recv()
			if err != nil || !slices.Equal(a.GetTicketIds(), ids) {
				t.Errorf("announcement = %v, %v; want tickets %v", a, err, ids)
			}
			h.check(t)
		})
	}
}

// TestTicketsGone: players may leave while a server is allocated for them.
func TestTicketsGone(t *testing.T) {
	for _, c := range []struct {
		name        string
		leave       int
		lostReply   bool
		deallocates bool
		// least is the size of the smallest match, as the match function says; 0: as
		// the queue says, whose is 2.
		least int32
	}{
		{name: "one of two, and one is enough", leave: 1, least: 1},
		{name: "one of two, and one is too few", leave: 1},
		{name: "all", leave: 2, deallocates: true},
		{name: "all, after an answer was lost", leave: 2, lostReply: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.addServers(1)
			ids := []string{"ticket-0000", "ticket-0001"}
			first := true
			h.hook = func(_ context.Context, method, phase string) (err error) {
				h.do(func() {
					switch {
					case method == "AssignTickets" && first && c.lostReply && phase == "before":
					case method == "AssignTickets" && first:
						first = false
						for _, id := range ids[:c.leave] {
							delete(h.tickets, id)
						}
						if c.lostReply {
							err = lost
						}
					}
				})
				return err
			}
			i := start(t, h, nil)
			stream := subscribe(t, i)
			h.do(func() { h.least = c.least })
			h.addTickets(2)
			switch {
			case c.leave == 1:
				a, err := stream.Recv()
				if err != nil || !slices.Equal(a.GetTicketIds(), ids[1:]) || (a.GetConnection() == "") != (c.least == 0) {
					t.Errorf("announcement = %v, %v", a, err)
				}
				outcome := map[int32]string{0: "withdrawn", 1: "assigned"}[c.least]
				eventually.True(t, outcome, func() bool {
					return metric(t, i, `torikumi_director_matches_total{outcome="`+outcome+`",queue="session"}`) == 1
				})
				h.do(func() {
					if got := h.tickets[ids[1]].GetAssignment().GetConnection(); got != a.GetConnection() || len(h.deleted) > 0 || len(h.released) > 0 {
						t.Errorf("assigned %q, deleted %v, released %v", got, h.deleted, h.released)
					}
				})
			case c.deallocates:
				eventually.True(t, "server deallocated", func() bool {
					h.mu.Lock()
					defer h.mu.Unlock()
					return slices.Equal(h.deleted, []string{"gs-0001"})
				})
			default:
				eventually.True(t, "server left running", func() bool {
					return metric(t, i, `torikumi_director_matches_total{outcome="unknown",queue="session"}`) == 1
				})
				if h.inState("Allocated") != 1 {
					t.Error("the server was deallocated, though players may have been on it")
				}
			}
			if c.leave != 1 || c.least > 0 {
				h.check(t)
			}
		})
	}
}

// TestMatchesBeforeAnError: they are real, and played.
func TestMatchesBeforeAnError(t *testing.T) {
	h := newHarness(t)
	h.addServers(2)
	ids := h.addTickets(4)
	h.do(func() {
		now := time.Now()
		h.script = []answer{{
			matches: []*openmatch.Match{h.match(ids[:2], now), h.match(ids[2:], now)},
			err:     status.Error(codes.Unknown, "a backfill has expired"),
		}}
	})
	start(t, h, nil)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 4 })
	if n := h.releases(); n != 0 {
		t.Errorf("tickets were released %d times", n)
	}
}

// TestRubbish: whatever a match function sends, good matches beside it are
// played, and no ticket that can be released is held back.
func TestRubbish(t *testing.T) {
	h := newHarness(t)
	h.addServers(2)
	ids := h.addTickets(4)
	h.do(func() {
		now := time.Now()
		twice := h.match(ids[:2], now)
		twice.Tickets = append(twice.Tickets, twice.Tickets[0])
		nameless := h.match(ids[:2], now)
		nameless.MatchId = ""
		good := h.match(ids[2:], now)
		again := h.match(ids[2:], now)
		again.MatchId = "session:again"
		h.script = []answer{{matches: []*openmatch.Match{
			nil, {}, {MatchId: "empty"}, {MatchId: "odd", Tickets: []*openmatch.Ticket{{}}}, twice, nameless, good, again,
		}}}
	})
	start(t, h, nil)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 4 })
	h.check(t)
	h.do(func() {
		for _, r := range h.released {
			if slices.Contains(r, ids[2]) {
				t.Errorf("released %v, of a match that is played", r)
			}
		}
	})
}

func TestOpenMatchRestarts(t *testing.T) {
	h := newHarness(t)
	h.addServers(2)
	ids := h.addTickets(2)
	i := start(t, h, nil)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
	h.om.Stop()
	eventually.True(t, "not ready", func() bool { return get(t, i, "/readyz").code == 503 })
	more := h.addTickets(2)
	serve(t, h.omAddr, h.registerOM, grpc.UnaryInterceptor(h.intercept))
	eventually.True(t, "assigned again", func() bool { return h.assigned(more...) == 2 })
	eventually.True(t, "ready", func() bool { return get(t, i, "/readyz").code == 200 })
	h.check(t)
}

// TestSilentFetch: Open Match hangs, as it does with its evaluator.
func TestSilentFetch(t *testing.T) {
	h := newHarness(t)
	h.pending = 2 * time.Second // a machine that is slow loses a fetch that did not hang, too
	h.addServers(1)
	ids := h.addTickets(2)
	// The first call of each queue hangs. None waits for another's: that one
	// would go on just when it is given up, and take its matches with it.
	var calls atomic.Int64
	h.hook = func(ctx context.Context, method, phase string) error {
		if method+phase == "FetchMatchesbefore" && calls.Add(1) <= int64(len(queues.Default().Queues)) {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	start(t, h, func(c *director.Config) { c.FetchSilence = 2 * time.Second })
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == 2 })
}

// TestBackPressure: with no room for more, the stream is not read; with room
// again, everything is placed.
func TestBackPressure(t *testing.T) {
	h := newHarness(t)
	h.addServers(40)
	gate := make(chan struct{})
	h.hook = func(ctx context.Context, method, phase string) error {
		if method+phase == "Allocatebefore" {
			select {
			case <-gate:
			case <-ctx.Done():
			}
		}
		return nil
	}
	ids := h.addTickets(80)
	i := start(t, h, func(c *director.Config) { c.MaxInFlight = 3 })
	eventually.True(t, "all slots are taken", func() bool { return metric(t, i, "torikumi_director_in_flight_matches") == 3 })
	if n := metric(t, i, `torikumi_director_fetches_total{queue="session",result="ok"}`); n != 0 {
		t.Errorf("%v fetches have ended", n)
	}
	close(gate)
	eventually.True(t, "assigned", func() bool { return h.assigned(ids...) == len(ids) })
	h.check(t)
}

// TestNextAllocator: while the preferred allocator is away, the next one gets
// matches their servers; the director is ready.
func TestNextAllocator(t *testing.T) {
	h := newHarness(t)
	h.addServers(10)
	ids := h.addTickets(20)
	i := start(t, h, func(c *director.Config) { c.Allocator = []string{porttest.Hold(t).String(), h.fleetAddr} })
	eventually.True(t, "all are assigned", func() bool { return h.assigned(ids...) == len(ids) })
	h.check(t)
	if r := get(t, i, "/readyz"); r.code != http.StatusOK {
		t.Errorf("ready: %v", r)
	}
}
