package simulation_test

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"torikumi/director/internal/fetch"
	"torikumi/director/internal/placement"
)

// The times are the defaults, in seconds.
const (
	matchTimeout   = 30
	pendingRelease = 60
	callTimeout    = 5
	settle         = 10 // reclaim.Settle
	minPlayers     = 2
)

// world is Open Match, Redis, a fleet, players and directors. One action at a time
// changes it, and after each its invariants hold.
type world struct {
	*rapid.T
	now, event int
	// canRead says that directors read tickets, reclaims that servers are given back;
	// calm that nothing fails any more.
	canRead, reclaims, calm bool

	redis     *redis
	tickets   []*ticket
	players   []*player
	servers   []*server
	directors []*director
	calls     []*call // whose effect is still to come
	announced []announcement
	doomed    []doomed
	tokens    int
	// found are the tickets that a task's assignment has found, by its token.
	found map[int][]*ticket
}

// ticket is one of Open Match.
type ticket struct {
	id           int
	player       *player
	gone         bool
	pendingUntil int
	to           *assignment
}

type assignment struct {
	match  string
	server int // 0: it was withdrawn
	token  int // of the task
}

type announcement struct {
	tickets []*ticket
	assignment
}

// player waits with one ticket after the other, until it is told where to play.
type player struct {
	name      int
	ticket    *ticket
	cancelled bool
	at        *assignment
}

// server is one that was allocated.
type server struct {
	id          int
	match       string
	roster      []*ticket
	owner       *task
	made        int // the event
	stamped     int // when its stamp was written
	version     int
	unreachable bool
	gone        bool
}

// doomed is a server that a director has decided to give back, if it is as it was.
type doomed struct {
	server  *server
	version int
}

type director struct {
	name   int
	paused bool
	down   bool
	claims *fetch.Claims
	tasks  []*task
}

func newWorld(t *rapid.T) *world {
	w := &world{T: t, now: 1, redis: newRedis(), found: make(map[int][]*ticket), canRead: rapid.Bool().Draw(t, "can read"), reclaims: rapid.Bool().Draw(t, "reclaims")}
	for n := range draw(t, 2, 6, "players") {
		p := &player{name: n}
		w.players = append(w.players, p)
		w.create(p)
	}
	for n := range draw(t, 1, 3, "directors") {
		w.directors = append(w.directors, &director{name: n, claims: newClaims()})
	}
	return w
}

func newClaims() *fetch.Claims { return fetch.NewClaims(pendingRelease * time.Second) }

// clock is now for who wants a time.
func (w *world) clock() time.Time { return time.Unix(int64(w.now), 0) }

// create gives a player a ticket in Open Match.
func (w *world) create(p *player) {
	p.ticket = &ticket{id: len(w.tickets) + 1, player: p}
	w.tickets = append(w.tickets, p.ticket)
}

// chance is true once in a number of times, unless nothing fails any more.
func (w *world) chance(of int, what string) bool {
	return !w.calm && draw(w.T, 0, of-1, what) == of-1 // shrinks towards false
}

// draw returns a number from a range, each as often: rapid's own generators prefer
// small ones, and small numbers here say which action is taken.
func draw(t *rapid.T, least, most int, what string) int {
	n := most - least + 1
	return rapid.Custom(func(t *rapid.T) int {
		u := 0
		for range bits.Len(uint(n-1)) + 3 {
			u <<= 1
			if coin.Draw(t, "") {
				u |= 1
			}
		}
		return least + u*n>>(bits.Len(uint(n-1))+3)
	}).Draw(t, what)
}

var coin = rapid.Bool()

func pick[V any](w *world, list []V, what string) V {
	return list[draw(w.T, 0, len(list)-1, what)]
}

// fetch gives a director a match of two or three tickets. Open Match shows none that
// is pending, unless its store has failed when it was to be made so.
func (w *world) fetch() {
	up := slices.DeleteFunc(slices.Clone(w.directors), func(d *director) bool { return d.down || d.paused })
	faulty := w.chance(12, "pending set fails")
	shown := slices.DeleteFunc(slices.Clone(w.tickets), func(t *ticket) bool {
		return t.gone || t.to != nil || t.pendingUntil > w.now && !faulty
	})
	if len(up) == 0 || len(shown) < minPlayers {
		return
	}
	d := pick(w, up, "director")
	for len(shown) > minPlayers && (len(shown) > 3 || rapid.Bool().Draw(w.T, "of two")) {
		i := draw(w.T, 0, len(shown)-1, "without")
		shown = slices.Delete(shown, i, i+1)
	}
	var names []string
	for _, t := range shown {
		t.pendingUntil = w.now + pendingRelease
		names = append(names, fmt.Sprint(t.id))
	}
	w.accept(d, strings.Join(names, "+"), shown)
}

