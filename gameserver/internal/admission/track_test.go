package admission

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// tracker is an SDK server that is told of players. Each change of it comes back by the watch.
type tracker struct {
	Server
	c *Controller

	mu     sync.Mutex
	broken map[string]bool // by name
	shows  map[string][]string
	calls  map[string]int
}

func (k *tracker) Track(_ context.Context, where *torikumiv1.Tracking, players []string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, name := range []string{where.GetCounter(), where.GetList()} {
		if name == "" {
			continue
		}
		if k.calls[name]++; k.broken[name] {
			errs = append(errs, errors.New("not found. no "+name))
			continue
		}
		k.shows[name] = players
		k.c.wake() // as the watch does
	}
	return errors.Join(errs...)
}

func (k *tracker) set(name string, broken bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.broken[name] = broken
}

func (k *tracker) told() (shows map[string][]string, calls map[string]int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.shows), maps.Clone(k.calls)
}

func trackedView(t *testing.T, state, match string, where *torikumiv1.Tracking) watch.View {
	t.Helper()
	roster := harness.Roster("ann", "bob")
	roster.Tracking = where
	text, err := contract.EncodeRoster(roster)
	if err != nil {
		t.Fatal(err)
	}
	return watch.View{Name: "s", UID: "u", State: state, Match: match, Roster: text}
}

// startTracking runs Track in a bubble until stop.
func startTracking(t *testing.T) (k *tracker, stop func()) {
	t.Helper()
	memory, err := journal.Open("", nil)
	if err != nil {
		t.Fatal(err)
	}
	k = &tracker{broken: map[string]bool{}, shows: map[string][]string{}, calls: map[string]int{}}
	k.c = New(Options{Journal: memory, Server: k, Policy: policy, Logger: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.c.Track(ctx) }()
	return k, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func (k *tracker) enter(players ...string) {
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	for _, p := range players {
		k.c.state.Presence.Enter(journal.Player{Player: p, Admission: p})
	}
	k.c.wake()
}

// TestTrackWithTypo: a list that there is not is tried with pauses, neither as fast as its
// own failures nor as the watch tells of the counter; and that is told at once meanwhile.
func TestTrackWithTypo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, stop := startTracking(t)
		defer stop()
		k.set("typo", true)
		k.c.Observe(trackedView(t, agones.Allocated, "m", &torikumiv1.Tracking{Counter: "players", List: "typo"}))
		for range 60 {
			time.Sleep(time.Second)
			k.c.wake()
		}
		if _, calls := k.told(); calls["typo"] < 5 || calls["typo"] > 20 || calls["players"] != 1 {
			t.Errorf("in a minute: %v", calls)
		}
		k.enter("ann")
		synctest.Wait()
		if shows, _ := k.told(); fmt.Sprint(shows["players"]) != "[ann]" {
			t.Errorf("beside what fails: %v", shows)
		}
		k.set("typo", false)
		time.Sleep(10 * time.Second)
		if shows, _ := k.told(); fmt.Sprint(shows["typo"]) != "[ann]" {
			t.Errorf("once there is a list: %v", shows)
		}
	})
}

// TestTrackEndsWithTheMatch: what was told of a match is taken back when the server is free,
// or has come to a match whose queue wants something else, or nothing.
func TestTrackEndsWithTheMatch(t *testing.T) {
	where := &torikumiv1.Tracking{Counter: "a", List: "typo"}
	for name, test := range map[string]struct {
		next watch.View
		want string
	}{
		"free":                       {trackedView(t, agones.Ready, "m", where), "map[a:[]]"},
		"another queue":              {trackedView(t, agones.Allocated, "m-next", &torikumiv1.Tracking{Counter: "b"}), "map[a:[] b:[cy]]"},
		"a queue that wants nothing": {trackedView(t, agones.Allocated, "m-next", nil), "map[a:[]]"},
		"without a roster":           {watch.View{Name: "s", UID: "u", State: agones.Allocated, Match: "m-next"}, "map[a:[]]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			k, stop := startTracking(t)
			defer stop()
			k.set("typo", true)
			k.c.Observe(trackedView(t, agones.Allocated, "m", where))
			k.enter("ann", "bob")
			synctest.Wait()
			if shows, _ := k.told(); fmt.Sprint(shows) != "map[a:[ann bob]]" {
				t.Fatalf("%s: at first %v", name, shows)
			}
			k.c.Observe(test.next)
			if test.next.State == agones.Allocated {
				k.enter("cy")
			}
			synctest.Wait()
			if shows, _ := k.told(); fmt.Sprint(shows) != test.want {
				t.Errorf("%s: %v, want %s", name, shows, test.want)
			}
		})
	}
}

// TestTrackAfterRestart: an earlier gate has told of a match that was over before this one
// began.
func TestTrackAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, stop := startTracking(t)
		defer stop()
		k.c.Observe(trackedView(t, agones.Ready, "m", &torikumiv1.Tracking{Counter: "a"}))
		synctest.Wait()
		if shows, calls := k.told(); fmt.Sprint(shows) != "map[a:[]]" || calls["a"] != 1 {
			t.Errorf("%v, %v", shows, calls)
		}
	})
}
