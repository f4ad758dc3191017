// Package reasons knows why tickets wait: it asks the match functions on behalf
// of the players who look at their tickets, and keeps what they say. On the
// player's path it stands beside a search that goes on, and never in its way:
// players' calls leave a note and take what is known, one loop does the asking.
//
// What the loop asks is bounded, whoever waits: each replica of the match
// function gets one call in each interval, for at most 100 tickets. A match
// function notes a ticket when it is asked for it, looks with its next run, and
// remembers for 30 s; so a ticket is asked for until there is an answer, and
// then the next one is. The queues share the 100 evenly: a queue whose match
// function never answers takes no turns from the others. Open Match is not asked
// for anything.
package reasons

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"torikumi/frontend/internal/search"
)

const (
	// mostIDs is how many tickets a call of the ExplainService may ask for.
	mostIDs = 100
	// minWait is how long a ticket waits before it is asked for: most are
	// matched sooner.
	minWait = 2 * time.Second
	// interest is how long a ticket is asked for after a player has looked.
	interest = 10 * time.Second
	// patience is how long an answer is waited for before other tickets have
	// their turn: a match function looks at 16 tickets with each run.
	patience = 15 * time.Second
	// lifetime is how long an answer is shown after it was last heard.
	lifetime = 30 * time.Second
	// pause is the least time between two changes that followers hear of.
	pause = 5 * time.Second
	// mostTickets bounds what is remembered. More could not be asked for often
	// enough for their answers to be true.
	mostTickets = 10_000
	// mostText is the longest reason in bytes; players are spared longer ones.
	mostText = 1000
)

// Store is where searches are looked up.
type Store interface {
	Get(id string) (search.Search, bool)
}

// Options are what a [Keeper] needs; all are required but those that say so.
type Options struct {
	Store Store
	// MatchFunctions are host:port. A name is asked at all its addresses.
	MatchFunctions []string
	// Interval is the time between two calls of a match function.
	Interval time.Duration
	Logger   *slog.Logger
	Metrics  *Metrics
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Keeper keeps the reasons. It is safe for concurrent use. A nil Keeper knows
// nothing.
type Keeper struct {
	Options
	replicas *replicas
	line     *waiting

	mu      sync.Mutex
	entries map[string]*entry // by the search's id
	// arrived are entries that the loop has not seen yet.
	arrived []*entry
}

// entry is a ticket that players look at.
type entry struct {
	id, queue string
	created   time.Time

	// turn is when the ticket was first asked for in this turn; back sends it
	// to the end of the line. Both are the loop's alone.
	turn time.Time
	back bool

	// What follows is guarded by Keeper.mu; only the loop writes ticket.

	// gone means that nobody looks any more, or nobody waits.
	gone bool
	// followers are the calls that look as long as they last.
	followers int
	looked    time.Time
	// ticket is Open Match's id of the ticket that answer is about.
	ticket string
	answer answer
	// changed is closed at the next change that followers hear of; nil if
	// nobody listens. fresh means that there is something to tell them, told
	// is when they last heard.
	changed chan struct{}
	fresh   bool
	told    time.Time
}

// New makes a keeper; Run makes it work.
func New(o Options) *Keeper {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keeper{
		Options: o, entries: make(map[string]*entry), line: newWaiting(),
		replicas: newReplicas(o.MatchFunctions, o.Logger, o.Metrics, o.Now),
	}
}

// Look returns why a search waits, as far as that is known, and notes that
// somebody wants to know.
func (k *Keeper) Look(s *search.Search) string {
	if k == nil {
		return ""
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.Now()
	e := k.entries[s.ID]
	if e == nil && now.Sub(s.Created) >= minWait {
		e = k.enter(s)
	}
	return k.look(e, s, now)
}

// enter makes an entry, if there is room; mu is held.
func (k *Keeper) enter(s *search.Search) *entry {
	if s.Ended() || len(k.entries) >= mostTickets {
		return nil
	}
	e := &entry{id: s.ID, queue: s.Queue, created: s.Created}
	k.entries[s.ID] = e
	k.arrived = append(k.arrived, e)
	return e
}

// look reads an entry, which may be nil; mu is held.
func (k *Keeper) look(e *entry, s *search.Search, now time.Time) string {
	if e == nil {
		return ""
	}
	if s.Ended() {
		k.drop(e)
		return ""
	}
	e.looked = now
	if e.ticket != s.OpenMatchID {
		return "" // Open Match has another ticket for it by now
	}
	return e.answer.at(now)
}

// drop forgets an entry; mu is held.
func (k *Keeper) drop(e *entry) {
	e.gone = true
	if k.entries[e.id] == e {
		delete(k.entries, e.id)
	}
}

// Follower is a call that looks at one search as long as it lasts. It is not
// safe for concurrent use.
type Follower struct {
	keeper *Keeper
	entry  *entry
}

// Follow begins to look; Close has to be called.
func (k *Keeper) Follow() *Follower { return &Follower{keeper: k} }

// Look returns why the search waits, as far as that is known, and a channel that
// is closed when that has changed, which is no more often than every 5 s. It is
// nil if that will not be told. Every call must be for the same search.
func (f *Follower) Look(s *search.Search) (reason string, changed <-chan struct{}) {
	k := f.keeper
	if k == nil {
		return "", nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if f.entry == nil {
		if f.entry = k.entries[s.ID]; f.entry == nil {
			f.entry = k.enter(s)
		}
		if f.entry == nil {
			return "", nil
		}
		f.entry.followers++
	}
	reason = k.look(f.entry, s, k.Now())
	if f.entry.gone {
		return "", nil
	}
	if f.entry.changed == nil {
		f.entry.changed = make(chan struct{})
	}
	return reason, f.entry.changed
}

// Close ends the looking.
func (f *Follower) Close() {
	if f.entry == nil {
		return
	}
	f.keeper.mu.Lock()
	defer f.keeper.mu.Unlock()
	f.entry.followers--
	f.entry.looked = f.keeper.Now()
}

// Run asks until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.replicas.close()
	tick := time.NewTicker(k.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			k.round(ctx)
		}
	}
}

// round asks once, and tells the followers what is new.
func (k *Keeper) round(ctx context.Context) {
	now := k.Now()
	k.arrive()
	judge := func(e *entry) verdict { return k.judge(e, now) }
	if asked := k.line.pick(mostIDs, judge, k.open); len(asked) > 0 {
		ids := make([]string, len(asked))
		for i, e := range asked {
			ids[i] = e.ticket
		}
		k.learn(asked, k.replicas.ask(ctx, ids), now)
	}
	k.tell(now)
}

// arrive puts new entries in line.
func (k *Keeper) arrive() {
	k.mu.Lock()
	arrived := k.arrived
	k.arrived = nil
	k.Metrics.tickets.Set(float64(len(k.entries)))
	k.mu.Unlock()
	for _, e := range arrived {
		k.line.add(e)
	}
}

// judge tells whether an entry is to be asked for, by what is known here.
func (k *Keeper) judge(e *entry, now time.Time) verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	wanted := e.followers > 0 || now.Sub(e.looked) < interest
	switch {
	case e.gone:
		return leave
	case !wanted && e.answer.at(now) == "":
		k.drop(e)
		return leave
	case !wanted || now.Sub(e.created) < minWait:
		return stay
	}
	return ask
}

