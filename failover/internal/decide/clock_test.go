package decide_test

import (
	"testing"
	"time"

	v1 "torikumi/failover/api/v1"
	"torikumi/failover/internal/decide"
)

// turn turns the clock. What the controller has persisted is as the clock was;
// the harness's own truth turns with it.
func (w *harness) turn(by time.Duration) {
	if by > 0 {
		w.skips = append(w.skips, decide.Skip{From: w.now, To: w.now.Add(by)})
	}
	w.now, w.start = w.now.Add(by), w.start.Add(by)
	if by < 0 {
		w.apiHealthySince = w.now // it sees that
	}
	w.turned = true
	for _, n := range w.nodes {
		n.downSince, n.silent = n.downSince.Add(by), n.silent.Add(by)
	}
	for _, m := range w.vms {
		m.created = m.created.Add(by)
		if !m.deleted.IsZero() {
			m.deleted = m.deleted.Add(by)
		}
	}
	for id := range w.tokens {
		w.tokens[id] = w.tokens[id].Add(by)
	}
	w.say("-- the clock turns by %s", by)
}

// TestClockTurnsBack turns the clock back by an hour at each moment of a
// failover. A timer that runs may begin anew, and no more.
func TestClockTurnsBack(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	const step = 5 * time.Second
	for at := step; at < 7*time.Minute; at += step {
		w := newHarness()
		pass := func(d time.Duration) {
			for ; d > 0; d -= step {
				w.advance(step)
				if at -= step; at == 0 {
					w.turn(-time.Hour)
				}
			}
		}
		moment := at
		want := func(p v1.Phase) {
			t.Helper()
			if got := w.failovers[0].Status.Phase; got != p {
				t.Errorf("the clock was turned back after %s: in the end it is %s, not %s", moment, got, p)
			}
		}
		w.setNode("worker-1", "ready")
		w.serve("worker-1", "Allocated")
		w.setNode("worker-1", "notready")
		pass(2 * time.Minute) // grace, twice at most, and join
		want(v1.Active)
		w.serve(w.theTemp(), "Allocated")
		w.setNode("worker-1", "ready")
		pass(4 * time.Minute)
		want(v1.Draining)
		if err := w.setServer("Allocated", "gone"); err != nil {
			t.Errorf("the clock was turned back after %s: the game was ended", moment)
		}
		pass(time.Minute)
		want(v1.Completed)
		w.verdict(t)
		at = moment
	}
}

// TestClockTurnsBackInPauses: the pause after the last attempt, and the time to
// join, are no longer for it.
func TestClockTurnsBackInPauses(t *testing.T) {
	for what, spoil := range map[string]func(*harness){
		"pause": func(w *harness) { w.faults.create["*"] = decide.Quota },
		"join":  func(w *harness) { w.faults.neverJoins = true },
	} {
		w := newHarness()
		w.setNode("worker-1", "ready")
		w.setNode("worker-1", "notready")
		spoil(w)
		w.advance(3 * time.Minute)
		w.turn(-time.Hour)
		w.faults = faults{create: map[string]decide.Result{}}
		if what == "join" {
			w.faults.neverJoins = true
			w.advance(w.set.JoinTimeout + 30*time.Second)
			w.faults.neverJoins = false
		}
		w.advance(w.set.ExhaustedPause + time.Minute)
		if p := w.failovers[0].Status.Phase; p != v1.Active {
			t.Errorf("%s: it is %s", what, p)
		}
		w.heal()
		w.verdict(t)
	}
}

// TestClockTurnsForward sets the clock forward by three days at each moment of
// a failover: no timer that runs is over sooner for it. A game that has begun
// just before the drain gets the time that it may have, and no more.
func TestClockTurnsForward(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	const step, days = 5 * time.Second, 72 * time.Hour
	for moment := step; moment < 8*time.Minute; moment += step {
		w := newHarness()
		passed := time.Duration(0)
		pass := func(d time.Duration) {
			if before := moment - passed; 0 < before && before <= d {
				w.advance(before)
				w.turn(days)
				passed, d = moment, d-before
			}
			w.advance(d)
			passed += d
		}
		is := func(want v1.Phase) {
			t.Helper()
			var got v1.Phase
			if len(w.failovers) > 0 {
				got = w.failovers[0].Status.Phase
			}
			if got != want {
				t.Errorf("the clock was set forward after %s: after %s it is %q, not %q", moment, passed, got, want)
			}
		}
		w.setNode("worker-1", "ready")
		w.setNode("worker-1", "notready")
		pass(25 * time.Second)
		if len(w.failovers) > 0 {
			is(v1.Pending)
		}
		pass(95 * time.Second)
		is(v1.Active)
		w.serve(w.theTemp(), "Allocated")
		w.setNode("worker-1", "ready")
		pass(55 * time.Second)
		is(v1.Recovering)
		pass(5 * time.Minute) // by now it drains, since less than that
		is(v1.Draining)
		pass(w.set.MaxWait - 5*time.Minute)
		is(v1.Draining)
		if n := len(w.servers); n != 1 {
			t.Errorf("the clock was set forward after %s: %d games after %s", moment, n, passed)
		}
		pass(6 * time.Minute)
		is(v1.Completed)
		w.verdict(t)
	}
}
