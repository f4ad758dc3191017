package ticket

import (
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// maxEarly bounds the assignments that are kept for Open Match tickets whose
	// id is not known yet; most of them are those of other frontends.
	maxEarly = 1 << 16
	// earlyAge is longer than Open Match can take to create a ticket.
	earlyAge = 10 * time.Second
)

// Memory is a [Store] in this process alone. It returns no errors but those of
// the interface, and never waits.
type Memory struct {
	limits Limits

	mu          sync.Mutex
	closed      bool
	byID        map[string]*record
	byOpenMatch map[string]*record   // attached
	byPlayer    map[string][]*record // not ended, at most one of each Seat
	byCode      map[string]*record   // not ended, with a party
	byRequest   map[string]*record
	accepting   map[*record]bool
	played      map[string]*record // the last that was assigned, by player
	waits       map[string][]Wait  // by queue, the oldest first
	// creating counts the tickets that wait for Open Match to create theirs.
	creating int
	// early holds assignments that came before the Attach of their ticket.
	// Every earlyAge it becomes earlier, which is dropped.
	early, earlier map[string]Assignment
	rotated        time.Time
	// Each list is in the order of time, because each has one constant age.
	gathering, open, assigned, ended *list.List
	// waiting are those of open by queue, in the same order.
	waiting map[string]*list.List
	// seen are all that have not ended, in the order in which somebody asked for them.
	seen *list.List
}

// record is a ticket with what the store has to know about it.
type record struct {
	Ticket
	// changed is nil if nobody watches.
	changed chan struct{}
	home    *list.List
	element *list.Element
	// waits is its place in the list of its queue while it is open, else nil.
	waits *list.Element
	// seen is when somebody last asked for it, and seenAt its place in that list.
	seen   time.Time
	seenAt *list.Element
	// kept is since when it is remembered that has ended.
	kept time.Time
}

// NewMemory makes an empty store.
func NewMemory(l Limits) *Memory {
	if l.Now == nil {
		l.Now = time.Now
	}
	return &Memory{
		limits: l, byID: map[string]*record{}, byOpenMatch: map[string]*record{}, byPlayer: map[string][]*record{},
		byCode: map[string]*record{}, byRequest: map[string]*record{}, played: map[string]*record{}, early: map[string]Assignment{},
		waits: map[string][]Wait{}, accepting: map[*record]bool{},
		gathering: list.New(), open: list.New(), assigned: list.New(), ended: list.New(), seen: list.New(),
		waiting: map[string]*list.List{},
	}
}

var _ Store = (*Memory)(nil)

func (m *Memory) Create(_ context.Context, t Ticket) (Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Ticket{}, ErrClosed
	}
	if t.Request != nil {
		if made, ok := m.byRequest[t.Request.Key]; ok {
			return Ticket{}, &RepeatedError{ID: made.ID, Same: made.Request.Same(t.Request)}
		}
	}
	for _, p := range t.Players {
		if other := m.holds(p.GetId(), t.Seat()); other != nil {
			return Ticket{}, &ConflictError{Player: p.GetId(), Queue: t.Queue, ID: other.ID}
		}
	}
	if !m.makeRoom() {
		return Ticket{}, ErrFull
	}
	t.State, t.Created = None, m.limits.Now()
	r := &record{Ticket: t, seen: t.Created}
	r.seenAt = m.seen.PushBack(r)
	m.byID[t.ID] = r
	if t.Request != nil {
		m.byRequest[t.Request.Key] = r
	}
	for _, p := range t.Players {
		m.seat(p.GetId(), r)
	}
	kind := Create
	if t.Party != nil {
		kind = Gather
	}
	m.apply(r, Event{Kind: kind})
	return r.Ticket, nil
}

// makeRoom forgets the ticket that can best be spared.
func (m *Memory) makeRoom() bool {
	for len(m.byID) >= m.limits.Tickets {
		switch {
		case m.ended.Len() > 0:
			m.forget(at(m.ended.Front()))
		case m.assigned.Len() > 0:
			m.forget(at(m.assigned.Front()))
		default:
			return false
		}
	}
	return true
}

