package director_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/director"
)

// brisk are the time-outs of Open Match and the director for tests in which
// tickets have to come back by themselves. A call that is still on its way when
// they end allocates a second server, so that they are not too brisk for a
// machine that is busy.
func brisk(w *world, pending time.Duration) func(*director.Config) {
	w.pending = pending
	return func(c *director.Config) {
		c.PendingReleaseTimeout, c.MatchTimeout = pending, pending*3/4
		c.ShutdownTimeout = 100 * time.Millisecond
	}
}

// mortal starts a director whose connections all end when kill is called, at
// which nothing it does reaches anybody any more.
func mortal(t *testing.T, w *world, change func(*director.Config)) (i *instance, kill func()) {
	t.Helper()
	om, fleet := newProxy(t, w.omAddr), newProxy(t, w.fleetAddr)
	i = start(t, w, func(c *director.Config) {
		change(c)
		c.OpenMatch, c.Frontend = om.addr, om.addr
		c.Allocator, c.GameServers = fleet.addr, fleet.addr
	})
	return i, func() { om.cut(); fleet.cut(); i.stop() }
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
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.addServers(4)
			ids := w.addTickets(8)
			settings := brisk(w, 2*time.Second)

			killed := make(chan struct{})
			second := make(chan struct{})
			kill := make(chan func(), 1)
			var once sync.Once
			w.hook = func(_ context.Context, method, phase string) (err error) {
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
			i, f := mortal(t, w, settings)
			kill <- f
			select {
			case <-killed:
			case <-time.After(20 * time.Second):
				t.Fatal("the director never got there")
			}
			if err := i.wait(); err != nil {
				t.Errorf("director: %v", err)
			}

			start(t, w, settings)
			close(second)
			eventually(t, "all are assigned", func() bool { return w.assigned(ids...) == len(ids) })
			w.check(t)
			if n := w.inState("Allocated"); n != 4 {
				t.Errorf("%d servers are allocated for 4 matches", n)
			}
		})
	}
}

// TestCrashAmongMany kills one of two directors in the middle of the work.
func TestCrashAmongMany(t *testing.T) {
	w := newWorld(t)
	w.addServers(120)
	ids := w.addTickets(160)
	settings := brisk(w, 6*time.Second)
	i, kill := mortal(t, w, settings)
	start(t, w, settings)
	eventually(t, "some are assigned", func() bool { return w.assigned(ids...) > 10 })
	kill()
	if err := i.wait(); err != nil {
		t.Errorf("director: %v", err)
	}
	ids = append(ids, w.addTickets(40)...)
	eventually(t, "all are assigned", func() bool { return w.assigned(ids...) == len(ids) })
	w.check(t)
	if n := w.inState("Allocated"); n != 100 {
		t.Errorf("%d servers are allocated for 100 matches", n)
	}
}
