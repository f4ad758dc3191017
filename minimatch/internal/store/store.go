// Package store keeps the waiting players' tickets in memory: what Open Match
// keeps in Redis. It is where a ticket is born, is seen by pools, is hidden
// while a match that holds it waits for a server, gets its assignment and ends.
package store

import (
	"container/list"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/minimatch/internal/clock"
	"torikumi/minimatch/internal/filter"
	"torikumi/minimatch/internal/index"
	"torikumi/proto/openmatch"
)

// Options are what a Store needs. Every field is required.
type Options struct {
	Clock clock.Clock
	// PendingTimeout is how long a proposed ticket stays hidden from queries
	// when it is neither assigned nor released.
	PendingTimeout time.Duration
	// AssignedTimeout is how long a ticket lives after its last assignment.
	AssignedTimeout time.Duration
}

// Store holds tickets. Create it with New. It is safe for concurrent use; no
// call blocks for longer than its own work on memory.
//
// Tickets that it returns are snapshots shared by everyone: they are never
// changed, and must not be.
type Store struct {
	clock clock.Clock
	start time.Time
	ids   *ids
	// due is when the next timeout falls, counted from start, so that a
	// reading call can see without a lock that there is nothing to do.
	due atomic.Int64

	// lease is how long a backfill lives after an acknowledgement, keep how long
	// it is kept at most.
	lease, keep time.Duration

	mu        sync.RWMutex
	tickets   map[string]*entry
	waiting   *index.Index[*openmatch.Ticket]
	pending   queue
	assigned  queue
	stamp     uint64 // of the last SetPending
	backfills map[string]*backfill
	asking    *index.Index[*backfill]
	leases    *list.List // of *backfill
	timer     clock.Timer
	closed    bool
}

// leaseShare is the part of the pending timeout within which a backfill has to
// be acknowledged: less than all of it, so that the players on their way to a
// game server that is gone are not yet back in the queries' sight.
const leaseShare = 0.8

// never is the time of a timeout that nothing waits for.
const never = math.MaxInt64

// entry is a ticket and where it stands. A ticket is in exactly one of three
// states: waiting (in the index), pending (in the pending queue) or assigned (in
// the assigned queue).
type entry struct {
	index.Entry[*openmatch.Ticket]
	changed chan struct{}

	queue      *queue
	prev, next *entry
	due        time.Duration

	// While it is pending: the stamp that it became so with, and how many calls of
	// SetPending hold it, that one and later ones.
	since   uint64
	holders int
}

// hold is what an accepted match has made pending.
type hold struct {
	ids   []string
	stamp uint64
}

// Assignment gives one assignment to several tickets.
type Assignment struct {
	TicketIDs  []string
	Assignment *openmatch.Assignment
}

// Size counts tickets by state, and backfills.
type Size struct {
	Waiting, Pending, Assigned int
	Backfills                  int
}

// New returns an empty store.
func New(o Options) *Store {
	s := &Store{
		clock:     o.Clock,
		start:     o.Clock.Now(),
		ids:       newIDs(),
		lease:     time.Duration(float64(o.PendingTimeout) * leaseShare),
		keep:      time.Duration(float64(o.PendingTimeout) * (1 + leaseShare)),
		tickets:   map[string]*entry{},
		waiting:   index.New[*openmatch.Ticket](),
		pending:   queue{timeout: o.PendingTimeout},
		assigned:  queue{timeout: o.AssignedTimeout},
		backfills: map[string]*backfill{},
		asking:    index.New[*backfill](),
		leases:    list.New(),
	}
	s.due.Store(never)
	return s
}

// Close stops the store's timer. Its tickets stay readable.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// Create adds a ticket like the given one with a new id and the present as its
// creation time, and returns it. What the given ticket refers to belongs to the
// store from then on.
func (s *Store) Create(t *openmatch.Ticket) *openmatch.Ticket {
	now := s.clock.Now()
	created := shallow(t)
	created.Id = s.ids.next(now)
	created.CreateTime = timestamppb.New(now)
	created.Assignment = nil

	e := &entry{}
	e.Item = created
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickets[created.Id] = e
	s.show(e)
	return created
}

// Get returns the ticket, or false when there is none with this id.
func (s *Store) Get(id string) (*openmatch.Ticket, bool) {
	s.catchUp()
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.tickets[id]
	if !ok {
		return nil, false
	}
	return e.Item, true
}

// Watch returns the ticket and a channel that is closed when the ticket is
// assigned or ends. It costs nothing until then, and nothing has to be given
// back. It returns false when there is no ticket with this id.
func (s *Store) Watch(id string) (*openmatch.Ticket, <-chan struct{}, bool) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.tickets[id]
	if !ok {
		return nil, nil, false
	}
	if e.changed == nil {
		e.changed = make(chan struct{})
	}
	return e.Item, e.changed, true
}

// Delete removes the ticket and reports whether there was one.
func (s *Store) Delete(id string) bool {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.tickets[id]
	if ok {
		s.end(e)
	}
	return ok
}

// Query returns the tickets that wait, are not pending, and pass the filter, in
// no particular order.
func (s *Store) Query(f *filter.Filter) []*openmatch.Ticket {
	s.catchUp()
	s.mu.RLock()
	candidates := s.waiting.Candidates(f, nil)
	s.mu.RUnlock()

	// The snapshots are immutable: they are filtered, in place, without a lock.
	found := candidates[:0]
	for _, t := range candidates {
		if f.Pass(t.GetSearchFields(), t.GetCreateTime()) {
			found = append(found, t)
		}
	}
	clear(candidates[len(found):])
	return found
}

