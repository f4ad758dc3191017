// Package servers gets game servers for matches: it allocates them through
// Agones's allocator, finds them again by their match, and ends them.
// The director needs it between fetching a match and assigning its tickets.
package servers

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/director/internal/review"
)

// Server is a game server.
type Server struct {
	// Cluster is empty if there is one.
	Cluster         string
	Namespace, Name string
	// UID and Version are empty for a server that comes from an allocation: the
	// allocator does not tell them. Version changes with everything else.
	UID, Version string
	// State as Agones names it.
	State string
	// Address is the one that Agones has chosen of Addresses.
	Address   string
	Addresses []Address
	// Node is the name of the server's node.
	Node        string
	Ports       []Port
	Labels      map[string]string
	Annotations map[string]string
	CreateTime  time.Time
}

// Port is one port of a game server.
type Port struct {
	Name   string
	Number int32
}

// Is reports whether two are the same by name.
func (s Server) Is(other Server) bool {
	return s.Cluster == other.Cluster && s.Namespace == other.Namespace && s.Name == other.Name
}

// ID is "namespace/name".
func (s Server) ID() string { return s.Namespace + "/" + s.Name }

// Placing is the value of contract.PlacingAnnotation, from now on.
func Placing(d time.Duration) string {
	return d.String() + " " + time.Now().UTC().Format(time.RFC3339Nano)
}

// Allocator gets game servers. It is safe for concurrent use.
type Allocator interface {
	// Allocate tries once to get a server, and stamps on it contract.MatchLabel,
	// contract.QueueLabel and contract.RosterAnnotation, by which GameServers finds
	// it. With call.Done the error is nil; with call.Unknown a server may have been
	// allocated, or may be yet, all the same.
	Allocate(ctx context.Context, m *match.Match, sel Selector) (Server, call.Effect, error)
}

// GameServers finds, annotates and ends game servers. It is safe for concurrent use. On one machine miniagones
// does it, in a cluster the Kubernetes API.
type GameServers interface {
	// List returns the servers of a namespace that carry all the labels, as they
	// are now, without those that are being deleted; with an error, those that it
	// has learnt of.
	List(ctx context.Context, namespace string, labels map[string]string) ([]Server, error)
	// Find is List of the servers whose contract.MatchLabel has the value, as they
	// were a moment ago: where it can, it answers without a call.
	Find(ctx context.Context, namespace, match string) ([]Server, error)
	// Hold takes a server over from another director: those who give servers back
	// leave it alone for the time that the selector says. The error is ErrGone or
	// ErrChanged if it is no longer there as it was found.
	Hold(ctx context.Context, s Server, sel Selector) error
	// Delete ends the very server that List or Find returned; its fleet makes
	// another. The error is ErrGone if there is none of that name, and ErrChanged
	// if it is another one now, or another version.
	Delete(ctx context.Context, s Server) error
	// Annotate sets annotations of the very server that List, Find or Annotate
	// returned, and returns it as it is then. An empty value removes one. The errors
	// are those of Delete.
	Annotate(ctx context.Context, s Server, annotations map[string]string) (Server, error)
}

// What keeps a server from being changed. Nothing has happened then.
var (
	// ErrGone says that a server has ended.
	ErrGone = errors.New("game server is gone")
	// ErrChanged says that a server is not as it was listed; a new list tells more.
	ErrChanged = errors.New("game server has changed")
)

// Kubernetes connects to the API of a Kubernetes cluster, by its kubeconfig file,
// or to that of the pod's own without one. Package kubernetes has it: a program
// that does not give it to the director links no client of Kubernetes.
type Kubernetes interface {
	Open(kubeconfig string) (KubernetesCluster, error)
}

// KubernetesCluster is what the API of one cluster has for the director.
type KubernetesCluster interface {
	Allocator() (KubernetesAllocator, error)
	// Nodes reads a label of nodes.
	Nodes(label string, log *slog.Logger) (KubernetesNodes, error)
	GameServers(namespaces []string, log *slog.Logger) (KubernetesGameServers, error)
	// Reviewer looks at the tokens of pods.
	Reviewer() (review.Reviewer, error)
}

// KubernetesAllocator is an Allocator that can be asked whether it is there.
type KubernetesAllocator interface {
	Allocator
	Ready(ctx context.Context) error
}

// KubernetesGameServers are GameServers that are followed while Run runs.
type KubernetesGameServers interface {
	GameServers
	Run(ctx context.Context) error
	Ready(ctx context.Context) error
	// Seen reports whether Find answers without a call.
	Seen() bool
	// Follow has changes told, before Run.
	Follow(changed, gone func(Server)) error
}

// KubernetesNodes are the nodes of a cluster, which are followed while Run runs.
type KubernetesNodes interface {
	// Label is what a label of a node says; "" without the label.
	Label(ctx context.Context, node string) (string, error)
	Run(ctx context.Context) error
	Ready(ctx context.Context) error
}
