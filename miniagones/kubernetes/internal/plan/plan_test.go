package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"torikumi/miniagones/internal/state"
	"torikumi/miniagones/kubernetes/internal/plan"
	"torikumi/pkg/agones"
)

func servers(set string, states ...state.State) (out []plan.Server) {
	for i, s := range states {
		out = append(out, plan.Server{Name: fmt.Sprintf("%s-%d", set, i), Set: set, State: s})
	}
	return out
}

func TestDecide(t *testing.T) {
	const ready, pending = agones.Ready, agones.Scheduled
	fleet := plan.Fleet{Replicas: 3, Set: "new", Surge: 1, Unavailable: 1}
	for _, c := range []struct {
		name    string
		servers []plan.Server
		create  int
		delete  []string
	}{
		{"empty", nil, 3, nil},
		{"full", servers("new", ready, agones.Allocated, pending), 0, nil},
		{"those on their way out are replaced", servers("new", ready, agones.Shutdown, agones.Unhealthy, agones.Error), 2, nil},
		{"all in use", servers("new", agones.Allocated, agones.Allocated, agones.Reserved, agones.Allocated), 0, nil},
		{"in use beyond the number, and a Ready one", servers("new", agones.Allocated, agones.Allocated, agones.Allocated, ready), 0, []string{"new-3"}},
		{"pending ones go first", servers("new", ready, pending, ready, pending, ready), 0, []string{"new-1", "new-3"}},
		{"roll out", servers("old", ready, ready, ready), 1, []string{"old-0"}},
		{"roll out beside one in use", servers("old", agones.Allocated, ready, ready), 1, []string{"old-1"}},
		{"roll out past one that does not start", append(servers("old", pending, ready), servers("new", ready)...), 2, []string{"old-0"}},
		{"the last of the old", append(servers("old", ready), servers("new", ready, ready, ready)...), 0, []string{"old-0"}},
	} {
		p := plan.Decide(fleet, c.servers)
		if p.Create != c.create || !slices.Equal(p.Delete, c.delete) {
			t.Errorf("%s: create %d and delete %v, want %d and %v", c.name, p.Create, p.Delete, c.create, c.delete)
		}
	}
}

// TestRollOut: whatever a fleet looks like, it comes to rest at the wanted number
// of servers of the new template, and on the way never deletes one in use, never has
// more servers and never fewer Ready ones than it may.
func TestRollOut(t *testing.T) {
	states := []state.State{agones.PortAllocation, agones.Scheduled, agones.Ready, agones.Ready, agones.Allocated, agones.Reserved, agones.Unhealthy}
	rapid.Check(t, func(t *rapid.T) {
		f := plan.Fleet{
			Replicas: rapid.IntRange(0, 8).Draw(t, "replicas"), Set: "new",
			Surge: rapid.IntRange(0, 3).Draw(t, "surge"), Unavailable: rapid.IntRange(0, 3).Draw(t, "unavailable"),
		}
		if f.Surge+f.Unavailable == 0 {
			f.Surge = 1
		}
		fleet := make(map[string]plan.Server)
		for i, s := range rapid.SliceOfN(rapid.SampledFrom(states), 0, 10).Draw(t, "states") {
			s := plan.Server{Name: fmt.Sprint("s", i), State: s, Set: rapid.SampledFrom([]string{"old", "new"}).Draw(t, "set")}
			fleet[s.Name] = s
		}
		list := func() (out []plan.Server) {
			for _, s := range fleet {
				out = append(out, s)
			}
			return out
		}
		for step := 0; ; step++ {
			before := plan.Decide(f, list())
			if before.Empty() && settled(fleet) {
				break
			}
			if step > 100 {
				t.Fatalf("no rest: %v", fleet)
			}
			kept := before.Counts.Allocated + before.Counts.Reserved
			for _, name := range before.Delete {
				if s := fleet[name]; s.State == agones.Allocated || s.State == agones.Reserved {
					t.Fatalf("deletes %s, which is %s", name, s.State)
				}
				delete(fleet, name)
			}
			for i := range before.Create {
				name := fmt.Sprintf("n%d-%d", step, i)
				fleet[name] = plan.Server{Name: name, Set: "new", State: agones.Scheduled}
			}
			after := plan.Decide(f, list()).Counts
			if most := max(f.Replicas+f.Surge, before.Counts.All); after.All > most {
				t.Fatalf("%d servers, at most %d may be", after.All, most)
			}
			if least := min(before.Counts.Ready, f.Replicas-kept-f.Unavailable); after.Ready < least {
				t.Fatalf("%d servers Ready, at least %d have to be", after.Ready, least)
			}
			start(t, fleet)
		}
		for _, s := range fleet {
			if s.State == agones.Ready && s.Set == "old" {
				t.Errorf("%v is left", s)
			}
		}
		c := plan.Decide(f, list()).Counts
		if want := max(f.Replicas, c.Allocated+c.Reserved); c.All != want {
			t.Errorf("%d servers, want %d", c.All, want)
		}
	})
}

func settled(fleet map[string]plan.Server) bool {
	for _, s := range fleet {
		if s.State.BeforeReady() {
			return false
		}
	}
	return true
}

// start lets some of the servers become Ready, and those that have ended go.
func start(t *rapid.T, fleet map[string]plan.Server) {
	for _, name := range slices.Sorted(maps.Keys(fleet)) {
		s := fleet[name]
		switch {
		case s.State.Ended():
			delete(fleet, name)
		case s.State.BeforeReady() && rapid.Bool().Draw(t, "starts"):
			s.State = agones.Ready
			fleet[name] = s
		}
	}
}
