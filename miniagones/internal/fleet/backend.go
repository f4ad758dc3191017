package fleet

import (
	"context"
	"time"

	"torikumi/miniagones/internal/state"
)

// The fleet's vocabulary, so that most callers need this package alone.
type (
	// Server is one version of a game server; see state.Server.
	Server = state.Server
	// State is a game server's state as Agones names it.
	State = state.State
	// Port is a port that players connect to.
	Port = state.Port
	// Health says how signs of life are counted.
	Health = state.Health
	// Failure is why a server ended unasked.
	Failure = state.Failure
	// Event is one change of one server.
	Event = state.Change
)

// Spec is what a backend, a sidecar and the environment callback get to know
// of a server that is about to start.
type Spec struct {
	Namespace, Name, UID string
	// Place is where the backend put it.
	Place Place
	// SDKGRPC and SDKHTTP are the "host:port" of the server's own SDK server;
	// empty if the backend is Silent.
	SDKGRPC, SDKHTTP string
	// SidecarListen is the "host:port" that the sidecar has to listen on; empty: any.
	SidecarListen string
	// GateToken proves to ReviewToken of GameServerService that its bearer is the
	// server's gate. Only the sidecar hook gets it, and it is good until the hook's stop.
	GateToken string
	// Env holds "NAME=value" for the program: the variables that Agones sets,
	// then what sidecar and callback add.
	Env []string
}

// Place is where players reach a server.
type Place struct {
	Address, NodeName string
	Ports             []Port
	// Release gives the ports back; it is called once, after the server has
	// ended. May be nil.
	Release func()
}

// Backend makes servers. Its methods are safe for concurrent use.
type Backend interface {
	// Silent backends make servers that don't speak the SDK: they are Ready
	// once started, their health isn't watched and they get no SDK server.
	Silent() bool
	// Place finds an address and ports that no other server has.
	Place(ctx context.Context, spec Spec) (Place, error)
	// Start makes the server. The context bounds the start, not the server's
	// life. After an error nothing is left of it; errors are shown to the
	// user and say what was tried.
	Start(ctx context.Context, spec Spec) (Instance, error)
	// Close is called when no instance is left and frees what the backend
	// itself holds.
	Close() error
}

// Instance is a server that a backend has started.
type Instance interface {
	// Stop asks the server to end and makes sure that it has after the grace
	// time. It does not wait for the end; see Done. It may be called more than once.
	Stop(grace time.Duration)
	// Done is closed when nothing is left of the server.
	Done() <-chan struct{}
	// Err is why the server ended, once Done is closed. Nil: it ended
	// regularly. A *Failure has details.
	Err() error
}
