package demo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"torikumi/local/fleet"
	"torikumi/pkg/contract"
)

// Every number of players has a plan in which all can be matched.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 300).Draw(t, "players")
		seekers := plan(n, rapid.Uint64().Draw(t, "seed"))
		seen, inQueue, intruders := make(map[string]bool), make(map[string]int), make(map[kind]int)
		for _, s := range seekers {
			for _, p := range s.players {
				if seen[p] {
					t.Fatalf("player %s is there twice", p)
				}
				seen[p] = true
			}
			inQueue[s.queue+"/"+s.region] += len(s.players)
			if s.method == byPlay && (s.queue != "session" || len(s.players) != 1) {
				t.Fatalf("%+v cannot use the old route", s)
			}
			for _, k := range s.intruders {
				intruders[k]++
			}
		}
		if len(seen) != n {
			t.Fatalf("%d players instead of %d", len(seen), n)
		}
		size := map[string]int{"session": 2, "squad": 4, "trio": 3}
		for where, players := range inQueue {
			if queue, _, _ := strings.Cut(where, "/"); players%size[queue] != 0 {
				t.Fatalf("%d players in %s leave somebody alone", players, where)
			}
		}
		for k := range kinds {
			if intruders[k] == 0 {
				t.Fatalf("no %s intruder", k)
			}
		}
	})
}

func TestPlanIsTheSameForTheSameSeed(t *testing.T) {
	if a, b := fmt.Sprint(plan(41, 7)), fmt.Sprint(plan(41, 7)); a != b {
		t.Error("two plans for one seed")
	}
	if fmt.Sprint(plan(41, 7)) == fmt.Sprint(plan(41, 8)) {
		t.Error("the seed changes nothing")
	}
}

// good is a ledger in which everything is as it should be.
func good() *ledger {
	l := newLedger()
	l.searching = 2
	b := l.bout("m-1")
	b.server, b.expected, b.gone = "gs-1", map[string]string{"a": "east", "b": "west"}, true
	l.admit("a", "east", "m-1", 10*time.Millisecond)
	l.admit("b", "west", "m-1", 20*time.Millisecond)
	return l
}

func TestAudit(t *testing.T) {
	if err := good().audit(); err != nil {
		t.Fatalf("all is well, and still: %v", err)
	}
	for want, spoil := range map[string]func(*ledger){
		"does not belong there":        func(l *ledger) { l.admit("c", "east", "m-1", 0) },
		"never came in":                func(l *ledger) { l.bouts["m-1"].expected["c"] = "east" },
		`is in team "east", not "up"`:  func(l *ledger) { l.bouts["m-1"].expected["a"] = "up" },
		"was not recycled":             func(l *ledger) { l.bouts["m-1"].gone = false },
		"is in two matches":            func(l *ledger) { l.admit("a", "east", "m-2", 0) },
		"admitted twice":               func(l *ledger) { l.admit("a", "east", "m-1", 0) },
		"something a player has found": func(l *ledger) { l.fault("something a player has found") },
	} {
		l := good()
		spoil(l)
		if err := l.audit(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestTwoServersForOneMatchAreFound(t *testing.T) {
	f, sub := newLedger(), []*fleet.Server{
		{Name: "gs-1", Labels: map[string]string{contract.MatchLabel: "m-1"}, Annotations: map[string]string{contract.RosterAnnotation: "{}"}},
		{Name: "gs-2", Labels: map[string]string{contract.MatchLabel: "m-1"}, Annotations: map[string]string{contract.RosterAnnotation: "{}"}},
	}
	for _, s := range sub {
		f.see(fleet.Event{Server: s})
	}
	if err := f.audit(); err == nil || !strings.Contains(err.Error(), "has two servers, gs-1 and gs-2") {
		t.Errorf("got %v", err)
	}
}

func TestPercentile(t *testing.T) {
	var waits []time.Duration
	if got := percentile(waits, 0.5); got != 0 {
		t.Errorf("nobody waited %v", got)
	}
	for i := 100; i > 0; i-- {
		waits = append(waits, time.Duration(i))
	}
	for share, want := range map[float64]time.Duration{0.5: 50, 0.95: 95, 0.99: 99, 1: 100, 0.001: 1} {
		if got := percentile(waits, share); got != want {
			t.Errorf("%v: %v, not %v", share, got, want)
		}
	}
}
