package state

import (
	"maps"
	"strings"
	"time"
)

// Plan is what a fleet needs to have done.
type Plan struct {
	// Create is how many servers to make.
	Create int
	// Delete names servers that the fleet can do without; never one that is
	// Allocated or Reserved.
	Delete []string
	// Due names servers whose reservation, session or health has to be looked
	// at.
	Due []string
	// Stop names servers that are to be ended now.
	Stop []string
	// Next is when to decide again if nothing happens before; zero: not at
	// all.
	Next time.Time
}

// Empty tells whether there is nothing to do now.
func (p *Plan) Empty() bool {
	return p.Create == 0 && len(p.Delete) == 0 && len(p.Due) == 0 && len(p.Stop) == 0
}

// Decide says what the fleet needs at a time. It changes nothing, and costs
// as much as there is to do, however many servers there are.
func (m *Fleet) Decide(now time.Time) Plan {
	var p Plan
	p.Due, p.Next = m.timers.passed(now)
	for _, name := range m.going.names {
		if !m.servers[name].told {
			p.Stop = append(p.Stop, name)
		}
	}
	if m.closed {
		return p
	}
	need := m.cfg.Ready - m.pending.len() - m.ready.len()
	switch {
	case need > 0:
		need = min(need, m.cfg.Max-len(m.servers))
		if need > 0 && now.Before(m.notBefore) {
			p.Next = earlier(p.Next, m.notBefore)
		} else {
			p.Create = need
		}
	case need < 0:
		p.Delete = m.spare(-need)
	}
	return p
}

// spare picks n servers to do without: those that are not Ready yet first.
func (m *Fleet) spare(n int) []string {
	var names []string
	for _, s := range []*set{&m.pending, &m.ready} {
		for i := s.len() - 1; i >= 0 && len(names) < n; i-- {
			names = append(names, s.names[i])
		}
	}
	return names
}

// Apply does what the machine can do of a plan that Decide has just made, and
// returns the servers to start and the names of those to stop. Each server is
// returned once in each list.
func (m *Fleet) Apply(p Plan, now time.Time) (start []*Server, stop []string) {
	for _, name := range p.Due {
		if r := m.servers[name]; r != nil && !r.cur.Going() {
			m.check(r, now)
		}
	}
	for _, name := range p.Delete {
		m.remove(name, now)
	}
	for _, name := range p.Stop {
		if r := m.servers[name]; r != nil {
			r.told = true
			m.remove(name, now)
			stop = append(stop, name)
		}
	}
	for range p.Create {
		if s := m.create(now); s != nil {
			start = append(start, s)
		}
	}
	return start, stop
}

func (m *Fleet) create(now time.Time) *Server {
	name := m.cfg.NewName()
	for i := 0; m.servers[name] != nil; i++ {
		if i == 100 {
			return nil
		}
		name = m.cfg.NewName()
	}
	s := &Server{
		Namespace:   m.cfg.Namespace,
		Name:        name,
		UID:         m.cfg.NewUID(),
		Generation:  1,
		Created:     now,
		Labels:      maps.Clone(m.cfg.Labels),
		Annotations: maps.Clone(m.cfg.Annotations),
		State:       PortAllocation,
	}
	if s.Labels == nil {
		s.Labels = make(map[string]string)
	}
	if s.Annotations == nil {
		s.Annotations = make(map[string]string)
	}
	s.Labels[FleetLabel] = m.cfg.Name
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		s.Labels[SetLabel] = name[:i]
	}
	r := &record{slot: -1}
	m.servers[name] = r
	m.all.add(name)
	m.totals.Created++
	m.commit(r, s)
	return s
}

// check looks at a reservation or session that may be over and at signs of
// life that may be missing.
func (m *Fleet) check(r *record, now time.Time) {
	if until := r.cur.ReservedUntil; !until.IsZero() && !until.After(now) {
		m.move(r, RequestReady, nil)
		m.move(r, Ready, nil)
	}
	if end := r.sessionEnd; !end.IsZero() && !end.After(now) {
		m.move(r, Shutdown, nil)
		return
	}
	if r.nextCheck.IsZero() || r.nextCheck.After(now) {
		m.schedule(r)
		return
	}
	if r.lastSign.Add(m.cfg.Health.Period).Before(now) {
		r.misses++
	}
	// One check at a time: a computer that was asleep has not heard its
	// servers, which says nothing of them.
	if r.nextCheck = r.nextCheck.Add(m.cfg.Health.Period); !r.nextCheck.After(now) {
		r.nextCheck = now.Add(m.cfg.Health.Period)
	}
	if r.misses < m.cfg.Health.FailureThreshold {
		m.schedule(r)
		return
	}
	silent := now.Sub(r.lastSign).Round(time.Millisecond).String()
	m.move(r, Unhealthy, nil)
	m.fail(r, Failure{Server: r.cur.Name, Time: now, Reason: "no sign of life for " + silent, ExitCode: -1})
}
