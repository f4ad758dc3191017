// Package state is the life of a fleet's game servers as a state machine
// without I/O, goroutines or clock. What happens to servers goes in as calls
// that carry the time. Decide says what has to be done; Apply changes the state
// by it and returns what the caller has to start and stop. States, transitions
// and rules are those of Agones.
//
// On the player's path a match gets its game server here: Allocate.
package state

import (
	"container/heap"
	"errors"
	"fmt"
	"strconv"
	"time"

	"torikumi/miniagones/internal/counts"
	"torikumi/pkg/agones"
)

// Config describes a fleet. New refuses an incomplete one.
type Config struct {
	// Name and Namespace of the fleet.
	Name, Namespace string
	// Ready is how many servers are kept Ready, or on the way there, beside
	// those in use.
	Ready int
	// Max bounds the servers in all, those included that are still ending.
	Max int
	// Labels go on every server.
	Labels map[string]string
	// Counts are the counters and lists of every server at its start.
	Counts counts.Set
	Health Health
	// Session is how long a server stays Allocated before it is shut down, for
	// servers that can't say themselves that they are done; zero: for ever.
	Session time.Duration
	// BackoffMin is the pause after the first failure; each failure doubles
	// it, up to BackoffMax. That ends with a server that did as it was asked, or
	// that was Ready and had been there for longer than BackoffMax when it
	// failed: to become Ready is not enough, as it may crash right after.
	BackoffMin, BackoffMax time.Duration
	// NewName returns a name that is not likely to be in use; NewUID one that
	// never was.
	NewName, NewUID func() string
	// Pick returns a number in [0, n), for allocations that ask for spread.
	Pick func(n int) int
}

func (c *Config) validate() error {
	var errs []error
	check := func(ok bool, field, rule string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %s", field, rule))
		}
	}
	check(c.Name != "", "Name", "must not be empty")
	check(c.Namespace != "", "Namespace", "must not be empty")
	check(c.Ready >= 0, "Ready", "must not be negative")
	check(c.Max >= 1 && c.Max >= c.Ready, "Max", "must be at least 1 and at least Ready")
	check(c.Session >= 0, "Session", "must not be negative")
	check(c.BackoffMin > 0, "BackoffMin", "must be positive")
	check(c.BackoffMax >= c.BackoffMin, "BackoffMax", "must be at least BackoffMin")
	check(c.NewName != nil && c.NewUID != nil && c.Pick != nil, "NewName, NewUID, Pick", "must be set")
	if err := c.Counts.Check(); err != nil {
		errs = append(errs, fmt.Errorf("Counts: %w", err))
	}
	if !c.Health.Disabled {
		check(c.Health.Period > 0, "Health.Period", "must be positive")
		check(c.Health.FailureThreshold > 0, "Health.FailureThreshold", "must be positive")
		check(c.Health.InitialDelay >= 0, "Health.InitialDelay", "must not be negative")
	}
	return errors.Join(errs...)
}

// record is a server and what nobody outside needs to know of it.
type record struct {
	cur *Server
	// due is the next time at which something happens by itself, slot the
	// record's place in the heap of those, or -1.
	due   time.Time
	slot  int
	signs Signs
	// sessionEnd is zero unless the server is Allocated for a limited time.
	sessionEnd time.Time
	// ready says that the server has been Ready.
	ready bool
	// stopping says that Apply has already asked for the server to be stopped.
	stopping bool
	// attached says that the server is not the fleet's; see Attach.
	attached bool
	silence  time.Duration
}

// Totals count what has happened since the fleet was made.
type Totals struct {
	Created, Allocated, Gone, Failed uint64
}

// Fleet is the state of one fleet. It is not safe for concurrent use.
type Fleet struct {
	cfg     Config
	servers map[string]*record
	byLabel map[labelPair]*set

	// all has every server. Those that are attached are in no other set before they are
	// Allocated or going, but in attached while they are Ready.
	all, pending, ready, allocated, going, attached set
	timers                                          timers
	// attachedLen is how many servers are attached, in any state, exclusive how many
	// attachments want all allocations.
	attachedLen, exclusive int

	version uint64
	totals  Totals
	// failures are those in a row since a server became Ready, doubled those
	// that the next pause grows by.
	failures, doubled int
	notBefore         time.Time
	last              *Failure
	changes           []Change
	closed            bool
}

