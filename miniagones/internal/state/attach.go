package state

import (
	"time"

	"torikumi/pkg/agones"
)

// Attachment is a server that somebody else has started.
type Attachment struct {
	Address, NodeName string
	Ports             []Port
	// Silence after a sign of life makes the server Unhealthy; zero: never.
	Silence time.Duration
}

// Attach adds a server that runs already. It is allocated before all others, is not one of
// those that the fleet keeps Ready, and counts for no bound. The
// caller ends it by Gone once Decide stops it. nil: the fleet is closed, or no free name
// could be found.
func (f *Fleet) Attach(a Attachment, now time.Time) *Server {
	if f.closed {
		return nil
	}
	s := f.add(now, true, func(s *Server) {
		s.State, s.Address, s.NodeName, s.Ports = agones.Scheduled, a.Address, a.NodeName, a.Ports
		s.Annotations[agones.DevAddressAnnotation] = a.Address
	})
	if s != nil {
		f.servers[s.Name].silence = a.Silence
	}
	return s
}

// AddExclusive changes how many attachments want all allocations for servers that are
// attached.
func (f *Fleet) AddExclusive(n int) { f.exclusive += n }
