// Package plan decides which game servers a Fleet of a cluster needs: a pure
// function of the Fleet and its servers. On the player's path it sees to it that
// there is a server to allocate.
package plan

import (
	"cmp"
	"slices"

	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
)

// Server is what matters of a game server here.
type Server struct {
	Name string
	// Set is the version of the template that it was made from.
	Set   string
	State state.State
	// Deleted says that it is being deleted.
	Deleted bool
}

func (s *Server) going() bool { return s.Deleted || s.State.Ended() }

// Fleet is what a Fleet asks for.
type Fleet struct {
	// Replicas is how many servers there should be, those that are Allocated and
	// Reserved included.
	Replicas int
	// Set is the current version of the template.
	Set string
	// Surge is how many servers there may be beyond Replicas while a template is
	// rolled out, Unavailable how many of those that are neither Allocated nor
	// Reserved may then not be Ready. At least one of them must be positive.
	Surge, Unavailable int
}

// Counts are the servers that are not on their way out.
type Counts struct {
	All, Ready, Reserved, Allocated int
}

// Plan is what has to be done.
type Plan struct {
	// Create is how many servers to make of the current template.
	Create int
	// Delete names servers that the fleet can do without; none of them is
	// Allocated or Reserved.
	Delete []string
	Counts Counts
}

// Empty reports whether nothing has to be done.
func (p *Plan) Empty() bool { return p.Create == 0 && len(p.Delete) == 0 }

// groups are the servers that may be taken away.
type groups struct {
	oldPending, oldReady, newPending, newReady []string
}

// Decide says what a fleet needs. Servers on their way out count for nothing.
func Decide(f Fleet, servers []Server) Plan {
	var p Plan
	var g groups
	servers = slices.Clone(servers)
	slices.SortFunc(servers, func(a, b Server) int { return cmp.Compare(a.Name, b.Name) })
	for _, s := range servers {
		if s.going() {
			continue
		}
		p.Counts.All++
		switch {
		case s.State == agones.Allocated:
			p.Counts.Allocated++
		case s.State == agones.Reserved:
			p.Counts.Reserved++
		default:
			if s.State == agones.Ready {
				p.Counts.Ready++
			}
			g.add(s, s.Set == f.Set)
		}
	}
	want := max(0, f.Replicas-p.Counts.Allocated-p.Counts.Reserved)
	if len(g.oldPending)+len(g.oldReady) == 0 {
		p.scale(want, g)
		return p
	}
	p.rollOut(f, want, g)
	return p
}

func (g *groups) add(s Server, current bool) {
	list := &g.oldPending
	switch ready := s.State == agones.Ready; {
	case current && ready:
		list = &g.newReady
	case current:
		list = &g.newPending
	case ready:
		list = &g.oldReady
	}
	*list = append(*list, s.Name)
}

// scale is for a fleet whose servers are all of the current template: those that
// are not Ready yet go first.
func (p *Plan) scale(want int, g groups) {
	spare := slices.Concat(g.newPending, g.newReady)
	if need := want - len(spare); need >= 0 {
		p.Create = need
		return
	}
	p.Delete = spare[:len(spare)-want]
}

// rollOut replaces servers of older templates, as many at a time as the fleet
// allows.
func (p *Plan) rollOut(f Fleet, want int, g groups) {
	current := len(g.newPending) + len(g.newReady)
	// Nobody misses a server that was never Ready.
	p.Delete = append(p.Delete, g.oldPending...)
	live := p.Counts.All - len(g.oldPending)
	p.Create = max(0, min(want-current, f.Replicas+f.Surge-live))

	ready := len(g.oldReady) + len(g.newReady)
	spare := max(0, ready-max(0, want-f.Unavailable))
	// When there are enough new ones, or none are wanted, the old ones go.
	if current >= want {
		spare = max(spare, ready-want)
	}
	p.Delete = append(p.Delete, g.oldReady[:min(spare, len(g.oldReady))]...)
	if over := current - want; over > 0 {
		p.Delete = append(p.Delete, slices.Concat(g.newPending, g.newReady)[:over]...)
	}
}
