package api

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// MaxStreams is how many calls of a player wait at one frontend at the same time, event
// streams and long polls together. The oldest ends for one more: a client that has
// come back by another network leaves streams behind that nobody reads.
const MaxStreams = 8

// MintInterval and MintBurst are how often a player gets a join token: an RSA
// signature takes over a millisecond.
const (
	MintInterval = time.Second
	MintBurst    = 5
)

// errReplaced ends the oldest.
var errReplaced = errors.New("replaced")

// streams are the calls of players that wait. The zero value is ready to use.
type streams struct {
	mu    sync.Mutex
	calls map[string][]*waiting
}

// waiting is one of them.
type waiting struct{ end context.CancelCauseFunc }

// begin returns the context of a call that waits. done has to be called. Backends wait
// for as many tickets as they like.
func (s *streams) begin(ctx context.Context, caller Caller) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if caller.Service {
		return ctx, func() { cancel(nil) }
	}
	call := &waiting{cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls == nil {
		s.calls = make(map[string][]*waiting)
	}
	all := append(s.calls[caller.Player], call)
	if len(all) > MaxStreams {
		all[0].end(errReplaced)
		all = slices.Delete(all, 0, 1)
	}
	s.calls[caller.Player] = all
	return ctx, func() {
		cancel(nil)
		s.mu.Lock()
		defer s.mu.Unlock()
		all := s.calls[caller.Player]
		if i := slices.Index(all, call); i >= 0 {
			all = slices.Delete(all, i, i+1)
		}
		if s.calls[caller.Player] = all; len(all) == 0 {
			delete(s.calls, caller.Player)
		}
	}
}
