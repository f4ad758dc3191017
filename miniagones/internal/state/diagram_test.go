package state_test

import (
	"slices"
	"testing"
	"time"

	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
	"torikumi/pkg/statediagram"
)

// event is something that may happen to a server in some of its states.
type event struct {
	in    []state.State
	apply func(r *harness, name string)
}

// events are all of them, in the states in which the fleet's runner lets them happen:
// there is no program that could speak before Starting.
func events() []event {
	before := []state.State{agones.PortAllocation, agones.Creating}
	running := []state.State{agones.Starting, agones.Scheduled, agones.Ready, agones.Reserved, agones.Allocated}
	live := slices.Concat(before, running)
	return []event{
		{before, func(r *harness, n string) { r.Placed(n, "127.0.0.1", "local", nil) }},
		{[]state.State{agones.Creating}, func(r *harness, n string) { r.Starting(n) }},
		{[]state.State{agones.PortAllocation, agones.Creating, agones.Starting}, func(r *harness, n string) {
			r.Failed(n, state.Failure{Time: r.now})
		}},
		{running, func(r *harness, n string) { r.Started(n, r.now) }},
		{running, func(r *harness, n string) { r.Exited(n, state.Failure{Time: r.now}) }},
		{running, func(r *harness, n string) { r.must(r.SDKReady(n)) }},
		{running, func(r *harness, n string) { r.must(r.SDKAllocate(n, r.now)) }},
		{running, func(r *harness, n string) { r.must(r.SDKReserve(n, time.Second, r.now)) }},
		{running, func(r *harness, n string) { r.must(r.SDKShutdown(n)) }},
		{[]state.State{agones.Ready}, func(r *harness, _ string) { r.allocate(nil) }},
		{running, func(r *harness, n string) { r.now = r.now.Add(time.Minute); r.SDKHealth(n, r.now); r.step() }},
		{running, func(r *harness, _ string) { r.now = r.now.Add(time.Minute); r.step() }},
		{live, func(r *harness, n string) { r.must(r.Delete("default", n, r.Get(n).UID, "", r.now)); r.Gone(n) }},
		{[]state.State{agones.Shutdown, agones.Error, agones.Unhealthy}, func(r *harness, n string) { r.Gone(n) }},
	}
}

// explore returns every transition that a server can make: it applies every event to
// every situation that events lead to.
func explore(t *testing.T) (found []statediagram.Transition) {
	type situation struct {
		state state.State
		timed bool // something happens by itself
	}
	all := events()
	visited := make(map[situation]bool)
	for queue := [][]int{nil}; len(queue) > 0; queue = queue[1:] {
		r := newHarness(t, func(c *state.Config) {
			c.Ready, c.Session, c.Health.FailureThreshold = 1, 10*time.Second, 1
		})
		start, _ := r.step()
		name := start[0].Name
		for _, i := range queue[0] {
			all[i].apply(r, name)
		}
		for _, c := range r.Drain() {
			if c.Server.Name != name {
				continue
			}
			tr := statediagram.Transition{From: string(c.From), To: string(c.Server.State)}
			if c.From == "" {
				tr.From = statediagram.Terminal
			}
			if c.Gone {
				tr.To = statediagram.Terminal
			}
			if tr.From != tr.To {
				found = append(found, tr)
			}
		}
		s := r.Get(name)
		if s == nil {
			continue
		}
		now := situation{s.State, !r.Decide(r.now).Next.IsZero()}
		if visited[now] {
			continue
		}
		visited[now] = true
		for i, e := range all {
			if slices.Contains(e.in, s.State) {
				queue = append(queue, append(slices.Clone(queue[0]), i))
			}
		}
	}
	return found
}

func TestDiagram(t *testing.T) {
	statediagram.Check(t, "../../../docs/miniagones.md", "Life of a game server", explore(t))
}