// accept is fetch.Intake's.
func (w *world) accept(d *director, match string, tickets []*ticket) {
	over, cancel := context.WithCancel(context.Background())
	cancel() // it does not wait for a release that is under way
	if ok, _ := d.claims.Acquire(over, texts(tickets), w.clock()); !ok {
		return // what is free of it comes back by itself
	}
	w.tokens++
	w.Logf("%d s: director %d gets match %q, task %d", w.now, d.name, match, w.tokens)
	d.tasks = append(d.tasks, &task{
		world: w, director: d, match: match, tickets: tickets, token: w.tokens, state: placement.Start(true, false, true, w.canRead),
		workEnd: w.now + matchTimeout, cleanupEnd: w.now + pendingRelease,
	})
}

func texts(tickets []*ticket) (all []string) {
	for _, t := range tickets {
		all = append(all, fmt.Sprint(t.id))
	}
	return all
}

func ids(tickets []*ticket) (all []int) {
	for _, t := range tickets {
		all = append(all, t.id)
	}
	return all
}

// arrive has the effect of a call, and perhaps brings its answer.
func (w *world) arrive(i int) {
	c := w.calls[i]
	w.calls = slices.Delete(w.calls, i, i+1)
	if c.notAfter != 0 && w.now > c.notAfter || w.chance(10, "lost") {
		return
	}
	w.event++
	r := c.effect(c)
	t := c.task
	answered := t.call == c && !t.director.paused && !w.chance(8, "answer lost")
	w.Logf("%d s: step %d of task %d of match %q arrives: %d, answered %v", w.now, c.step, t.token, t.match, r, answered)
	if answered {
		t.answer(c, r)
	}
}

// hear applies what a frontend hears or reads of a ticket: matchmaker.Client.apply.
func (w *world) hear(t *ticket, a assignment) {
	p := t.player
	if p.ticket != t || p.at != nil || p.cancelled {
		return
	}
	verdict, to := w.redis.check(t.id, a.match, a.server, w.now)
	w.Logf("%d s: the frontend hears of ticket %d that it is in match %q on server %d: %s", w.now, t.id, a.match, a.server, verdict)
	switch verdict {
	case "wait":
		return
	case "deliver":
		a = assignment{to.match, to.server, to.token}
	case "revoked":
		a.server = 0
	}
	if a.server == 0 {
		if !w.redis.retire(t.id, false, w.now) {
			return
		}
		w.create(p) // Open Match keeps the other one
		return
	}
	p.at = &a
	if w.server(a.server).gone {
		w.Fatalf("player %d is sent to server %d, which was deleted", p.name, a.server)
	}
}

func (w *world) server(id int) *server { return w.servers[id-1] }

// delete ends a server.
func (w *world) delete(s *server) {
	for _, p := range w.players {
		if p.at != nil && p.at.server == s.id {
			w.Fatalf("server %d is deleted under player %d", s.id, p.name)
		}
	}
	s.gone = true
}

// of are the servers of a match, the oldest first.
func (w *world) of(match string) (all []*server) {
	for _, s := range w.servers {
		if s.match == match && !s.gone {
			all = append(all, s)
		}
	}
	return all
}

// judge is reclaim.Reclaimer's: it decides to give a server back, or does.
func (w *world) judge(s *server) {
	if !w.reclaims || s.gone || w.now <= s.stamped+matchTimeout+settle {
		return
	}
	waiting := false
	for _, t := range s.roster {
		if !t.gone && t.to != nil {
			return
		}
		waiting = waiting || !t.gone
	}
	if waiting {
		w.doomed = append(w.doomed, doomed{s, s.version})
	}
}

// reclaim deletes a server that was judged, if it is as it was.
func (w *world) reclaim(i int) {
	d := w.doomed[i]
	w.doomed = slices.Delete(w.doomed, i, i+1)
	if !d.server.gone && d.server.version == d.version {
		w.delete(d.server)
	}
}

// check is what holds at any time: players of a match are sent to one server, and
// nobody whom Open Match has told of a match that is played plays in another. Who has
// left a match before that is on its roster all the same, and is not waited for.
func (w *world) check() {
	server, expected := make(map[string]int), make(map[*player]int)
	for _, p := range w.players {
		if p.at == nil {
			continue
		}
		if at := server[p.at.match]; at != 0 && at != p.at.server {
			w.Fatalf("players of match %s are sent to servers %d and %d", p.at.match, at, p.at.server)
		}
		server[p.at.match] = p.at.server
		for _, t := range w.found[p.at.token] {
			if other := expected[t.player]; other != 0 && other != p.at.token {
				w.Fatalf("player %d is expected in the matches of tasks %d and %d, to which players are sent", t.player.name, other, p.at.token)
			}
			expected[t.player] = p.at.token
		}
	}
}
