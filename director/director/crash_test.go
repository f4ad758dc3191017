package director_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/director"
	"torikumi/pkg/eventually"
	"torikumi/pkg/proxytest"
)

// shortTimeouts are the time-outs of Open Match and the director for tests in which
// tickets have to come back by themselves. A call that is still on its way when
// they end allocates a second server, so that they are not too short for a
// machine that is busy.
func shortTimeouts(h *harness, pending time.Duration) func(*director.Config) {
	h.pending = pending
	return func(c *director.Config) {
		c.PendingReleaseTimeout, c.MatchTimeout = pending, pending*3/4
		c.ShutdownTimeout = 100 * time.Millisecond
	}
}

// startKillable starts a director whose connections all end when kill is called, at
// which nothing it does reaches anybody any more.
func startKillable(t *testing.T, h *harness, change func(*director.Config)) (i *instance, kill func()) {
	t.Helper()
	om, fleet := proxytest.New(t, "127.0.0.1:0", h.omAddr), proxytest.New(t, "127.0.0.1:0", h.fleetAddr)
	i = start(t, h, func(c *director.Config) {
		change(c)
		c.OpenMatch, c.Frontend = om.Addr, om.Addr
		c.Allocator, c.GameServers = []string{fleet.Addr}, fleet.Addr
	})
	return i, func() { om.Refuse(); fleet.Refuse(); i.stop() }
}

// TestCrash kills a director at each call it makes, before and after the
// call's effect, and starts another. All players get to play, nobody is sent
// to two servers, and no server is lost: the next director finds it by its
// match.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		method, phase string
		// effect says whether a call that is cut off on its way in still has
		// its effect, once the next director has begun.
		effect bool
		// unplayable makes the first director release what it has.
		unplayable bool
	}{
		{method: "FetchMatches", phase: "before"},
		{method: "FetchMatches", phase: "after"},
		{method: "ListGameServers", phase: "before"},
		{method: "ListGameServers", phase: "after"},
		{method: "Allocate", phase: "before"},
		{method: "Allocate", phase: "after"},
		{method: "AssignTickets", phase: "before"},
		{method: "AssignTickets", phase: "before", effect: true},
		{method: "AssignTickets", phase: "after"},
		{method: "ReleaseTickets", phase: "before", unplayable: true},
		{method: "ReleaseTickets", phase: "after", unplayable: true},
		{method: "DeleteGameServer", phase: "before", unplayable: true},
		{method: "DeleteGameServer", phase: "after", unplayable: true},
	} {
		name := c.method + " " + c.phase
		if c.effect {
			name += " with a late effect"
		}
		crash := func(t *testing.T, claims func(*director.Config)) {
			t.Parallel()
			h := newHarness(t)
			h.addServers(4)
			ids := h.addTickets(8)
			short := shortTimeouts(h, 2*time.Second)
			settings := func(cfg *director.Config) { short(cfg); claims(cfg) }

			killed := make(chan struct{})
			second := make(chan struct{})
			kill := make(chan func(), 1)
			var once sync.Once
			h.hook = func(_ context.Context, method, phase string) (err error) {
				if c.unplayable && method+phase == "AssignTicketsbefore" {
					select {
					case <-killed:
					default:
						err = status.Error(codes.PermissionDenied, "not yet")
					}
				}
				if method != c.method || phase != c.phase {
					return err
				}
				once.Do(func() {
					(<-kill)()
					close(killed)
					err = lost
					if c.effect {
						<-second
						err = nil
					}
				})
				return err
			}
			i, f := startKillable(t, h, settings)
			kill <- f
			select {
			case <-killed:
			case <-time.After(time.Minute):
				t.Fatal("the director never got there")
			}
			if err := i.wait(); err != nil {
				t.Errorf("director: %v", err)
			}

			start(t, h, settings)
			close(second)
			eventually.True(t, "all are assigned", func() bool { return h.assigned(ids...) == len(ids) })
			h.check(t)
			if n := h.inState("Allocated"); n != 4 {
				t.Errorf("%d servers are allocated for 4 matches", n)
			}
		}
		t.Run(name, func(t *testing.T) { crash(t, func(*director.Config) {}) })
		t.Run(name+", with claims", func(t *testing.T) {
			store := miniredis.RunT(t)
			crash(t, func(cfg *director.Config) { cfg.Redis = "redis://" + store.Addr() })
		})
	}
}

// TestCrashAmongMany kills one of two directors in the middle of the work.
func TestCrashAmongMany(t *testing.T) {
	t.Run("without claims", func(t *testing.T) { crashAmongMany(t, func(*director.Config) {}) })
	t.Run("with claims", func(t *testing.T) {
		store := miniredis.RunT(t)
		crashAmongMany(t, func(c *director.Config) { c.Redis = "redis://" + store.Addr() })
	})
}

func crashAmongMany(t *testing.T, claims func(*director.Config)) {
	h := newHarness(t)
	h.addServers(120)
	ids := h.addTickets(160)
	short := shortTimeouts(h, 6*time.Second)
	settings := func(c *director.Config) { short(c); claims(c) }
	i, kill := startKillable(t, h, settings)
	start(t, h, settings)
	eventually.True(t, "some are assigned", func() bool { return h.assigned(ids...) > 10 })
	kill()
	if err := i.wait(); err != nil {
		t.Errorf("director: %v", err)
	}
	ids = append(ids, h.addTickets(40)...)
	eventually.True(t, "all are assigned", func() bool { return h.assigned(ids...) == len(ids) })
	h.check(t)
	if n := h.inState("Allocated"); n != 100 {
		t.Errorf("%d servers are allocated for 100 matches", n)
	}
}
