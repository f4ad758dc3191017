package state

import (
	"time"

	"torikumi/pkg/agones"
)

// set holds names in order of arrival as long as nothing is taken out; taking
// out costs constant time and moves the last name into the gap.
type set struct {
	names []string
	at    map[string]int
}

func (s *set) add(name string) {
	if _, ok := s.at[name]; ok {
		return
	}
	if s.at == nil {
		s.at = make(map[string]int)
	}
	s.at[name] = len(s.names)
	s.names = append(s.names, name)
}

func (s *set) remove(name string) {
	i, ok := s.at[name]
	if !ok {
		return
	}
	last := len(s.names) - 1
	s.names[i] = s.names[last]
	s.at[s.names[i]] = i
	s.names = s.names[:last]
	delete(s.at, name)
}

func (s *set) has(name string) bool {
	_, ok := s.at[name]
	return ok
}

func (s *set) len() int {
	if s == nil {
		return 0
	}
	return len(s.names)
}

type labelPair struct{ key, value string }

// enter puts a version into every index it belongs to; leave takes it out.
func (f *Fleet) enter(s *Server) {
	for k, v := range s.Labels {
		p := labelPair{k, v}
		if f.byLabel[p] == nil {
			f.byLabel[p] = new(set)
		}
		f.byLabel[p].add(s.Name)
	}
	attached := f.servers[s.Name].attached
	switch {
	case s.Going():
		f.going.add(s.Name)
	case s.State == agones.Allocated:
		f.allocated.add(s.Name)
	case attached && s.State == agones.Ready:
		f.attached.add(s.Name)
	case attached:
	case s.State.beforeReady():
		f.pending.add(s.Name)
	case s.State == agones.Ready:
		f.ready.add(s.Name)
	}
}

// leave takes what the next version no longer has out of the indexes; without
// a next version, everything. Labels are compared, as most changes touch few.
func (f *Fleet) leave(s, next *Server) {
	for k, v := range s.Labels {
		if next != nil {
			if w, ok := next.Labels[k]; ok && w == v {
				continue
			}
		}
		p := labelPair{k, v}
		if f.byLabel[p].remove(s.Name); f.byLabel[p].len() == 0 {
			delete(f.byLabel, p)
		}
	}
	if next != nil && next.State == s.State && next.Going() == s.Going() {
		return
	}
	f.pending.remove(s.Name)
	f.ready.remove(s.Name)
	f.attached.remove(s.Name)
	f.allocated.remove(s.Name)
	f.going.remove(s.Name)
}

// narrow returns the smallest set that holds every server with the labels, and
// nil if there can be none. Start may be nil: all servers.
func (f *Fleet) narrow(start *set, labels map[string]string) *set {
	best := start
	if best == nil {
		best = &f.all
	}
	for k, v := range labels {
		s := f.byLabel[labelPair{k, v}]
		if s.len() < best.len() {
			best = s
		}
	}
	return best
}

func hasLabels(s *Server, labels map[string]string) bool {
	for k, v := range labels {
		if w, ok := s.Labels[k]; !ok || w != v {
			return false
		}
	}
	return true
}

// timers is a heap of the records that wait for a time, the earliest first.
type timers []*record

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].due.Before(t[j].due) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].slot, t[j].slot = i, j
}

func (t *timers) Push(x any) {
	r, ok := x.(*record)
	if !ok {
		return
	}
	r.slot = len(*t)
	*t = append(*t, r)
}

func (t *timers) Pop() any {
	last := len(*t) - 1
	r := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	r.slot = -1
	return r
}

// passed appends the names of all records that are due at now, and returns
// the earliest time after it. It reads the heap without changing it and looks
// at no more than what is due and its children.
func (t timers) passed(now time.Time) (due []string, next time.Time) {
	open := []int{0}
	for len(open) > 0 {
		i := open[len(open)-1]
		open = open[:len(open)-1]
		if i >= len(t) {
			continue
		}
		if t[i].due.After(now) {
			next = earlier(next, t[i].due)
			continue
		}
		due = append(due, t[i].cur.Name)
		open = append(open, 2*i+1, 2*i+2)
	}
	return due, next
}

// earlier returns the earlier of two times, where zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}
