package state

import (
	"sort"
	"time"

	"torikumi/miniagones/internal/counts"
	"torikumi/pkg/agones"
)

// Selector says which servers an allocation would take.
type Selector struct {
	// Labels that the server must carry.
	Labels map[string]string
	// State is Ready, or Allocated to go on with a server that is in use.
	State State
	// Counts bound the server's counters and lists.
	Counts counts.Selector
}

// Allocation asks for one server.
type Allocation struct {
	Namespace string
	// Selectors in order of preference.
	Selectors []Selector
	// Spread takes any server that fits instead of the one that comes first.
	Spread bool
	// Priorities choose among the servers that fit a selector.
	Priorities []counts.Priority
	// Labels and Annotations are put on the server in the same step, and Actions
	// are done.
	Labels, Annotations map[string]string
	Actions             counts.Actions
}

// Allocate picks a server, makes it Allocated and returns that version. The
// error is ErrNoneFits.
func (f *Fleet) Allocate(a Allocation, now time.Time) (*Server, error) {
	if f.closed || a.Namespace != f.cfg.Namespace {
		return nil, ErrNoneFits
	}
	for _, sel := range a.Selectors {
		r := f.find(sel, a)
		if r == nil {
			continue
		}
		f.allocate(r, a, now)
		return r.cur, nil
	}
	return nil, ErrNoneFits
}

func (f *Fleet) allocate(r *record, a Allocation, now time.Time) {
	if f.cfg.Session > 0 {
		r.sessionEnd = now.Add(f.cfg.Session)
	}
	f.input(r, InputAllocate, func(s *Server) {
		if len(a.Labels) > 0 {
			s.Labels = with(s.Labels, a.Labels)
		}
		s.Counts = a.Actions.Apply(s.Counts)
		s.Annotations = with(s.Annotations, a.Annotations)
		s.Annotations[agones.LastAllocatedAnnotation] = now.Format(time.RFC3339Nano)
	})
}

// find looks among the attached servers first.
func (f *Fleet) find(sel Selector, a Allocation) *record {
	if sel.State == agones.Allocated {
		return f.findIn(&f.allocated, sel, a)
	}
	if r := f.findIn(&f.attached, sel, a); r != nil || f.exclusive > 0 {
		return r
	}
	return f.findIn(&f.ready, sel, a)
}

func (f *Fleet) findIn(state *set, sel Selector, a Allocation) *record {
	candidates := f.narrow(state, sel.Labels)
	n := candidates.len()
	if n == 0 {
		return nil
	}
	first := 0
	if a.Spread {
		first = f.cfg.Pick(n)
	}
	var best *record
	for i := range n {
		r := f.servers[candidates.names[(first+i)%n]]
		if !state.has(r.cur.Name) || r.cur.State != sel.State || r.cur.Going() || !hasLabels(r.cur, sel.Labels) || !sel.Counts.Matches(r.cur.Counts) {
			continue
		}
		if len(a.Priorities) == 0 {
			return r
		}
		if best == nil || counts.Compare(a.Priorities, r.cur.Counts, best.cur.Counts) < 0 {
			best = r
		}
	}
	return best
}

// List returns the servers that carry all the labels, by name. Without a
// namespace it looks in all.
func (f *Fleet) List(namespace string, labels map[string]string) []*Server {
	if namespace != "" && namespace != f.cfg.Namespace {
		return nil
	}
	candidates := f.narrow(nil, labels)
	if candidates.len() == 0 {
		return nil
	}
	var out []*Server
	for _, name := range candidates.names {
		if s := f.servers[name].cur; hasLabels(s, labels) {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}