// apply applies an event and keeps the indexes; mu is held.
func (m *Memory) apply(r *record, e Event) Change {
	c := r.Apply(e, m.limits.Now())
	if !c.Changed() {
		return c
	}
	was := r.Ticket
	r.Ticket = c.Ticket
	if was.State.attached() {
		delete(m.byOpenMatch, was.OpenMatchID)
	}
	if delete(m.accepting, r); r.State == Accepting {
		m.accepting[r] = true
	}
	if was.State.creating() {
		m.creating--
	}
	if c.Joined != "" {
		m.seat(c.Joined, r)
	}
	if c.Left != "" {
		m.unseat(c.Left, r)
	}
	switch {
	case r.State == Gathering:
		m.byCode[r.Party.Code] = r
	case r.State.attached():
		m.byOpenMatch[r.OpenMatchID] = r
	case r.State.creating():
		m.creating++
	case r.State.Ended() || r.State == None:
		m.seen.Remove(r.seenAt)
		for _, p := range r.Players {
			m.unseat(p.GetId(), r)
			if r.State == Assigned {
				m.played[p.GetId()] = r
				for _, other := range m.byPlayer[p.GetId()] {
					c.Others = append(c.Others, other.ID)
				}
			}
		}
		if r.State == Assigned {
			waits := append(m.waits[r.Queue], Wait{Ended: r.Updated, Length: r.Updated.Sub(r.Searching())})
			m.waits[r.Queue] = waits[max(0, len(waits)-MostWaits):]
		}
		if r.Party != nil {
			delete(m.byCode, r.Party.Code)
		}
	}
	if m.creating == 0 {
		clear(m.early)
		clear(m.earlier)
	}
	m.file(r)
	if c.Visible() {
		r.wake()
	}
	return c
}

// holds returns the ticket of a player of a Seat that has not ended, nil for none.
func (m *Memory) holds(player, seat string) *record {
	for _, r := range m.byPlayer[player] {
		if r.Seat() == seat {
			return r
		}
	}
	return nil
}

// seat gives a player the Seat of a ticket, and unseat takes it back.
func (m *Memory) seat(player string, r *record) {
	m.byPlayer[player] = append(m.byPlayer[player], r)
}

func (m *Memory) unseat(player string, r *record) {
	rest := slices.DeleteFunc(m.byPlayer[player], func(other *record) bool { return other == r })
	if m.byPlayer[player] = rest; len(rest) == 0 {
		delete(m.byPlayer, player)
	}
}

// wake tells the watchers, if there are any.
func (r *record) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// file puts a record into the list of its state, at the end if it is new there.
func (m *Memory) file(r *record) {
	home := m.open
	switch r.State {
	case None:
		m.queue(r, false)
		m.forget(r)
		return
	case Gathering:
		home = m.gathering
	case Assigned:
		home = m.assigned
	case Cancelled, Expired:
		home = m.ended
	}
	if r.home == home {
		return
	}
	if r.home != nil {
		r.home.Remove(r.element)
	}
	r.home, r.element, r.kept = home, home.PushBack(r), r.Updated
	m.queue(r, home == m.open)
}

// queue puts a record that waits at the end of its queue's list, and takes others out.
func (m *Memory) queue(r *record, waits bool) {
	l := m.waiting[r.Queue]
	switch {
	case waits && l == nil:
		l = list.New()
		m.waiting[r.Queue] = l
		fallthrough
	case waits:
		r.waits = l.PushBack(r)
	case r.waits != nil:
		l.Remove(r.waits)
		if r.waits = nil; l.Len() == 0 {
			delete(m.waiting, r.Queue)
		}
	}
}

// forget takes away a ticket that holds nothing any more.
func (m *Memory) forget(r *record) {
	delete(m.byID, r.ID)
	if r.Request != nil {
		delete(m.byRequest, r.Request.Key)
	}
	r.home.Remove(r.element)
	for _, p := range r.Players {
		if m.played[p.GetId()] == r {
			delete(m.played, p.GetId())
		}
	}
}

func (m *Memory) Get(_ context.Context, id string) (Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[id]
	if !ok {
		return Ticket{}, ErrNotFound
	}
	return r.Ticket, nil
}

func (m *Memory) Find(_ context.Context, code string) (Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byCode[code]
	if !ok {
		return Ticket{}, ErrNotFound
	}
	return r.Ticket, nil
}

func (m *Memory) Of(_ context.Context, player string) ([]Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []Ticket
	for _, r := range m.byPlayer[player] {
		found = append(found, r.Ticket)
	}
	slices.SortFunc(found, ByQueue)
	if r, ok := m.played[player]; ok {
		found = append(found, r.Ticket)
	}
	return found, nil
}

func (m *Memory) Last(_ context.Context, player string) (Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.played[player]
	if !ok {
		return Ticket{}, ErrNotFound
	}
	return r.Ticket, nil
}

func (m *Memory) AssignedBefore(_ context.Context, age time.Duration) ([]Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var old []Ticket
	for e := m.assigned.Front(); e != nil && m.limits.Now().Sub(at(e).kept) >= age; e = e.Next() {
		old = append(old, at(e).Ticket)
	}
	return old, nil
}

func (m *Memory) Keep(_ context.Context, t *Ticket) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[t.ID]
	if !ok || r.State != Assigned {
		return ErrNotFound
	}
	r.kept = m.limits.Now()
	m.assigned.MoveToBack(r.element)
	return nil
}

func (m *Memory) Watch(_ context.Context, id string) (Ticket, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[id]
	switch {
	case m.closed:
		return Ticket{}, nil, ErrClosed
	case !ok:
		return Ticket{}, nil, ErrNotFound
	case r.changed == nil:
		r.changed = make(chan struct{})
	}
	return r.Ticket, r.changed, nil
}

