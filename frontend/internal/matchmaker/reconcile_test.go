package matchmaker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// faults are calls that fail, of a store and of an Open Match that has assigned every ticket
// but those that it has lost.
type faults struct {
	ticket.Store
	openmatch.FrontendServiceClient

	mu sync.Mutex
	// fails reports whether a call for a ticket of ours, or of Open Match, fails.
	fails func(call, id string) bool
	lost  map[string]bool
	// ended are listed after the oldest tickets, and have ended since.
	ended []string
	// opened is how often all tickets were asked for, failed how many calls for one have failed,
	// made how many Open Match has made.
	opened, failed, made int
	// since is what the last one of them says of when its players began to search, if it does.
	since time.Time
}

func (f *faults) away(call, id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fails == nil || !f.fails(call, id) {
		return false
	}
	f.failed++
	return true
}

func (f *faults) set(fails func(call, id string) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

func (f *faults) Open(ctx context.Context) ([]string, error) {
	f.mu.Lock()
	f.opened++
	f.mu.Unlock()
	ids, err := f.Store.Open(ctx)
	if err != nil || len(f.ended) == 0 {
		return ids, err
	}
	return slices.Insert(ids, len(ids)-1, f.ended...), nil
}

func (f *faults) Get(ctx context.Context, id string) (ticket.Ticket, error) {
	if f.away("Get", id) {
		return ticket.Ticket{}, ticket.ErrUnavailable
	}
	return f.Store.Get(ctx, id)
}

func (f *faults) Update(ctx context.Context, id string, e ticket.Event) (ticket.Change, error) {
	if f.away(e.Kind.String(), id) {
		return ticket.Change{}, ticket.ErrUnavailable
	}
	return f.Store.Update(ctx, id, e)
}

func (f *faults) CreateTicket(_ context.Context, r *openmatch.CreateTicketRequest, _ ...grpc.CallOption) (*openmatch.Ticket, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made++
	f.since, _ = contract.SearchTime(r.GetTicket())
	return &openmatch.Ticket{Id: fmt.Sprint("om-", f.made)}, nil
}

func (f *faults) GetTicket(_ context.Context, r *openmatch.GetTicketRequest, _ ...grpc.CallOption) (*openmatch.Ticket, error) {
	id := r.GetTicketId()
	if f.away("GetTicket", id) {
		return nil, status.Error(codes.Unavailable, "away")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost[id] {
		return nil, status.Error(codes.NotFound, "lost")
	}
	return &openmatch.Ticket{Assignment: &openmatch.Assignment{Connection: "192.0.2.1:7000"}}, nil
}

// reconciling makes a client of faults with tickets of as many players, which has begun to
// read them, and a function that says in which states they are.
func reconciling(t *testing.T, f *faults, players int) (c *Client, ids []string, states func() []ticket.State) {
	t.Helper()
	f.Store = ticket.NewMemory(ticket.Limits{Timeout: 2 * time.Hour, Assigned: 2 * time.Hour, Ended: 2 * time.Hour, Tickets: 3000})
	c = New(Options{
		Store: f, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Timeout: 2 * time.Hour, ReconcileRate: 100, ReconcileEvery: time.Hour,
	})
	c.tickets = f
	for i := range players {
		made, err := c.Create(t.Context(), ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: fmt.Sprint("player-", i)}}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.ID)
		time.Sleep(time.Millisecond) // the next is younger
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.reconcile(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return c, ids, func() (all []ticket.State) {
		for _, id := range ids {
			got, err := f.Store.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, got.State)
		}
		return all
	}
}

// TestOneIsNotRead: a call that fails for one ticket keeps no other from its match, and has
// that one alone read again.
func TestOneIsNotRead(t *testing.T) {
	for _, call := range []string{"Get", "GetTicket", "MarkLost", "BeginRetry"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &faults{lost: map[string]bool{"om-1": call == "MarkLost" || call == "BeginRetry"}}
				c, ids, states := reconciling(t, f, 5)
				f.set(func(called, id string) bool { return called == call && (id == ids[0] || id == "om-1") })
				c.reconcileSoon()
				time.Sleep(time.Minute)
				for i, got := range states() {
					if (got == ticket.Assigned) != (i > 0) {
						t.Errorf("ticket %d is %v", i+1, got)
					}
				}
				f.set(nil)
				time.Sleep(10 * time.Second)
				want := ticket.Assigned
				if f.lost["om-1"] {
					want = ticket.Waiting
				}
				if got := states()[0]; got != want || f.made != map[ticket.State]int{ticket.Assigned: 5, ticket.Waiting: 6}[want] {
					t.Errorf("the first, when its calls do not fail any more: %v, of %d in Open Match", got, f.made)
				}
				if f.opened != 1 {
					t.Errorf("all tickets were read %d times", f.opened)
				}
			})
		})
	}
}

