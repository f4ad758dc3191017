package loadgen

import "time"

type place struct {
	// match is the match's id; empty if the target does not tell it, and then
	// the connection stands for the match.
	match, connection string
	// jwt is the player's join token, of our frontend.
	jwt string
	// allocated is when the server was given to the match; zero if unknown.
	allocated time.Time
}

func (p place) same(q place) bool { return p.match == q.match && p.connection == q.connection }

// Reasons why a match is malformed.
const (
	tooMany       = "too_many_tickets"
	tooFew        = "too_few_tickets"
	crossRegion   = "several_regions"
	manyServers   = "several_connections"
	sharedServer  = "shared_connection"
	changedTicket = "changed_assignment"
)

type match struct {
	place
	region  int
	tickets int
	seen    time.Time
	wrong   map[string]bool // nil while nothing is
}

// matches puts the assignments together to matches and judges those. It is not
// safe for concurrent use.
type matches struct {
	size int
	// reuse is how soon a server may be in another match, keep how long after
	// a match's first ticket its last one can still come.
	reuse, keep time.Duration

	byID, byConnection map[string]*match
	order              []*match // as first seen
	total, short       int
	malformed          int
	reasons            map[string]int
}

func newMatches(size int, reuse, keep time.Duration) *matches {
	return &matches{
		size: size, reuse: reuse, keep: max(keep, reuse),
		byID: make(map[string]*match), byConnection: make(map[string]*match), reasons: make(map[string]int),
	}
}

func (m *matches) add(p place, region int, now time.Time) {
	if p.allocated.IsZero() {
		p.allocated = now
	}
	of := m.find(p)
	if of == nil {
		of = &match{place: p, region: region, seen: now}
		m.order = append(m.order, of)
		m.total++
		m.claim(of)
	}
	of.tickets++
	if m.size > 0 && of.tickets > m.size {
		m.wrong(of, tooMany)
	}
	if of.region != region {
		m.wrong(of, crossRegion)
	}
	if of.connection != p.connection {
		m.wrong(of, manyServers)
	}
}

func (m *matches) find(p place) *match {
	if p.match != "" {
		return m.byID[p.match]
	}
	if of := m.byConnection[p.connection]; of != nil && of.match == "" && p.allocated.Sub(of.allocated) < m.reuse {
		return of
	}
	return nil
}

// claim gives the connection to a new match.
func (m *matches) claim(of *match) {
	if of.match != "" {
		m.byID[of.match] = of
	}
	if before := m.byConnection[of.connection]; before != nil && of.allocated.Sub(before.allocated).Abs() < m.reuse {
		m.wrong(before, sharedServer)
		m.wrong(of, sharedServer)
	}
	m.byConnection[of.connection] = of
}

// change says that a ticket that was sent to old is now sent to p.
func (m *matches) change(old, p place, region int, now time.Time) {
	if of := m.find(old); of != nil {
		m.wrong(of, changedTicket)
	}
	if old.match != p.match || old.match == "" {
		m.add(p, region, now)
	}
}

func (m *matches) wrong(of *match, reason string) {
	if of.wrong[reason] {
		return
	}
	if of.wrong == nil {
		of.wrong = make(map[string]bool)
		m.malformed++
	}
	of.wrong[reason] = true
	m.reasons[reason]++
}

// expire forgets the matches that can get no more tickets by now.
func (m *matches) expire(now time.Time) {
	n := 0
	for n < len(m.order) && now.Sub(m.order[n].seen) >= m.keep {
		of := m.order[n]
		m.order[n] = nil
		n++
		if of.tickets < m.size && of.wrong == nil {
			m.short++
		}
		delete(m.byID, of.match)
		if m.byConnection[of.connection] == of {
			delete(m.byConnection, of.connection)
		}
	}
	m.order = m.order[n:]
}

// finish counts what is left, when no more tickets can come. Each lost ticket
// explains one match that lacks tickets: its assignment was not heard of.
func (m *matches) finish(lost int) (total, malformed int, reasons map[string]int) {
	for _, of := range m.order {
		if of.tickets < m.size && of.wrong == nil {
			m.short++
		}
	}
	m.order = nil
	if n := m.short - lost; n > 0 {
		m.malformed += n
		m.reasons[tooFew] += n
	}
	return m.total, m.malformed, m.reasons
}
