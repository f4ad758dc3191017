// Package call reads what the answer to a gRPC call says about its effect.
// The director's promises hang on that: a game server may have been allocated,
// or a ticket assigned, although the answer never came.
package call

import (
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Effect is what a call has done at the other end.
type Effect int

const (
	// Done: it succeeded.
	Done Effect = iota
	// NotSent: the other end has never seen the call. Worth another try.
	NotSent
	// Busy: the other end could not do it now, and has done nothing.
	Busy
	// Refused: the other end will never do it, and has done nothing.
	Refused
	// Unknown: it may have been done, or may be done yet.
	Unknown
)

// String names the effect as in metrics.
func (e Effect) String() string {
	return [...]string{"done", "not_sent", "busy", "refused", "unknown"}[e]
}

// Sent watches whether a call leaves this process: pass Option to the call,
// and ask Effect afterwards. The zero value is ready, for one call.
type Sent struct{ to peer.Peer }

// Option is passed to the call.
func (s *Sent) Option() grpc.CallOption { return grpc.Peer(&s.to) }

// Effect reads the call's error. gRPC tells the peer only of a call that got
// as far as a connection; and it repeats by itself only what the server has
// said that it did not look at.
func (s *Sent) Effect(err error) Effect {
	if err != nil && s.to.Addr == nil {
		return NotSent
	}
	switch code := status.Code(err); code {
	case codes.OK:
		return Done
	case codes.ResourceExhausted, codes.Aborted, codes.NotFound:
		// NotFound: Agones can be told to answer so when nothing is Ready.
		return Busy
	case codes.InvalidArgument, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated,
		codes.Unimplemented, codes.FailedPrecondition, codes.OutOfRange:
		return Refused
	default:
		// Agones's allocator sends the number that the Kubernetes API has answered with.
		return HTTPEffect(int(code))
	}
}

// HTTPEffect reads an HTTP status of the Kubernetes API that is no success. What it
// cannot say for a server behind it may have had its effect.
func HTTPEffect(code int) Effect {
	switch {
	case code == http.StatusConflict || code == http.StatusTooManyRequests:
		return Busy
	case code == http.StatusRequestTimeout || code < http.StatusBadRequest || code >= http.StatusInternalServerError:
		return Unknown
	}
	return Refused
}