// TestMadeAgainKeepsItsWait: an Open Match ticket that is created in the place of one that was
// lost, or whose match is not played, says since when its players search.
func TestMadeAgainKeepsItsWait(t *testing.T) {
	for name, lose := range map[string]func(*Client, *faults) error{
		"lost": func(c *Client, f *faults) error {
			f.mu.Lock()
			f.lost = map[string]bool{"om-1": true}
			f.mu.Unlock()
			c.reconcileSoon()
			return nil
		},
		"not played": func(c *Client, _ *faults) error { return c.withdrawn(t.Context(), "om-1", false) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &faults{fails: func(call, _ string) bool { return call == "GetTicket" }}
				c, ids, _ := reconciling(t, f, 1)
				if !f.since.IsZero() {
					t.Errorf("the first says %v of when its players began to search; Open Match knows", f.since)
				}
				began, err := f.Store.Get(t.Context(), ids[0])
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				f.set(nil)
				if err := lose(c, f); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				f.mu.Lock()
				defer f.mu.Unlock()
				if f.made != 2 || !f.since.Equal(began.Searching()) {
					t.Errorf("%d tickets; the last one says its players search since %v, want 2 and %v", f.made, f.since, began.Searching())
				}
			})
		})
	}
}

// TestEndedAreNotWaitedFor: after calls that have failed there is no pause before tickets that
// have ended meanwhile, as all do when Redis comes back empty.
func TestEndedAreNotWaitedFor(t *testing.T) {
	for _, call := range []string{"Get", "GetTicket"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &faults{}
				for i := range 1000 {
					f.ended = append(f.ended, fmt.Sprint("ended-", i))
				}
				c, ids, states := reconciling(t, f, 2*inARow)
				last := len(ids) - 1
				fails := make(map[string]bool)
				for i := range last {
					fails[ids[i]], fails[fmt.Sprint("om-", i+1)] = true, true
				}
				f.set(func(called, id string) bool { return called == call && fails[id] })
				c.reconcileSoon()
				time.Sleep(10 * time.Second)
				if got := states()[last]; got != ticket.Assigned {
					t.Errorf("the ticket after those that have ended is %v", got)
				}
			})
		})
	}
}

// TestNewestAreRead: while the store or Open Match is away again and again, for a moment or for
// minutes, and is asked seldom then, all tickets have their turn.
func TestNewestAreRead(t *testing.T) {
	for _, call := range []string{"Get", "GetTicket"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const players = 3000 // which takes 30 s
				f := new(faults)
				c, _, states := reconciling(t, f, players)
				away := false
				f.set(func(called, _ string) bool { return called == call && away })
				c.reconcileSoon()
				for range 3 {
					time.Sleep(8 * time.Second)
					f.mu.Lock()
					away = true
					before := f.failed
					f.mu.Unlock()
					time.Sleep(5 * time.Minute)
					f.mu.Lock()
					away = false
					if n := f.failed - before; n == 0 || n > 600 {
						t.Errorf("away for 5 minutes, and asked %d times", n)
					}
					f.mu.Unlock()
				}
				time.Sleep(40 * time.Second)
				for i, got := range states() {
					if got != ticket.Assigned {
						t.Errorf("ticket %d is %v", i+1, got)
					}
				}
				if f.opened != 1 {
					t.Errorf("all tickets were read %d times", f.opened)
				}
			})
		})
	}
}

// TestLostIsReadSoon: a ticket that Open Match has lost and that could not be created anew, as the
// store was away, is read as soon as that is back, whether or not the store had heard of it.
func TestLostIsReadSoon(t *testing.T) {
	for _, heard := range []bool{false, true} {
		t.Run(fmt.Sprint("heard ", heard), func(t *testing.T) {
			store := &remote{Store: ticket.NewMemory(ticket.Limits{Timeout: time.Hour, Assigned: time.Hour, Ended: time.Hour, Tickets: 10})}
			c := New(Options{Store: store, Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()), Timeout: time.Hour})
			c.tickets = new(flaky)
			made, err := c.Create(t.Context(), ticket.Ticket{Queue: "session", Players: []*torikumiv1.Player{{Id: "alice"}}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := store.Update(t.Context(), made.ID, ticket.Event{Kind: ticket.MarkLost, OpenMatchID: made.OpenMatchID}); err != nil {
				t.Fatal(err)
			}
			if store.away.Store(!heard); heard {
				store.loses = ticket.BeginRetry
			}
			if err := c.recreate(t.Context(), made.ID); !errors.Is(err, errUnchecked) {
				t.Errorf("created anew while the store is away: %v", err)
			}
			store.away.Store(false)
			c.abortAgain(t.Context())
			select {
			case <-c.again:
			default:
				t.Error("the ticket is not read soon")
			}
		})
	}
}
