package demo

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"torikumi/miniagones/miniagones"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
)

// Every number of players has a plan in which all can be matched.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 300).Draw(t, "players")
		tickets := plan(n, rapid.Uint64().Draw(t, "seed"))
		seen, inQueue, intruders := make(map[string]bool), make(map[string]int), make(map[kind]int)
		for _, s := range tickets {
			for _, p := range s.players {
				if seen[p.GetId()] {
					t.Fatalf("player %s is there twice", p.GetId())
				}
				seen[p.GetId()] = true
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

func TestPlanSeed(t *testing.T) {
	if a, b := show(plan(41, 7)), show(plan(41, 7)); a != b {
		t.Error("two plans for one seed")
	}
	if show(plan(41, 7)) == show(plan(41, 8)) {
		t.Error("the seed changes nothing")
	}
}

func examples(t testing.TB) *queues.Set {
	t.Helper()
	set, err := queues.Load(filepath.Join("..", "..", "docs", "examples", "queues.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// In any queues, each match has its own players, and those of a lane wait for
// each other.
func TestPlanQueues(t *testing.T) {
	set := examples(t)
	rapid.Check(t, func(t *rapid.T) {
		n := 2 * rapid.IntRange(1, 100).Draw(t, "half of the players")
		tickets, err := planQueues(set, n, rapid.Uint64().Draw(t, "seed"))
		if err != nil {
			t.Fatal(err)
		}
		seen, intruders := make(map[string]bool), make(map[kind]int)
		for _, s := range tickets {
			for _, k := range s.intruders {
				intruders[k]++
			}
			if s.method == byPlay {
				t.Fatal("the old route brings no attributes")
			}
		}
		if len(intruders) != int(kinds) {
			t.Errorf("kinds of intruders: %v", intruders)
		}
		for _, lane := range lanes(tickets) {
			for _, group := range lane {
				players := 0
				for _, s := range group {
					if s.lane != lane[0][0].lane || s.group != group[0].group || s.queue != group[0].queue || s.region != group[0].region {
						t.Fatalf("%+v is not with its own", s)
					}
					for _, p := range s.players {
						if seen[p.GetId()] {
							t.Fatalf("player %s is there twice", p.GetId())
						}
						seen[p.GetId()] = true
						players++
					}
				}
				if players != group[0].size {
					t.Fatalf("%d players for a match of %d", players, group[0].size)
				}
			}
		}
		if len(seen) != n {
			t.Fatalf("%d players instead of %d", len(seen), n)
		}
	})
}

func TestPlanQueuesSeed(t *testing.T) {
	of := func(seed uint64) string {
		tickets, err := planQueues(examples(t), 40, seed)
		if err != nil {
			t.Fatal(err)
		}
		return show(tickets)
	}
	if once, again := of(7), of(7); once != again {
		t.Error("two plans for one seed")
	}
	if of(7) == of(8) {
		t.Error("the seed changes nothing")
	}
}

func TestPlanQueuesErrors(t *testing.T) {
	set, err := queues.Parse([]byte(`queues: [{name: five, teams: [{name: a, players: 5}], skill: {attribute: s}}, {name: eight, teams: [{name: a, players: 8}], skill: {attribute: s}}]`))
	if err != nil {
		t.Fatal(err)
	}
	for players, want := range map[int]string{4: "as 5 does", 7: "as 5 or 8 does", 14: "as 13 or 15 does", 27: "as 26 or 28 does"} {
		if _, err := planQueues(set, players, 1); err == nil || !strings.Contains(err.Error(), "--players: must fill matches of 5 or 8 players, "+want) {
			t.Errorf("%d players: %v", players, err)
		}
	}
	if _, err := planQueues(set, 31, 1); err != nil {
		t.Error(err)
	}
}

func TestLanes(t *testing.T) {
	tickets := plan(41, 7)
	if got := lanes(tickets); len(got) != len(tickets) {
		t.Errorf("%d lanes of %d tickets", len(got), len(tickets))
	}
}

// show writes a plan out, players with all that they bring.
func show(tickets []ticket) string {
	var b strings.Builder
	for _, s := range tickets {
		for _, p := range s.players {
			fmt.Fprint(&b, p.GetId())
			for _, name := range slices.Sorted(maps.Keys(p.GetAttributes())) {
				raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(p.GetAttributes()[name])
				fmt.Fprintf(&b, " %s=%x", name, raw)
			}
			fmt.Fprint(&b, p.GetLatencies())
		}
		s.players = nil
		fmt.Fprintf(&b, "%+v\n", s)
	}
	return b.String()
}

// good is an audit in which everything is as it should be.
func good() *audit {
	a := newAudit()
	a.searching = 2
	m := a.match("m-1")
	m.server, m.expected, m.gone = "gs-1", map[string]string{"a": "east", "b": "west"}, true
	a.admit("a", "east", "m-1", 10*time.Millisecond)
	a.admit("b", "west", "m-1", 20*time.Millisecond)
	return a
}

func TestVerify(t *testing.T) {
	if err := good().verify(); err != nil {
		t.Fatalf("all is well, and still: %v", err)
	}
	for want, spoil := range map[string]func(*audit){
		"does not belong there":        func(a *audit) { a.admit("c", "east", "m-1", 0) },
		"never came in":                func(a *audit) { a.matches["m-1"].expected["c"] = "east" },
		`is in team "east", not "up"`:  func(a *audit) { a.matches["m-1"].expected["a"] = "up" },
		"was not recycled":             func(a *audit) { a.matches["m-1"].gone = false },
		"is in two matches":            func(a *audit) { a.admit("a", "east", "m-2", 0) },
		"admitted twice":               func(a *audit) { a.admit("a", "east", "m-1", 0) },
		"something a player has found": func(a *audit) { a.failf("something a player has found") },
	} {
		a := good()
		spoil(a)
		if err := a.verify(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestVerifyTwoServers(t *testing.T) {
	a, servers := newAudit(), []*miniagones.Server{
		{Name: "gs-1", Labels: map[string]string{contract.MatchLabel: "m-1"}, Annotations: map[string]string{contract.RosterAnnotation: "{}"}},
		{Name: "gs-2", Labels: map[string]string{contract.MatchLabel: "m-1"}, Annotations: map[string]string{contract.RosterAnnotation: "{}"}},
	}
	for _, s := range servers {
		a.observe(miniagones.Event{Server: s})
	}
	if err := a.verify(); err == nil || !strings.Contains(err.Error(), "has two servers, gs-1 and gs-2") {
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