// Assign gives tickets their assignments, replacing earlier ones, takes them
// out of the queries' sight and starts the time after which they are deleted.
// It returns the ids that name no ticket, in the order given. All of it happens
// at once, or nothing does: the error is a SizeError.
func (s *Store) Assign(groups []Assignment) (missing []string, err error) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, g := range groups {
		for _, id := range g.TicketIDs {
			if e, ok := s.tickets[id]; ok {
				if err := assignable(fmt.Sprintf("assignments[%d].assignment", i), e.Item, g.Assignment); err != nil {
					return nil, err
				}
			}
		}
	}
	now := s.now()
	for _, g := range groups {
		for _, id := range g.TicketIDs {
			e, ok := s.tickets[id]
			if !ok {
				missing = append(missing, id)
				continue
			}
			s.assign(e, g.Assignment, now)
		}
	}
	s.arm(now)
	return missing, nil
}

// SetPending hides tickets from queries until they are released, at the latest
// after the pending timeout, which starts anew for those already pending. Ids of
// assigned tickets and of none are passed over. With the stamp that it returns,
// ReleaseHeld undoes it.
func (s *Store) SetPending(ids []string) (stamp uint64) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.stamp++
	for _, id := range ids {
		e, ok := s.tickets[id]
		if !ok || e.queue == &s.assigned {
			continue
		}
		if e.queue != &s.pending {
			e.since, e.holders = s.stamp, 0
		}
		e.holders++
		s.waiting.Remove(&e.Entry)
		e.dequeue()
		s.pending.push(e, now)
	}
	s.arm(now)
	return s.stamp
}

// ReleaseHeld undoes the SetPending of these ids that returned the stamp; call it
// once. Tickets that another SetPending holds stay pending, and so do those that
// were shown since and hidden again.
func (s *Store) ReleaseHeld(ids []string, stamp uint64) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releaseHeld(hold{ids, stamp})
}

// Release lets queries see pending tickets again, whoever holds them. Other
// ids are passed over.
func (s *Store) Release(ids []string) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if e, ok := s.tickets[id]; ok && e.queue == &s.pending {
			s.release(e)
		}
	}
}

// ReleaseAll lets queries see every pending ticket again.
func (s *Store) ReleaseAll() {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.pending.head != nil {
		s.release(s.pending.head)
	}
}

// Size counts tickets and backfills.
func (s *Store) Size() Size {
	s.catchUp()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Size{Waiting: s.waiting.Len(), Pending: s.pending.length, Assigned: s.assigned.length, Backfills: len(s.backfills)}
}

func (s *Store) now() time.Duration { return s.clock.Now().Sub(s.start) }

func (s *Store) assign(e *entry, a *openmatch.Assignment, now time.Duration) {
	s.waiting.Remove(&e.Entry)
	e.Item = assigned(e.Item, a)
	e.dequeue()
	s.assigned.push(e, now)
	e.announce()
}

func (s *Store) releaseHeld(holds ...hold) {
	for _, h := range holds {
		for _, id := range h.ids {
			e, ok := s.tickets[id]
			if !ok || e.queue != &s.pending || h.stamp < e.since {
				continue
			}
			if e.holders--; e.holders == 0 {
				s.release(e)
			}
		}
	}
}

func (s *Store) show(e *entry) {
	s.waiting.Insert(&e.Entry, e.Item.GetSearchFields(), e.Item.GetCreateTime())
}

func (s *Store) release(e *entry) {
	e.dequeue()
	s.show(e)
}

func (s *Store) end(e *entry) {
	s.waiting.Remove(&e.Entry)
	e.dequeue()
	delete(s.tickets, e.Item.GetId())
	e.announce()
}

func (e *entry) announce() {
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// catchUp makes the timeouts that are due happen before a call looks at the
// tickets, so that no answer depends on how promptly a timer fires.
func (s *Store) catchUp() {
	if int64(s.now()) < s.due.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(s.now())
}

func (s *Store) expire(now time.Duration) {
	for s.pending.head != nil && s.pending.head.due <= now {
		s.release(s.pending.head)
	}
	for s.assigned.head != nil && s.assigned.head.due <= now {
		s.end(s.assigned.head)
	}
	s.removeBackfills(now - s.keep)
	s.due.Store(never)
	s.arm(now)
}

// arm sees to it that the timer fires no later than the next timeout. One timer
// serves all tickets; it may fire early for one that has left since.
func (s *Store) arm(now time.Duration) {
	next := time.Duration(never)
	for _, q := range []*queue{&s.pending, &s.assigned} {
		if q.head != nil {
			next = min(next, q.head.due)
		}
	}
	if oldest := s.leases.Front(); oldest != nil {
		next = min(next, oldest.Value.(*backfill).acknowledged+s.keep)
	}
	if next >= time.Duration(s.due.Load()) {
		return
	}
	s.due.Store(int64(next))
	if s.closed {
		return
	}
	if s.timer != nil {
		s.timer.Stop()
	}
	s.timer = s.clock.AfterFunc(next-now, s.catchUp)
}

// assigned is the ticket with the assignment.
func assigned(t *openmatch.Ticket, a *openmatch.Assignment) *openmatch.Ticket {
	c := shallow(t)
	c.Assignment = a
	return c
}

// shallow copies a ticket but not what it refers to.
func shallow(t *openmatch.Ticket) *openmatch.Ticket {
	c := &openmatch.Ticket{
		Id:              t.GetId(),
		Assignment:      t.GetAssignment(),
		SearchFields:    t.GetSearchFields(),
		Extensions:      t.GetExtensions(),
		PersistentField: t.GetPersistentField(),
		CreateTime:      t.GetCreateTime(),
	}
	if unknown := t.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		c.ProtoReflect().SetUnknown(unknown)
	}
	return c
}