func (m *Memory) Update(_ context.Context, id string, e Event) (Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.byID[id]
	if !ok {
		return Change{}, ErrNotFound
	}
	if m.closed && e.Kind.Begins() {
		return Change{}, ErrClosed
	}
	if e.Kind == Join {
		if other := m.holds(e.Player.GetId(), r.Seat()); other != nil && other != r {
			return Change{}, &ConflictError{Player: e.Player.GetId(), Queue: r.Queue, ID: other.ID}
		}
	}
	if e.Kind == Attach {
		early, ok := m.early[e.OpenMatchID]
		if !ok {
			early, ok = m.earlier[e.OpenMatchID]
		}
		if ok {
			e.Kind, e.Assignment = AttachAssigned, &early
		}
	}
	return m.apply(r, e), nil
}

func (m *Memory) Assign(_ context.Context, openMatchID string, a Assignment) (Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Change{}, ErrClosed
	}
	r, ok := m.byOpenMatch[openMatchID]
	if !ok {
		if m.creating > 0 && len(m.early) < maxEarly {
			m.early[openMatchID] = a
		}
		return Change{}, ErrNotFound
	}
	return m.apply(r, Event{Kind: Assign, OpenMatchID: openMatchID, Assignment: &a}), nil
}

func (m *Memory) UpdateOpenMatch(_ context.Context, openMatchID string, e Event) (Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed && e.Kind.Begins() {
		return Change{}, ErrClosed
	}
	r, ok := m.byOpenMatch[openMatchID]
	if !ok {
		return Change{}, ErrNotFound
	}
	e.OpenMatchID = openMatchID
	return m.apply(r, e), nil
}

func (m *Memory) Accepting(context.Context) ([]Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := make([]Ticket, 0, len(m.accepting))
	for r := range m.accepting {
		asked = append(asked, r.Ticket)
	}
	return asked, nil
}

func (m *Memory) Open(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ids := make([]string, 0, m.open.Len())
	for e := m.open.Front(); e != nil; e = e.Next() {
		if r := at(e); !r.State.creating() {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

func (m *Memory) Waits(_ context.Context, queue string) ([]Wait, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.waits[queue]), nil
}

func (m *Memory) Touch(_ context.Context, ids []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.limits.Now()
	for _, id := range ids {
		if r, ok := m.byID[id]; ok && !r.Ended() {
			r.seen = now
			m.seen.MoveToBack(r.seenAt)
		}
	}
	return nil
}

func (m *Memory) Expire(context.Context) ([]Change, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	now := m.limits.Now()
	if now.Sub(m.rotated) >= earlyAge {
		m.early, m.earlier, m.rotated = map[string]Assignment{}, m.early, now
	}
	var expired []Change
	for e := m.gathering.Front(); e != nil && now.Sub(at(e).Created) >= m.limits.Gathering; e = m.gathering.Front() {
		expired = append(expired, m.apply(at(e), Event{Kind: Expire}))
	}
	waited := func(l *list.List, limit time.Duration) {
		for e := l.Front(); e != nil && now.Sub(at(e).Searching()) >= limit; e = l.Front() {
			expired = append(expired, m.apply(at(e), Event{Kind: Expire}))
		}
	}
	waited(m.open, m.limits.Timeout)
	for queue, limit := range m.limits.OfQueues() {
		if l := m.waiting[queue]; l != nil {
			waited(l, limit)
		}
	}
	for e := m.seen.Front(); m.limits.Gone > 0 && e != nil && now.Sub(at(e).seen) >= m.limits.Gone; e = m.seen.Front() {
		expired = append(expired, m.apply(at(e), Event{Kind: Cancel}))
	}
	for r := range m.accepting {
		for _, k := range []Kind{Lapse, Recall} {
			if c := m.apply(r, Event{Kind: k}); c.Changed() {
				expired = append(expired, c)
			}
		}
	}
	m.forgetOld(m.assigned, now.Add(-m.limits.Assigned))
	m.forgetOld(m.ended, now.Add(-m.limits.Ended))
	return expired, nil
}

// forgetOld forgets what ended, or was kept, at a time or before.
func (m *Memory) forgetOld(l *list.List, end time.Time) {
	for e := l.Front(); e != nil && !at(e).kept.After(end); e = l.Front() {
		m.forget(at(e))
	}
}

func (m *Memory) Close(context.Context) ([]Ticket, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, nil
	}
	m.closed = true
	for _, r := range m.byID {
		r.wake()
	}
	open := make([]Ticket, 0, m.open.Len())
	for e := m.open.Front(); e != nil; e = e.Next() {
		open = append(open, at(e).Ticket)
	}
	return open, nil
}

func at(e *list.Element) *record {
	r, _ := e.Value.(*record) // the lists hold nothing else
	return r
}
