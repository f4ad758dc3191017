package api

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/frontend/internal/ticket"
)

// TestPlayingChecks: calls that ask for a player at the same time are one for the directors, who
// are asked again for each later one, up to a limit; then the last answer is told for a second.
// What they say of one is not told of another.
func TestPlayingChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []string
		over := false
		c := newPlayingChecks(func(_ context.Context, t *ticket.Ticket, player string) (playing, known bool) {
			mu.Lock()
			asked = append(asked, t.ID+" "+player)
			playing = player != "bob" && !over
			mu.Unlock()
			time.Sleep(300 * time.Millisecond)
			return playing, true
		})
		// all has many calls ask at the same time, and returns whom directors were asked for.
		all := func(wantAlice bool) []string {
			var calls sync.WaitGroup
			for i := range 30 {
				id, player, want := "1", "alice", wantAlice
				if i%3 == 1 {
					player, want = "bob", false
				}
				if i%3 == 2 {
					id = "2"
				}
				calls.Go(func() {
					if playing, known := c.plays(t.Context(), &ticket.Ticket{ID: id}, player); playing != want || !known {
						t.Errorf("%s plays by ticket %s: %v, known %v; want %v", player, id, playing, known, want)
					}
				})
			}
			calls.Wait()
			got := asked
			asked = nil
			slices.Sort(got)
			return got
		}
		each := []string{"1 alice", "1 bob", "2 alice"}
		if got := all(true); !slices.Equal(got, each) {
			t.Errorf("asked for %q, want %q", got, each)
		}
		over = true
		if got := all(false); !slices.Equal(got, each) { // as soon as a match is over
			t.Errorf("at once asked again for %q, want %q", got, each)
		}
		for len(all(false)) > 0 { // to the limit
			if len(c.last.current) == 0 {
				t.Fatal("nothing is remembered")
			}
		}
		over = false
		if got := all(false); len(got) != 0 {
			t.Errorf("above the limit asked for %q", got)
		}
		time.Sleep(playingInterval)
		if got := all(true); !slices.Equal(got, each) {
			t.Errorf("after a second asked for %q, want %q", got, each)
		}
	})
}

// TestPlayingChecksCallerGone: one who has gone does not wait, and costs those who have asked
// with them nothing.
func TestPlayingChecksCallerGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPlayingChecks(func(ctx context.Context, _ *ticket.Ticket, _ string) (playing, known bool) {
			select {
			case <-ctx.Done():
				return false, false
			case <-time.After(time.Second):
				return true, true
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var stays sync.WaitGroup
		stays.Go(func() {
			time.Sleep(time.Microsecond) // the second
			if playing, known := c.plays(t.Context(), &ticket.Ticket{ID: "1"}, "alice"); !playing || !known {
				t.Errorf("who stays is told: %v, known %v", playing, known)
			}
		})
		begin := time.Now()
		if _, known := c.plays(ctx, &ticket.Ticket{ID: "1"}, "alice"); known || time.Since(begin) > time.Millisecond {
			t.Errorf("who has gone is told something, after %v", time.Since(begin))
		}
		stays.Wait()
	})
}

// TestPlayingChecksForget: what nobody asks for any more is not kept.
func TestPlayingChecksForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newPlayingChecks(func(context.Context, *ticket.Ticket, string) (playing, known bool) { return true, true })
		for i := range 100 {
			c.plays(t.Context(), &ticket.Ticket{ID: fmt.Sprint(i)}, "alice")
			time.Sleep(playingFor / 10)
		}
		if n := c.last.len(); n > 22 {
			t.Errorf("%d answers are kept, of which 10 are not too old", n)
		}
	})
}
