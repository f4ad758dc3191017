package state

import (
	"time"

	"torikumi/miniagones/internal/counts"
	"torikumi/pkg/agones"
)

// State is the state of a game server, as Agones names it.
type State string

// beforeReady reports whether a server in the state is on its way to Ready.
func (s State) beforeReady() bool {
	switch s {
	case agones.PortAllocation, agones.Creating, agones.Starting, agones.Scheduled, agones.RequestReady:
		return true
	}
	return false
}

// ended reports whether nothing leads out of the state.
func (s State) ended() bool {
	return s == agones.Shutdown || s == agones.Error || s == agones.Unhealthy
}

// Port is a port that players connect to.
type Port struct {
	Name string
	Port int32
}

// Server is one version of a game server. It is never changed once it has been
// handed out, its maps and slices included: a change makes a new version with
// a higher ResourceVersion. It is therefore safe to share.
type Server struct {
	Namespace, Name, UID string
	// ResourceVersion rises with every change, over all servers of a fleet.
	ResourceVersion uint64
	// Generation rises with every change of this server's state.
	Generation int64
	Created    time.Time
	// Deleted is when the deletion was asked for; zero before.
	Deleted             time.Time
	Labels, Annotations map[string]string
	State               State
	Address, NodeName   string
	Ports               []Port
	Counts              counts.Set
	// ReservedUntil is when a Reserved server becomes Ready again; zero means
	// not by itself.
	ReservedUntil time.Time
}

// Going reports whether the server is on its way out, whatever its state says.
func (s *Server) Going() bool { return !s.Deleted.IsZero() || s.State.ended() }

// Health says how signs of life are counted. They are checked for the first
// time InitialDelay after the start and then each Period; a check fails when
// the last sign, or the start, is longer ago than Period. FailureThreshold
// failures without a sign in between make the server Unhealthy.
type Health struct {
	Disabled         bool
	Period           time.Duration
	FailureThreshold int
	InitialDelay     time.Duration
}

// Failure is why a server ended that nobody had asked to end.
type Failure struct {
	Server string
	Time   time.Time
	// Reason is for people: "exit status 3", "no sign of life for 15s".
	Reason string
	// ExitCode is the process's; -1 if it has none, or if a signal ended it.
	ExitCode int
	// Output holds the last lines that the process wrote.
	Output []string
}

func (f *Failure) Error() string { return f.Reason }

// Change is one step in the life of a server.
type Change struct {
	// Server is the version that the change made; when Gone, the last one.
	Server *Server
	// From is the state before, empty for a server that has just been made.
	From State
	// Gone says that nothing of the server is left.
	Gone bool
}
