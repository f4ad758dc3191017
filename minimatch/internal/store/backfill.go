package store

import (
	"container/list"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/minimatch/internal/filter"
	"torikumi/minimatch/internal/index"
	"torikumi/proto/openmatch"
)

// Errors of the calls on backfills.
var (
	ErrBackfillNotFound   = errors.New("there is no such backfill")
	ErrBackfillExpired    = errors.New("the backfill has expired: it was not acknowledged in time")
	ErrBackfillGeneration = errors.New("the backfill is of another generation: it has changed since")
)

// backfill is a game server's request for players and those who are on their
// way to it. It expires unless it is acknowledged; an expired one is out of the
// queries' sight, and is removed by the next RemoveExpired, or by itself.
type backfill struct {
	entry    index.Entry[*backfill]
	backfill *openmatch.Backfill
	// joining are the tickets of each match that was added since the last
	// acknowledgement; one that was in two of them stands here twice.
	joining []hold
	// lease stands in Store.leases, oldest acknowledgement first.
	lease        *list.Element
	acknowledged time.Duration
}

// CreateBackfill adds a backfill like the given one with a new id, the present
// as its creation time and acknowledgement, and generation 1. What the given one
// refers to belongs to the store from then on.
func (s *Store) CreateBackfill(b *openmatch.Backfill) *openmatch.Backfill {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.createBackfill(b)
}

func (s *Store) createBackfill(b *openmatch.Backfill, joining ...hold) *openmatch.Backfill {
	now := s.clock.Now()
	created := shallowBackfill(b)
	created.Id = s.ids.next(now)
	created.CreateTime = timestamppb.New(now)
	created.Generation = 1

	e := &backfill{backfill: created, joining: joining}
	e.lease = s.leases.PushBack(e)
	e.acknowledged = now.Sub(s.start)
	s.backfills[created.Id] = e
	s.ask(e)
	s.arm(e.acknowledged)
	return created
}

// GetBackfill returns the backfill, or false when there is none with this id.
// One that has expired is there until it is removed.
func (s *Store) GetBackfill(id string) (*openmatch.Backfill, bool) {
	s.catchUp()
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.backfills[id]
	if !ok {
		return nil, false
	}
	return e.backfill, true
}

// UpdateBackfill replaces the search fields, extensions and persistent field of
// the backfill with this id by those given, and raises its generation. Players
// who were on their way to it are released. The error is ErrBackfillNotFound,
// ErrBackfillExpired or a SizeError.
func (s *Store) UpdateBackfill(b *openmatch.Backfill) (*openmatch.Backfill, error) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.liveBackfill(b.GetId())
	if err != nil {
		return nil, err
	}
	changed := shallowBackfill(e.backfill)
	changed.SearchFields = b.GetSearchFields()
	changed.Extensions = b.GetExtensions()
	changed.PersistentField = b.GetPersistentField()
	if err := boundedBackfill("backfill", changed); err != nil {
		return nil, err
	}
	s.replace(e, changed)
	s.releaseHeld(e.joining...)
	e.joining = nil
	return e.backfill, nil
}

// DeleteBackfill removes the backfill, if there is one, and releases the players
// who were on their way to it, unless they are in another match since.
func (s *Store) DeleteBackfill(id string) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.backfills[id]; ok {
		s.endBackfill(e)
	}
}

// AcknowledgeBackfill keeps the backfill from expiring, and assigns the players
// who have been matched with it since the last time. It returns the backfill and
// the tickets that were assigned; those that no longer exist are passed over, and
// those that do not fit into one message are left for the next time. The error is
// ErrBackfillNotFound, ErrBackfillExpired or a SizeError; then nothing has changed.
func (s *Store) AcknowledgeBackfill(id string, a *openmatch.Assignment) (*openmatch.Backfill, []*openmatch.Ticket, error) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.liveBackfill(id)
	if err != nil {
		return nil, nil, err
	}
	joined, left, err := s.join(e, a)
	if err != nil {
		return nil, nil, err
	}
	now := s.now()
	e.acknowledged = now
	s.leases.MoveToBack(e.lease)
	var tickets []*openmatch.Ticket
	for _, t := range joined {
		s.assign(t, a, now)
		tickets = append(tickets, t.Item)
	}
	e.joining = left
	s.arm(now)
	return e.backfill, tickets, nil
}

// join divides those who are on their way to a backfill into those whose tickets,
// with the assignment, fit into one message with the backfill, at least one, and
// those who are left.
func (s *Store) join(e *backfill, a *openmatch.Assignment) (joined []*entry, left []hold, err error) {
	size, full, done := sizeWithin(e.backfill), false, map[string]struct{}{}
	for _, h := range e.joining {
		rest := hold{stamp: h.stamp}
		for _, id := range h.ids {
			t, ok := s.tickets[id]
			if _, twice := done[id]; twice || !ok {
				continue
			}
			if !full {
				if err := assignable("assignment", t.Item, a); err != nil {
					return nil, nil, err
				}
				size += sizeWithin(assigned(t.Item, a))
				full = size > maxMessage && len(joined) > 0
			}
			if full {
				rest.ids = append(rest.ids, id)
				continue
			}
			done[id] = struct{}{}
			joined = append(joined, t)
		}
		if len(rest.ids) > 0 {
			left = append(left, rest)
		}
	}
	return joined, left, nil
}

