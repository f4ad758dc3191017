package state

import (
	"strings"
	"time"

	"torikumi/pkg/agones"
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

// Empty reports whether there is nothing to do now.
func (p *Plan) Empty() bool {
	return p.Create == 0 && len(p.Delete) == 0 && len(p.Due) == 0 && len(p.Stop) == 0
}

// Decide says what the fleet needs at a time. It changes nothing, and costs
// as much as there is to do, however many servers there are.
func (f *Fleet) Decide(now time.Time) Plan {
	var p Plan
	p.Due, p.Next = f.timers.passed(now)
	for _, name := range f.going.names {
		if !f.servers[name].stopping {
			p.Stop = append(p.Stop, name)
		}
	}
	if f.closed {
		return p
	}
	need := f.cfg.Ready - f.pending.len() - f.ready.len()
	switch {
	case need > 0:
		need = min(need, f.cfg.Max-(len(f.servers)-f.attachedLen))
		if need > 0 && now.Before(f.notBefore) {
			p.Next = earlier(p.Next, f.notBefore)
		} else {
			p.Create = need
		}
	case need < 0:
		p.Delete = f.spare(-need)
	}
	return p
}

// spare picks n servers to do without: those that are not Ready yet first.
func (f *Fleet) spare(n int) []string {
	var names []string
	for _, s := range []*set{&f.pending, &f.ready} {
		for i := s.len() - 1; i >= 0 && len(names) < n; i-- {
			names = append(names, s.names[i])
		}
	}
	return names
}

// Apply changes the state by a plan that Decide has just made, and
// returns the servers to start and the names of those to stop. Each server is
// returned once in each list.
func (f *Fleet) Apply(p Plan, now time.Time) (start []*Server, stop []string) {
	for _, name := range p.Due {
		if r := f.servers[name]; r != nil && !r.cur.Going() {
			f.check(r, now)
		}
	}
	for _, name := range p.Delete {
		f.remove(name, now)
	}
	for _, name := range p.Stop {
		if r := f.servers[name]; r != nil {
			r.stopping = true
			f.remove(name, now)
			stop = append(stop, name)
		}
	}
	for range p.Create {
		if s := f.add(now, false, nil); s != nil {
			start = append(start, s)
		}
	}
	return start, stop
}

// add makes a server as edit says, or nil if no free name can be found.
func (f *Fleet) add(now time.Time, attached bool, edit func(*Server)) *Server {
	name := f.cfg.NewName()
	for i := 0; f.servers[name] != nil; i++ {
		if i == 100 {
			return nil
		}
		name = f.cfg.NewName()
	}
	s := &Server{
		Namespace:   f.cfg.Namespace,
		Name:        name,
		UID:         f.cfg.NewUID(),
		Generation:  1,
		Created:     now,
		Counts:      f.cfg.Counts,
		Labels:      with(f.cfg.Labels, map[string]string{agones.FleetLabel: f.cfg.Name}),
		Annotations: make(map[string]string),
		State:       agones.PortAllocation,
	}
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		s.Labels[agones.SetLabel] = name[:i]
	}
	if edit != nil {
		edit(s)
	}
	r := &record{slot: -1, attached: attached}
	if attached {
		f.attachedLen++
	}
	f.servers[name] = r
	f.all.add(name)
	f.totals.Created++
	f.commit(r, s)
	return s
}

// check looks at a reservation or session that may be over and at signs of
// life that may be missing.
func (f *Fleet) check(r *record, now time.Time) {
	if until := r.cur.ReservedUntil; !until.IsZero() && !until.After(now) {
		f.input(r, InputRequestReady, nil)
		f.input(r, InputReady, nil)
	}
	if end := r.sessionEnd; !end.IsZero() && !end.After(now) {
		f.input(r, InputShutdown, nil)
		return
	}
	silent, dead := r.signs.Check(now)
	if !dead {
		f.schedule(r)
		return
	}
	f.input(r, InputExited, nil)
	reason := "no sign of life for " + silent.Round(time.Millisecond).String()
	f.fail(r, Failure{Server: r.cur.Name, Time: now, Reason: reason, ExitCode: -1})
}
