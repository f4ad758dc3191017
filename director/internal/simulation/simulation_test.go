// Package simulation_test plays schedules that nobody would think of: directors that
// crash and pause, answers that are lost, calls that have their effect minutes later,
// players who leave. Each schedule is drawn from a seed, and one that fails is made
// as short as it can be.
package simulation_test

import (
	"flag"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestSchedules: whatever happens, nobody is sent to two matches, a match has one
// server, no server is deleted under its players or forgotten, and when things go well
// again everybody plays.
func TestSchedules(t *testing.T) {
	if flag.Lookup("rapid.checks").Value.String() == "100" { // nobody has said how many
		if err := flag.Set("rapid.checks", "5000"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(rt)
		for range draw(rt, 20, 250, "actions") {
			w.act()
			w.check()
		}
		w.calmDown()
	})
}

// act does one thing.
func (w *world) act() {
	switch a := draw(w.T, 0, 31, "action"); {
	case a <= 10:
		w.each(func(t *task) bool { t.next(); return true })
	case a <= 18:
		if len(w.calls) > 0 {
			w.arrive(draw(w.T, 0, len(w.calls)-1, "call"))
		}
	case a <= 20:
		w.pass(draw(w.T, 1, 3, "seconds"))
	case a == 21 && w.chance(2, "until tickets are shown again"):
		w.pass(pendingRelease + 1)
	case a == 21:
		w.pass(draw(w.T, 5, 40, "seconds"))
	case a <= 23:
		w.fetch()
	case a == 24:
		w.listen()
	case a <= 26:
		w.read(pick(w, w.players, "player"))
	case a == 27:
		d := pick(w, w.directors, "director")
		d.paused = !d.paused
	case a == 28 && w.chance(3, "crash"):
		d := pick(w, w.directors, "director")
		d.down, d.paused, d.tasks, d.claims = !d.down, false, nil, newClaims()
	case a == 29 && len(w.servers) > 0:
		w.judge(pick(w, w.servers, "server"))
	case a == 30 && len(w.doomed) > 0:
		w.reclaim(draw(w.T, 0, len(w.doomed)-1, "doomed"))
	case a == 31 && w.chance(4, "leaves"):
		w.leave(pick(w, w.players, "player"))
	}
}

// each runs a task of a director that works, or all of them in the end.
func (w *world) each(do func(*task) bool) {
	var all []*task
	for _, d := range w.directors {
		if !d.paused && !d.down {
			all = append(all, d.tasks...)
		}
	}
	if w.calm {
		for _, t := range all {
			do(t)
		}
	} else if len(all) > 0 {
		do(pick(w, all, "task"))
	}
}

// pass lets time pass; calls of directors that work are given up when theirs is over.
func (w *world) pass(seconds int) {
	w.now += seconds
	for _, d := range w.directors {
		if d.paused {
			continue
		}
		for _, t := range slices.Clone(d.tasks) {
			t.expire()
		}
	}
}

// listen brings an announcement, perhaps once more later, or loses it.
func (w *world) listen() {
	if len(w.announced) == 0 {
		return
	}
	a := w.announced[0]
	if !w.chance(4, "repeated") {
		w.announced = w.announced[1:]
	}
	if w.chance(4, "announcement lost") {
		return
	}
	for _, t := range a.tickets {
		w.hear(t, a.assignment)
	}
}

// read is the frontends' reading of a ticket, which they do now and then.
func (w *world) read(p *player) {
	if t := p.ticket; !t.gone && t.to != nil {
		w.hear(t, *t.to)
	}
}

func (w *world) leave(p *player) {
	if p.at == nil {
		p.cancelled, p.ticket.gone = true, true
	}
}

// calmDown lets everything go well, until all who can play do.
func (w *world) calmDown() {
	w.calm = true
	for _, d := range w.directors {
		d.paused, d.down = false, false
	}
	for range 200 {
		if len(w.waiting()) < minPlayers {
			return
		}
		w.fetch()
		for range 8 {
			w.each(func(t *task) bool { t.next(); return true })
			for len(w.calls) > 0 {
				w.arrive(0)
			}
		}
		for len(w.announced) > 0 {
			w.listen()
		}
		for _, p := range w.players {
			w.read(p)
		}
		for _, s := range w.servers {
			w.judge(s)
		}
		for len(w.doomed) > 0 {
			w.reclaim(0)
		}
		w.pass(5)
		w.check()
	}
	w.Fatalf("%d players wait for ever", len(w.waiting()))
}

func (w *world) waiting() (all []*player) {
	for _, p := range w.players {
		if p.at == nil && !p.cancelled {
			all = append(all, p)
		}
	}
	return all
}