// New makes a fleet without servers; Decide will ask for the first ones.
func New(cfg Config) (*Fleet, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("fleet %q: %w", cfg.Name, err)
	}
	return &Fleet{
		cfg:     cfg,
		servers: make(map[string]*record),
		byLabel: make(map[labelPair]*set),
	}, nil
}

// Close makes the fleet give up all its servers and make no new ones.
func (f *Fleet) Close(now time.Time) {
	f.closed = true
	for name := range f.servers {
		f.remove(name, now)
	}
}

// Closed reports whether Close was called.
func (f *Fleet) Closed() bool { return f.closed }

// Len is the number of servers in all.
func (f *Fleet) Len() int { return len(f.servers) }

// ReadyCount is the number of servers that can be allocated.
func (f *Fleet) ReadyCount() int { return f.ready.len() }

// Totals returns what has happened so far.
func (f *Fleet) Totals() Totals { return f.totals }

// Get returns a server's current version, or nil.
func (f *Fleet) Get(name string) *Server {
	if r := f.servers[name]; r != nil {
		return r.cur
	}
	return nil
}

// LastFailure returns the last failure, or nil, and how many there were in a
// row without a server becoming Ready.
func (f *Fleet) LastFailure() (*Failure, int) { return f.last, f.failures }

// Doubled is how often the next pause is doubled: see Config.BackoffMin.
func (f *Fleet) Doubled() int { return f.doubled }

// Drain returns the changes since the last call, in order.
func (f *Fleet) Drain() []Change {
	c := f.changes
	f.changes = nil
	return c
}

// commit makes next the current version of r's server.
func (f *Fleet) commit(r *record, next *Server) {
	f.version++
	next.ResourceVersion = f.version
	from := State("")
	if r.cur != nil {
		from = r.cur.State
		if from != next.State {
			next.Generation++
		}
		f.leave(r.cur, next)
	}
	r.cur = next
	f.enter(next)
	f.schedule(r)
	f.changes = append(f.changes, Change{Server: next, From: from})
}

// input commits a version in the state that an input leads to, if it leads
// anywhere.
func (f *Fleet) input(r *record, in Input, edit func(*Server)) {
	to, moved := r.cur.State.After(in)
	if !moved {
		return
	}
	next := *r.cur
	next.State = to
	next.ReservedUntil = time.Time{}
	if to != agones.Allocated {
		r.sessionEnd = time.Time{}
	}
	if edit != nil {
		edit(&next)
	}
	f.commit(r, &next)
	switch {
	case to == agones.Allocated:
		f.totals.Allocated++
	case r.attached: // it says nothing of those that the fleet starts
	case to == agones.Ready:
		f.failures, r.ready = 0, true
	case to == agones.Shutdown:
		f.doubled = 0
	}
}

// schedule works out when r is due next and puts it into its place.
func (f *Fleet) schedule(r *record) {
	due := earlier(earlier(r.signs.Next(), r.cur.ReservedUntil), r.sessionEnd)
	if r.cur.Going() {
		due = time.Time{}
	}
	r.due = due
	switch {
	case due.IsZero() && r.slot >= 0:
		heap.Remove(&f.timers, r.slot)
	case !due.IsZero() && r.slot >= 0:
		heap.Fix(&f.timers, r.slot)
	case !due.IsZero():
		heap.Push(&f.timers, r)
	}
}

// remove marks a server as deleted, as Kubernetes does: its state stays what
// it was.
func (f *Fleet) remove(name string, now time.Time) {
	r := f.servers[name]
	if r == nil || !r.cur.Deleted.IsZero() {
		return
	}
	next := *r.cur
	next.Deleted = now
	f.commit(r, &next)
}

// fail notes that a server ended by itself and makes the fleet pause. What
// fails while it pauses already belongs to the same trouble and is not
// counted again.
func (f *Fleet) fail(r *record, failure Failure) {
	if r.attached {
		return // it is not the fleet's trouble
	}
	f.totals.Failed++
	f.last = &failure
	if failure.Time.Before(f.notBefore) {
		return
	}
	if r.ready && failure.Time.Sub(r.cur.Created) > f.cfg.BackoffMax {
		f.doubled = 0
	}
	pause := f.cfg.BackoffMin
	for i := 0; i < f.doubled && pause < f.cfg.BackoffMax; i++ {
		pause *= 2
	}
	f.failures++
	f.doubled++
	f.notBefore = failure.Time.Add(min(pause, f.cfg.BackoffMax))
}

// FormatVersion writes a ResourceVersion as Kubernetes does.
func FormatVersion(v uint64) string { return strconv.FormatUint(v, 10) }