// FillBackfill enters a match with tickets, which SetPending gave the stamp, into
// the backfill that it names: a backfill without an id is created; the search
// fields and extensions of one that exists are replaced, its generation is raised
// and its persistent field stays. The tickets are assigned by the next
// acknowledgement, or released as by ReleaseHeld when the backfill changes or
// ends. It returns what the match has to show: the created backfill, or the given
// one. The error is ErrBackfillNotFound, ErrBackfillGeneration, ErrBackfillExpired
// or a SizeError; then nothing has changed.
func (s *Store) FillBackfill(b *openmatch.Backfill, tickets []string, stamp uint64) (*openmatch.Backfill, error) {
	s.catchUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.GetId() == "" {
		if err := boundedBackfill("backfill", b); err != nil {
			return nil, err
		}
		return s.createBackfill(b, hold{tickets, stamp}), nil
	}
	e, ok := s.backfills[b.GetId()]
	switch {
	case !ok:
		return nil, ErrBackfillNotFound
	case e.backfill.GetGeneration() != b.GetGeneration():
		return nil, ErrBackfillGeneration
	case s.expired(e):
		return nil, ErrBackfillExpired
	}
	changed := shallowBackfill(e.backfill)
	changed.SearchFields = b.GetSearchFields()
	changed.Extensions = b.GetExtensions()
	if err := boundedBackfill("backfill, with the persistent_field that it keeps,", changed); err != nil {
		return nil, err
	}
	s.replace(e, changed)
	e.joining = append(e.joining, hold{tickets, stamp})
	return b, nil
}

// QueryBackfills returns the backfills that have not expired and pass the
// filter, in no particular order.
func (s *Store) QueryBackfills(f *filter.Filter) []*openmatch.Backfill {
	s.catchUp()
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found []*openmatch.Backfill
	for _, e := range s.asking.Candidates(f, nil) {
		if !s.expired(e) && f.Pass(e.backfill.GetSearchFields(), e.backfill.GetCreateTime()) {
			found = append(found, e.backfill)
		}
	}
	return found
}

// RemoveExpired removes the backfills that have expired and releases the players
// who were on their way to them.
func (s *Store) RemoveExpired() {
	s.catchUp()
	s.mu.RLock()
	oldest := s.leases.Front()
	some := oldest != nil && s.expired(oldest.Value.(*backfill))
	s.mu.RUnlock()
	if some {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.removeBackfills(s.now() - s.lease - 1)
	}
}

// removeBackfills removes those last acknowledged at the time or earlier.
func (s *Store) removeBackfills(before time.Duration) {
	for {
		oldest := s.leases.Front()
		if oldest == nil || oldest.Value.(*backfill).acknowledged > before {
			return
		}
		s.endBackfill(oldest.Value.(*backfill))
	}
}

func (s *Store) endBackfill(e *backfill) {
	s.asking.Remove(&e.entry)
	s.leases.Remove(e.lease)
	delete(s.backfills, e.backfill.GetId())
	s.releaseHeld(e.joining...)
}

func (s *Store) liveBackfill(id string) (*backfill, error) {
	e, ok := s.backfills[id]
	switch {
	case !ok:
		return nil, ErrBackfillNotFound
	case s.expired(e):
		return nil, ErrBackfillExpired
	}
	return e, nil
}

func (s *Store) expired(e *backfill) bool { return e.acknowledged < s.now()-s.lease }

func (s *Store) replace(e *backfill, b *openmatch.Backfill) {
	s.asking.Remove(&e.entry)
	b.Generation++
	e.backfill = b
	s.ask(e)
}

// ask lets queries see the backfill, as long as it has not expired.
func (s *Store) ask(e *backfill) {
	e.entry.Item = e
	s.asking.Insert(&e.entry, e.backfill.GetSearchFields(), e.backfill.GetCreateTime())
}

// shallowBackfill copies a backfill but not what it refers to.
func shallowBackfill(b *openmatch.Backfill) *openmatch.Backfill {
	c := &openmatch.Backfill{
		Id:              b.GetId(),
		SearchFields:    b.GetSearchFields(),
		Extensions:      b.GetExtensions(),
		PersistentField: b.GetPersistentField(),
		CreateTime:      b.GetCreateTime(),
		Generation:      b.GetGeneration(),
	}
	if unknown := b.ProtoReflect().GetUnknown(); len(unknown) > 0 {
		c.ProtoReflect().SetUnknown(unknown)
	}
	return c
}
