package director_test

import (
	"context"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/director"
	"torikumi/pkg/eventually"
)

// holding blocks a method before its effect until open is closed, and tells
// when somebody has arrived.
func holding(method string) (hook func(context.Context, string, string) error, arrived, open chan struct{}) {
	arrived, open = make(chan struct{}, 100), make(chan struct{})
	return func(ctx context.Context, m, phase string) error {
		if m != method || phase != "before" {
			return nil
		}
		select {
		case arrived <- struct{}{}:
		default:
		}
		select {
		case <-open:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, arrived, open
}

// TestStopFinishesMatches: what has a server, or is getting one, is assigned
// and announced before the director ends.
func TestStopFinishesMatches(t *testing.T) {
	for _, method := range []string{"Allocate", "AssignTickets"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			h.addServers(1)
			hook, arrived, open := holding(method)
			h.hook = hook
			i := start(t, h, func(c *director.Config) { c.ShutdownTimeout = time.Minute })
			stream := subscribe(t, i)
			ids := h.addTickets(2)
			<-arrived
			i.stop()
			close(open)
			if a, err := stream.Recv(); err != nil || len(a.GetTicketIds()) != 2 {
				t.Errorf("announcement = %v, %v", a, err)
			}
			if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
				t.Errorf("end of the stream = %v", err)
			}
			if err := i.wait(); err != nil {
				t.Error(err)
			}
			if n := h.assigned(ids...); n != 2 {
				t.Errorf("%d tickets are assigned", n)
			}
			h.check(t)
		})
	}
}

// TestStopReleasesMatches: what has no server is released, at once where
// nobody has to be waited for.
func TestStopReleasesMatches(t *testing.T) {
	t.Run("alone", func(t *testing.T) { stopReleasesMatches(t, func(*testing.T, *director.Config) {}) })
	t.Run("with claims", func(t *testing.T) {
		stopReleasesMatches(t, func(t *testing.T, cfg *director.Config) { cfg.Redis = "redis://" + miniredis.RunT(t).Addr() })
	})
}

func stopReleasesMatches(t *testing.T, change func(*testing.T, *director.Config)) {
	for _, c := range []struct {
		name, hold string
		open       bool
		limit      time.Duration
	}{
		{name: "nothing is ready", limit: time.Hour},
		{name: "the match comes after the stop", hold: "FetchMatches", open: true, limit: time.Hour},
		{name: "the allocator hangs", hold: "Allocate", limit: 13 * time.Second},
		{name: "the list hangs", hold: "ListGameServers", limit: time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			hook, arrived, open := holding(c.hold)
			h.hook = hook
			ids := h.addTickets(2)
			i := start(t, h, func(cfg *director.Config) {
				cfg.ShutdownTimeout = c.limit
				change(t, cfg)
			})
			if c.hold == "" {
				eventually.True(t, "an allocation has failed", func() bool {
					return metric(t, i, `torikumi_director_allocations_total{allocator="`+h.fleetAddr+`",result="busy"}`) > 0
				})
			} else {
				<-arrived
			}
			if c.hold == "FetchMatches" {
				// The other queues' fetches hang too.
				<-arrived
				<-arrived
			}
			i.stop()
			if c.open {
				close(open)
			}
			if err := i.wait(); err != nil {
				t.Error(err)
			}
			h.do(func() {
				// The last fetch may have brought the tickets once more.
				if n := h.proposed[matchID(ids)]; n == 0 || len(h.released) != n {
					t.Errorf("released %v of %d matches", h.released, n)
				}
				for _, id := range ids {
					if tk := h.tickets[id]; !tk.pendingUntil.IsZero() || tk.GetAssignment() != nil {
						t.Errorf("ticket %s is held until %v, assigned to %v", id, tk.pendingUntil, tk.to)
					}
				}
			})
		})
	}
}