// open tells whether the search of an entry still goes on with a ticket in Open
// Match.
func (k *Keeper) open(e *entry) bool {
	s, ok := k.Store.Get(e.id)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !ok || s.Ended() {
		k.drop(e)
		return false
	}
	if e.ticket != s.OpenMatchID {
		e.ticket, e.turn = s.OpenMatchID, time.Time{}
		e.fresh = e.answer.clear() || e.fresh
	}
	return e.ticket != ""
}

// learn takes in what the replicas say.
func (k *Keeper) learn(asked []*entry, replies []reply, now time.Time) {
	answered := make(map[*entry]bool)
	anybody := false
	for _, r := range replies {
		if r.err != nil {
			continue
		}
		anybody = true
		for _, e := range asked {
			text, ok := r.summaries[e.ticket]
			k.mu.Lock()
			if ok {
				answered[e] = true
				e.fresh = e.answer.hear(r.from, text, now) || e.fresh
			} else {
				e.answer.silent(r.from)
			}
			k.mu.Unlock()
		}
	}
	if !anybody {
		return // nobody has had a turn
	}
	for _, e := range asked {
		if e.turn.IsZero() {
			e.turn = now
		}
		if answered[e] || now.Sub(e.turn) >= patience {
			e.turn, e.back = time.Time{}, true
		}
	}
}

// tell wakes the followers of what has changed.
func (k *Keeper) tell(now time.Time) {
	for e := range k.line.all() {
		k.mu.Lock()
		if e.answer.at(now) == "" {
			e.fresh = e.answer.clear() || e.fresh
		}
		if e.fresh && now.Sub(e.told) >= pause {
			e.fresh, e.told = false, now
			if e.changed != nil {
				close(e.changed)
				e.changed = nil
			}
		}
		k.mu.Unlock()
	}
}
