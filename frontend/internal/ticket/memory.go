package ticket

import (
	"container/list"
	"sync"
	"time"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// maxEarly bounds the assignments that are kept for tickets whose name is
	// not known yet; most of them are those of other frontends.
	maxEarly = 1 << 16
	// earlyAge is longer than a ticket can take to be made.
	earlyAge = 10 * time.Second
)

// lostReason is what players read while Open Match has no ticket for them.
const lostReason = "the matchmaker has lost the ticket; it is being asked again"

// Limits bound what a [Memory] keeps.
type Limits struct {
	// Timeout is the longest ticket.
	Timeout time.Duration
	// Assigned and Ended are how long tickets are remembered that ended with
	// a match, and otherwise.
	Assigned, Ended time.Duration
	// Tickets is how many are kept; ended ones are forgotten early to make
	// room.
	Tickets int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Memory is a [Store] in this process alone.
type Memory struct {
	limits  Limits
	stopped chan struct{}

	mu       sync.Mutex
	stopping bool
	byID     map[string]*record
	byTicket map[string]*record // by Open Match's id, while searching
	busy     map[seat]*record   // while searching
	pending  int
	// early holds assignments that arrived between CreateTicket in Open Match
	// and Attach here. Every earlyAge it becomes earlier, which is dropped.
	early, earlier map[string]Assignment
	rotated        time.Time
	// Each list is in the order of time, because each has one constant age.
	searching, assigned, ended *list.List
}

// seat is a player's place in a queue: one ticket at a time.
type seat struct{ queue, player string }

// record is a ticket with what the store has to know about it.
type record struct {
	Ticket
	pending bool
	changed chan struct{}
	home    *list.List
	element *list.Element
}

// NewMemory makes an empty store.
func NewMemory(l Limits) *Memory {
	if l.Now == nil {
		l.Now = time.Now
	}
	return &Memory{
		limits: l, stopped: make(chan struct{}),
		byID: map[string]*record{}, byTicket: map[string]*record{}, busy: map[seat]*record{}, early: map[string]Assignment{},
		searching: list.New(), assigned: list.New(), ended: list.New(),
	}
}

var _ Store = (*Memory)(nil)

// Create implements [Store].
func (m *Memory) Create(s Ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return ErrStopped
	}
	for _, p := range s.Players {
		if other, ok := m.busy[seat{s.Queue, p.GetId()}]; ok {
			return &ConflictError{Player: p.GetId(), Queue: s.Queue, ID: other.ID}
		}
	}
	if !m.makeRoom() {
		return ErrFull
	}
	s.State = torikumiv1.TicketState_SEARCHING
	s.Created = m.limits.Now()
	s.Updated = s.Created
	r := &record{Ticket: s, pending: true, changed: make(chan struct{})}
	m.byID[s.ID] = r
	m.pending++
	for _, p := range s.Players {
		m.busy[seat{s.Queue, p.GetId()}] = r
	}
	r.move(m.searching)
	return nil
}

// makeRoom forgets the ticket that can best be spared.
func (m *Memory) makeRoom() bool {
	for len(m.byID) >= m.limits.Tickets {
		switch {
		case m.ended.Len() > 0:
			m.forget(m.ended.Front())
		case m.assigned.Len() > 0:
			m.forget(m.assigned.Front())
		default:
			return false
		}
	}
	return true
}

// AbortCreate implements [Store].
func (m *Memory) AbortCreate(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[id]
	if !ok {
		return false
	}
	m.settle(r)
	if r.Ended() {
		return false
	}
	m.vacate(r)
	delete(m.byID, id)
	r.home.Remove(r.element)
	close(r.changed)
	return true
}

// settle ends the time between Create and Attach.
func (m *Memory) settle(r *record) {
	if !r.pending {
		return
	}
	r.pending = false
	m.pending--
	if m.pending == 0 {
		clear(m.early)
		clear(m.earlier)
	}
}

// vacate frees what only a ticket that goes on holds.
func (m *Memory) vacate(r *record) {
	for _, p := range r.Players {
		if at := (seat{r.Queue, p.GetId()}); m.busy[at] == r {
			delete(m.busy, at)
		}
	}
	if r.OpenMatchID != "" {
		delete(m.byTicket, r.OpenMatchID)
	}
}

// Attach implements [Store].
func (m *Memory) Attach(id, openMatchID string) (s Ticket, ok, assigned bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, found := m.byID[id]
	if !found {
		return Ticket{}, false, false
	}
	early, announced := m.early[openMatchID]
	if !announced {
		early, announced = m.earlier[openMatchID]
	}
	m.settle(r)
	if r.Ended() || m.stopping {
		return r.Ticket, false, false
	}
	r.OpenMatchID = openMatchID
	m.byTicket[openMatchID] = r
	if announced {
		r.Assignment = &early
		m.end(r, Assign, "")
		return r.Ticket, true, true
	}
	if r.Reason != "" {
		r.Reason = ""
		r.wake()
	}
	return r.Ticket, true, false
}

