// Package explain knows why tickets wait: it asks the match functions on behalf
// of the players who look at their tickets, and keeps what they say. It stands
// beside the player's path, and never in its way: players' calls leave a note and
// take what is known, one loop does the asking.
//
// What the loop asks is bounded, whoever waits: each replica of the match
// function gets one call in each interval, for at most 100 tickets. A match
// function notes a ticket when it is asked for it, looks with its next run, and
// remembers for 30 s; so a ticket is asked for until there is an answer, and
// then the next one is. The queues share the 100 evenly: a queue whose match
// function never answers takes no turns from the others. Open Match is not asked
// for anything.
package explain

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/rpc"
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
	// pause is the least time between two changes that watches hear of.
	pause = 5 * time.Second
	// mostTickets bounds what is remembered. More could not be asked for often
	// enough for their answers to be true.
	mostTickets = 10_000
	// mostText is the longest reason in bytes; players are spared longer ones.
	mostText = 1000
)

// Store is where tickets are looked up.
type Store interface {
	Get(ctx context.Context, id string) (ticket.Ticket, error)
}

// Options are what a [Cache] needs; all are required but those that say so.
type Options struct {
	Store Store
	// MatchFunctions are host:port. A name is asked at all its addresses.
	MatchFunctions []string
	// TLS says how they are called.
	TLS rpc.PeerTLS
	// Interval is the time between two calls of a match function, and CallTimeout how long one
	// may take; zero means 1 s.
	Interval, CallTimeout time.Duration
	Logger                *slog.Logger
	Metrics               *Metrics
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Cache keeps the reasons. It is safe for concurrent use. A nil Cache knows
// nothing.
type Cache struct {
	options  Options
	now      func() time.Time
	replicas *replicas // the loop's alone

	mu      sync.Mutex
	entries map[string]*entry // by the ticket's id
	// line has the same entries, and those that are gone since the last round.
	line line
}

// entry is a ticket that players look at. It is guarded by Cache.mu.
type entry struct {
	id, queue string
	created   time.Time

	// turn is when the ticket was first asked for in this turn; back sends it
	// to the end of the line.
	turn time.Time
	back bool

	// gone means that nobody looks any more, or nobody waits.
	gone bool
	// watches are the calls that look as long as they last.
	watches int
	looked  time.Time
	// openMatch is the id of the Open Match ticket that answer is about.
	openMatch string
	answer    answer
	// changed is closed at the next change that watches hear of; nil if
	// nobody listens. fresh means that there is something to tell them, notified
	// is when they last heard.
	changed  chan struct{}
	fresh    bool
	notified time.Time
}

// New makes a cache; Run makes it work.
func New(o Options) *Cache {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Cache{
		options: o, now: o.Now, entries: make(map[string]*entry),
		replicas: newReplicas(&o),
	}
}

// Reason returns why a ticket waits, as far as that is known, and notes that
// somebody wants to know.
func (c *Cache) Reason(t *ticket.Ticket) string {
	if c == nil {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	e := c.entries[t.ID]
	if e == nil && now.Sub(t.Searching()) >= minWait {
		e = c.enter(t)
	}
	return c.look(e, t, now)
}

// enter makes an entry, if there is room; mu is held.
func (c *Cache) enter(t *ticket.Ticket) *entry {
	if t.Ended() || t.State == ticket.Gathering || len(c.entries) >= mostTickets {
		return nil
	}
	e := &entry{id: t.ID, queue: t.Queue, created: t.Searching()}
	c.entries[t.ID] = e
	c.line.entries = append(c.line.entries, e)
	return e
}

// look reads an entry, which may be nil; mu is held.
func (c *Cache) look(e *entry, t *ticket.Ticket, now time.Time) string {
	if e == nil {
		return ""
	}
	if t.Ended() {
		c.drop(e)
		return ""
	}
	e.looked = now
	if e.openMatch != t.OpenMatchID {
		return "" // Open Match has another ticket for it by now
	}
	return e.answer.at(now)
}

// drop forgets an entry; mu is held.
func (c *Cache) drop(e *entry) {
	e.gone = true
	if c.entries[e.id] == e {
		delete(c.entries, e.id)
	}
}

// Watch is a call that looks at one ticket as long as it lasts. It is not safe
// for concurrent use.
type Watch struct {
	cache *Cache
	entry *entry
}

// Watch begins to look; Close has to be called.
func (c *Cache) Watch() *Watch { return &Watch{cache: c} }

// Reason returns why the ticket waits, as far as that is known, and a channel
// that is closed when that has changed, which is no more often than every 5 s. It
// is nil if that will not be told. Every call must be for the same ticket.
func (w *Watch) Reason(t *ticket.Ticket) (reason string, changed <-chan struct{}) {
	c := w.cache
	if c == nil {
		return "", nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.entry == nil {
		if w.entry = c.entries[t.ID]; w.entry == nil {
			w.entry = c.enter(t)
		}
		if w.entry == nil {
			return "", nil
		}
		w.entry.watches++
	}
	reason = c.look(w.entry, t, c.now())
	if w.entry.gone {
		return "", nil
	}
	if w.entry.changed == nil {
		w.entry.changed = make(chan struct{})
	}
	return reason, w.entry.changed
}

// Close ends the looking.
func (w *Watch) Close() {
	if w.entry == nil {
		return
	}
	w.cache.mu.Lock()
	defer w.cache.mu.Unlock()
	w.entry.watches--
	w.entry.looked = w.cache.now()
}

// Run asks until ctx ends.
func (c *Cache) Run(ctx context.Context) error {
	defer c.replicas.close()
	for range rpc.Ticks(ctx, c.options.Interval) {
		c.round(ctx)
	}
	return nil
}

// round asks once, and tells the watches what is new.
func (c *Cache) round(ctx context.Context) {
	now := c.now()
	c.mu.Lock()
	c.options.Metrics.tickets.Set(float64(len(c.entries)))
	queues := c.line.sweep(func(e *entry) verdict { return c.judge(e, now) })
	c.mu.Unlock()
	var ids []string
	asked := pick(queues, mostIDs, func(e *entry) bool {
		id := c.open(ctx, e)
		if id != "" {
			ids = append(ids, id)
		}
		return id != ""
	})
	var replies []reply
	if len(ids) > 0 {
		replies = c.replicas.ask(ctx, ids)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range asked {
		e.learn(replies, now)
	}
	for _, e := range c.line.entries {
		e.notify(now)
	}
}

// judge says whether an entry is to be asked for, by what is known here; mu is
// held.
func (c *Cache) judge(e *entry, now time.Time) verdict {
	wanted := e.watches > 0 || now.Sub(e.looked) < interest
	switch {
	case e.gone:
		return leave
	case !wanted && e.answer.at(now) == "":
		c.drop(e)
		return leave
	case !wanted || now.Sub(e.created) < minWait:
		return stay
	}
	return ask
}

// open returns the Open Match ticket of an entry; empty if the ticket waits no
// more, or has none.
func (c *Cache) open(ctx context.Context, e *entry) string {
	t, err := c.options.Store.Get(ctx, e.id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || t.Ended() {
		c.drop(e)
		return ""
	}
	if e.openMatch != t.OpenMatchID {
		e.openMatch, e.turn = t.OpenMatchID, time.Time{}
		e.fresh = e.answer.clear() || e.fresh
	}
	return e.openMatch
}

// learn takes in what the replicas say; Cache.mu is held.
func (e *entry) learn(replies []reply, now time.Time) {
	asked, answered := false, false
	for _, r := range replies {
		if r.err != nil {
			continue
		}
		asked = true
		if text, ok := r.summaries[e.openMatch]; ok {
			answered = true
			e.fresh = e.answer.hear(r.from, text, now) || e.fresh
		} else {
			e.answer.silent(r.from)
		}
	}
	if !asked {
		return // it has had no turn
	}
	if e.turn.IsZero() {
		e.turn = now
	}
	if answered || now.Sub(e.turn) >= patience {
		e.turn, e.back = time.Time{}, true
	}
}

// notify wakes the watches if something has changed; Cache.mu is held.
func (e *entry) notify(now time.Time) {
	if e.answer.at(now) == "" {
		e.fresh = e.answer.clear() || e.fresh
	}
	if e.fresh && now.Sub(e.notified) >= pause {
		e.fresh, e.notified = false, now
		if e.changed != nil {
			close(e.changed)
			e.changed = nil
		}
	}
}
