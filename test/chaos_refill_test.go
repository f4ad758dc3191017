//go:build chaos && linux

package test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"torikumi/gameserver/client"
)

const (
	session = "session"
	refills = "refill"
	// joiners are the places for them in a match.
	joiners = 3
	// reserve is how long the place of somebody who has left is kept.
	reserve = 10 * time.Second
	// slowestGate is how long a gate waits at most that directors did not answer.
	slowestGate = 30 * time.Second
	// beforehand is how long before a place is free the next player comes for it.
	beforehand = 1500 * time.Millisecond
	// between is the time between two joiners for whom there is a place.
	between = 3 * time.Second
	// patient is how long a player stays in a match that nobody joins.
	patient = reserve + slowestGate + 20*time.Second
	// alive is the time between two signs of life of a player.
	alive = 2 * time.Second
)

// refillQueue has matches of a host and up to three joiners, of whom one is enough to begin:
// joiners join while the match runs, as there is room from its beginning, and again when one
// has left.
const (
	refillQueue = `
  - name: refill
    rule_set: refill.json
    backfill: {automatic: true, reserve: 10s}
`
	refillRules = `{
  "name": "refill", "ruleLanguageVersion": "1.0",
  "playerAttributes": [{"name": "host", "type": "number", "default": 0}],
  "teams": [{"name": "east", "minPlayers": 1, "maxPlayers": 1}, {"name": "west", "minPlayers": 1, "maxPlayers": 3}],
  "rules": [
    {"name": "Host", "type": "comparison", "measurements": ["teams[east].players.attributes[host]"], "referenceValue": 1, "operation": "="},
    {"name": "Joiners", "type": "comparison", "measurements": ["teams[west].players.attributes[host]"], "referenceValue": 0, "operation": "="}
  ]
}`
)

// teamSizes are the places of each team, by queue.
var teamSizes = map[string]map[string]int{session: {"east": 1, "west": 1}, refills: {"east": 1, "west": joiners}}

// kindOfPlayer is what a player searches for: a match of two, to host one that is filled
// up, or to be a joiner there.
type kindOfPlayer int

const (
	one kindOfPlayer = iota
	host
	joiner
)

func (k kindOfPlayer) String() string { return [...]string{"one of two", "host", "joiner"}[k] }

// refill is what becomes of a match that is filled up. It needs chaos.refilling.
type refill struct {
	// joiners counts those who were ever there.
	joiners int
	// enough is closed when nobody else is waited for, and over is true then.
	enough chan struct{}
	over   bool
}

func newRefill() refill { return refill{enough: make(chan struct{})} }

// refilling is all matches that are filled up.
type refilling struct {
	mu sync.Mutex
	// free are when there will be places for others.
	free []time.Time
	// open are the matches that wait for joiners.
	open map[*playedMatch]bool
	// closing says that no more joiners are to come for new matches.
	closing bool
}

// close has matches begin that are played by a host and one joiner.
func (r *refilling) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing = true
}

// finish has all matches end. Nobody may be on the way to one.
func (r *refilling) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for m := range r.open {
		m.refill.finish()
	}
}

// finish needs refilling's lock.
func (f *refill) finish() {
	if !f.over {
		close(f.enough)
	}
	f.over = true
}

// due counts the places that are about to be free, and takes them off.
func (r *refilling) due() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := len(r.free)
	r.free = slices.DeleteFunc(r.free, func(at time.Time) bool { return time.Until(at) < beforehand })
	return before - len(r.free)
}

// waiting is how many matches wait for joiners; lacking says that no more are to come.
func (r *refilling) waiting() (matches int, lacking bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open), len(r.open) > 0 && len(r.free) == 0
}

// hosting has a match wait for joiners, until the function that it returns is called. It
// has begun with one; the others come one after the other.
func (r *refilling) hosting(m *playedMatch) (over func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		r.open = make(map[*playedMatch]bool)
	}
	r.open[m] = true
	for n := range joiners - 1 {
		if !r.closing {
			r.free = append(r.free, time.Now().Add(beforehand+time.Duration(n)*between))
		}
	}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.open, m)
	}
}

// arrived counts a joiner. The first leaves midway, so that another one comes.
func (r *refilling) arrived(m *playedMatch) (leaves bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.refill.joiners++
	first := m.refill.joiners == 1
	if m.refill.joiners > joiners || first && r.closing {
		m.refill.finish()
	}
	return first && !m.refill.over
}

// departed frees the place of a joiner, for the next.
func (r *refilling) departed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.free = append(r.free, time.Now().Add(reserve))
}

// stay plays a match that is filled up: its host and its joiners are there until enough
// have been, but for one who leaves midway. It reports false if the server has sent the
// player away, which it does to none who shows signs of life.
func (p *chaosPlayer) stay(ctx context.Context, socket *client.Client, m *playedMatch) bool {
	r := &p.c.refilling
	stays := patient
	if p.kind == host {
		defer r.hosting(m)()
	} else if r.arrived(m) {
		stays = time.Duration(500+p.dice.IntN(2500)) * time.Millisecond
		defer r.departed()
	}
	over := time.After(stays)
	for {
		select {
		case <-m.refill.enough:
			return true
		case <-over:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(alive):
		}
		_, err := socket.Ping(ctx)
		var kicked *client.KickedError
		if errors.As(err, &kicked) {
			if kicked.Reason != "timeout" { // a machine that is slow with all
				p.c.violated("dead server", "%s was sent away from a match that runs: %v", p.id, err)
			}
			return false
		}
	}
}

// company lets more players come when those who wait cannot play with each other. A
// running match that waits for joiners is company too.
type company struct {
	c     *chaos
	last  map[kindOfPlayer]int
	since time.Time
}

// look is called again and again.
func (o *company) look() {
	now := o.c.whoWaitsAs()
	open, lacking := o.c.refilling.waiting()
	hosts, found := now[host], now[joiner]
	if o.last == nil || now[one] != o.last[one] || hosts != o.last[host] || found != o.last[joiner] {
		o.last, o.since = now, time.Now()
	}
	alone := time.Since(o.since)
	if alone < 300*time.Millisecond {
		return
	}
	if now[one] == 1 {
		o.c.come(one, false)
	}
	switch {
	case hosts > found:
		o.c.come(joiner, false)
	case found > 0 && hosts == 0 && (open == 0 || o.c.isSettling):
		for range (found + joiners - 1) / joiners {
			o.c.come(host, false)
		}
	case lacking && found == 0 && alone > 3*time.Second && o.c.isSettling:
		o.c.refilling.finish() // somebody has not come
	}
}
