package placement

import (
	"testing"

	"torikumi/director/internal/call"
)

// node is what the director believes and what is true.
type node struct {
	State
	// reached says that an assignment may be in effect, or take effect.
	reached bool
	// dying says that a server may be deleted later on.
	dying bool
	// freed says that the tickets were released.
	freed bool
}

// next returns all that can come of a step.
func next(n node, step Step) []node {
	var all []node
	add := func(change func(*node)) {
		c := n
		change(&c)
		all = append(all, c)
	}
	switch step {
	case Adopt:
		add(func(c *node) { c.SoughtServer = true })                                                             // failed
		add(func(c *node) { c.SoughtServer, c.AllocUnknown = true, false })                                      // none there
		add(func(c *node) { c.SoughtServer, c.AllocUnknown, c.Server = true, false, true })                      // found
		add(func(c *node) { c.SoughtServer, c.AllocUnknown, c.Server, c.Unreachable = true, false, true, true }) // found, broken
	case Allocate:
		for _, e := range []call.Effect{call.Done, call.NotSent, call.Busy, call.Refused, call.Unknown} {
			add(func(c *node) { c.allocated(e) })
		}
		add(func(c *node) { c.allocated(call.Done); c.Unreachable = true })
	case Assign:
		add(func(c *node) { c.assigned(call.Done, 2, 0); c.reached = true })
		add(func(c *node) { c.assigned(call.Done, 2, 1); c.reached = true })
		add(func(c *node) { c.assigned(call.Done, 2, 2) })
		add(func(c *node) { c.assigned(call.NotSent, 2, 0) })
		add(func(c *node) { c.assigned(call.Refused, 2, 0) })
		add(func(c *node) { c.assigned(call.Unknown, 2, 0); c.reached = true })
		add(func(c *node) { c.assigned(call.Busy, 2, 0) })
	case Verify:
		add(func(c *node) { c.Verified = true })
		add(func(c *node) { c.Verified, c.Assigned = true, true })
	case Announce:
		add(func(c *node) { c.Announced = true })
	case DeleteExtra:
		add(func(c *node) { c.ExtraDeleted = true })
	case Deallocate:
		add(func(c *node) { c.Deallocated = true })
		add(func(c *node) { c.Deallocated, c.DeallocateUnknown, c.dying = true, true, true })
	case Release:
		add(func(c *node) { c.Released, c.freed = true, true })
		add(func(c *node) { c.Released = true })
	case End:
	}
	return all
}

// TestDecideKeepsThePromises walks through every state that can come about,
// with every answer at every step and time running out at any moment.
func TestDecideKeepsThePromises(t *testing.T) {
	seen := make(map[node]bool)
	var todo []node
	for _, canList := range []bool{false, true} {
		for _, canRead := range []bool{false, true} {
			todo = append(todo, node{State: State{CanList: canList, CanRead: canRead}})
		}
	}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		step := Decide(n.State)
		if msg := broken(n, step); msg != "" {
			t.Fatalf("%s: step %d in %+v", msg, step, n)
		}
		todo = append(todo, next(n, step)...)
		over, stopping := n, n
		over.Over, stopping.Stopping = true, true
		todo = append(todo, over, stopping)
	}
	if len(seen) < 500 {
		t.Errorf("only %d states were reached", len(seen))
	}
}

// broken names the promise that a step would break.
func broken(n node, step Step) string {
	switch {
	case (step == Allocate) && (n.Server || n.AllocUnknown):
		return "a second server for one match"
	case (step == Allocate) && (n.Over || n.Stopping):
		return "a server allocated too late"
	case (step == Adopt || step == Assign) && n.Over:
		return "no end when the time is over"
	case step == Deallocate && n.reached:
		return "a server given back that players may be on"
	case step == Release && n.reached:
		return "tickets released that may be assigned"
	case step == Release && n.dying:
		return "tickets released to a server that is about to be deleted"
	case step == Release && (n.Server || n.AllocUnknown) && n.CanList && !n.Deallocated:
		return "tickets released before their server was given back"
	case (step == Deallocate || step == DeleteExtra || step == Adopt) && !n.CanList:
		return "a list that is not there"
	case step == Verify && !n.CanRead:
		return "tickets that cannot be read"
	case step == End && n.Assigned && !n.Announced:
		return "an assignment that nobody hears of"
	case step == End && !n.Assigned && !n.Released && !n.Abandoned && !n.AssignUnknown && !n.DeallocateUnknown:
		return "stranded tickets"
	case step == End && n.Server && !n.Assigned && !n.AssignUnknown && n.CanList && !n.Deallocated:
		return "a server that nobody will ever reach"
	}
	return ""
}

// TestDecideEnds: once the time is over, a few steps finish a match.
func TestDecideEnds(t *testing.T) {
	var walk func(n node, depth int)
	walk = func(n node, depth int) {
		if depth > 6 {
			t.Fatalf("no end in sight: %+v", n)
		}
		for _, m := range next(n, Decide(n.State)) {
			walk(m, depth+1)
		}
	}
	for bits := range 1 << 8 {
		b := func(i int) bool { return bits&(1<<i) != 0 }
		walk(node{State: State{
			Over: true, CanList: b(0), CanRead: b(1), SoughtServer: b(2), AllocUnknown: b(3) && !b(5), Extra: b(3) || b(4),
			Server: b(5), AssignUnknown: b(5) && b(6), Abandoned: b(5) && b(7),
		}}, 0)
	}
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		state    State
		released bool
		want     Outcome
	}{
		{State{Assigned: true, AssignUnknown: true}, false, OutcomeAssigned},
		{State{AssignUnknown: true, Abandoned: true}, false, OutcomeUnknown},
		{State{Abandoned: true}, false, OutcomeAbandoned},
		{State{Released: true}, true, OutcomeReleased},
		{State{Released: true}, false, OutcomePending},
	} {
		if got := c.state.outcome(c.released); got != c.want {
			t.Errorf("%+v: %s, want %s", c.state, got, c.want)
		}
	}
}