// MarkLost implements [Store].
func (m *Memory) MarkLost(id, openMatchID string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[id]
	if !ok || r.Ended() || r.OpenMatchID != openMatchID {
		return false
	}
	delete(m.byTicket, openMatchID)
	r.OpenMatchID = ""
	r.Reason = lostReason
	r.wake()
	return true
}

// BeginRetry implements [Store].
func (m *Memory) BeginRetry(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[id]
	if !ok || r.Ended() || r.pending || r.OpenMatchID != "" || m.stopping {
		return false
	}
	r.pending = true
	m.pending++
	return true
}

// AbortRetry implements [Store].
func (m *Memory) AbortRetry(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r, ok := m.byID[id]; ok {
		m.settle(r)
	}
}

// Get implements [Store].
func (m *Memory) Get(id string) (Ticket, bool) {
	s, _, ok := m.Watch(id)
	return s, ok
}

// Watch implements [Store].
func (m *Memory) Watch(id string) (Ticket, <-chan struct{}, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[id]
	if !ok {
		return Ticket{}, nil, false
	}
	return r.Ticket, r.changed, true
}

// End implements [Store].
func (m *Memory) End(id string, e Event) (s Ticket, changed, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[id]
	if !ok || e == Assign {
		return Ticket{}, false, false
	}
	changed = m.end(r, e, reasonOf(e))
	return r.Ticket, changed, true
}

func reasonOf(e Event) string {
	if e == Expire {
		return "no match was found in time"
	}
	return ""
}

// end applies an event; mu is held.
func (m *Memory) end(r *record, e Event, reason string) bool {
	to, changed := Transition(r.State, e)
	if !changed {
		return false
	}
	m.vacate(r)
	r.State, r.Updated, r.Reason = to, m.limits.Now(), reason
	if to == torikumiv1.TicketState_ASSIGNED {
		r.move(m.assigned)
	} else {
		r.move(m.ended)
	}
	r.wake()
	return true
}

// Assign implements [Store].
func (m *Memory) Assign(openMatchID string, a Assignment) (Ticket, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return Ticket{}, false
	}
	r, ok := m.byTicket[openMatchID]
	if !ok {
		if m.pending > 0 && len(m.early) < maxEarly {
			m.early[openMatchID] = a
		}
		return Ticket{}, false
	}
	r.Assignment = &a
	changed := m.end(r, Assign, "")
	return r.Ticket, changed
}

// Open implements [Store].
func (m *Memory) Open() []Ref {
	m.mu.Lock()
	defer m.mu.Unlock()
	refs := make([]Ref, 0, m.searching.Len())
	for e := m.searching.Front(); e != nil; e = e.Next() {
		if r := at(e); !r.pending {
			refs = append(refs, Ref{ID: r.ID, OpenMatchID: r.OpenMatchID})
		}
	}
	return refs
}

// Tick implements [Store].
func (m *Memory) Tick(now time.Time) []Ticket {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return nil
	}
	if now.Sub(m.rotated) >= earlyAge {
		m.early, m.earlier, m.rotated = map[string]Assignment{}, m.early, now
	}
	var expired []Ticket
	for e := m.searching.Front(); e != nil && now.Sub(at(e).Created) >= m.limits.Timeout; e = m.searching.Front() {
		r := at(e)
		m.end(r, Expire, reasonOf(Expire))
		expired = append(expired, r.Ticket)
	}
	for l, age := range map[*list.List]time.Duration{m.assigned: m.limits.Assigned, m.ended: m.limits.Ended} {
		for e := l.Front(); e != nil && now.Sub(at(e).Updated) >= age; e = l.Front() {
			m.forget(e)
		}
	}
	return expired
}

// forget takes away a ticket that has ended.
func (m *Memory) forget(e *list.Element) {
	r := at(e)
	m.settle(r)
	delete(m.byID, r.ID)
	r.home.Remove(e)
}

// Pending implements [Store].
func (m *Memory) Pending() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.pending
}

// Stop implements [Store].
func (m *Memory) Stop() []Ticket {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopping {
		return nil
	}
	m.stopping = true
	close(m.stopped)
	var open []Ticket
	for e := m.searching.Front(); e != nil; e = e.Next() {
		open = append(open, at(e).Ticket)
	}
	return open
}

// Stopped implements [Store].
func (m *Memory) Stopped() <-chan struct{} { return m.stopped }

func at(e *list.Element) *record {
	r, _ := e.Value.(*record) // the lists hold nothing else
	return r
}

// move puts the record at the end of a list.
func (r *record) move(to *list.List) {
	if r.home != nil {
		r.home.Remove(r.element)
	}
	r.home, r.element = to, to.PushBack(r)
}

// wake tells the watchers of a change.
func (r *record) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}
