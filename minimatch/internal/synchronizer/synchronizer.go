// Package synchronizer brings the FetchMatches calls of several directors into
// common cycles, so that the proposals of all their match functions meet in one
// evaluation and no player is promised to two matches. It keeps the windows of
// Open Match 1.8's synchronizer: see Synchronizer.
package synchronizer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"torikumi/minimatch/internal/clock"
	"torikumi/proto/openmatch"
)

// Evaluator chooses among the proposals of one cycle.
type Evaluator interface {
	// Evaluate takes proposals from the source until it ends, and passes the id
	// of each match that may stand to accept. It may accept before it has seen
	// all proposals. It returns when the evaluation is complete, when accept or
	// the source fails, when ctx is done, or when it cannot evaluate.
	Evaluate(ctx context.Context, source Source, accept func(matchID string) error) error
}

// Source hands over proposals in the order in which they came.
type Source interface {
	// Receive waits for proposals and returns all that are there. It returns io.EOF
	// when there will be no more, and ctx's cause when ctx is done.
	Receive(ctx context.Context) ([]*openmatch.Match, error)
}

// Pending is what a cycle does to what waits.
type Pending interface {
	// SetPending hides the tickets that an accepted match holds. The stamp stands
	// for that.
	SetPending(ticketIDs []string) (stamp uint64)
	// RemoveExpired removes what has expired; each cycle ends with it.
	RemoveExpired()
}

// Errors that end a call. They name what went wrong without inner details, and
// may be shown to a client.
var (
	// ErrWindowClosed is why a match function is cancelled that still runs when
	// the proposal window closes.
	ErrWindowClosed = errors.New("the match function ran longer than the proposal collection interval")
	// ErrTooMany is why a match function is cancelled whose proposals pass a
	// bound. Those before count.
	ErrTooMany = errors.New("too many proposals")
	// ErrCycleFull is ErrTooMany by the bound of all match functions together: any
	// of them may have reached it.
	ErrCycleFull = fmt.Errorf("%w in the cycle", ErrTooMany)
	// ErrStopped ends every call when the synchronizer is closed.
	ErrStopped = errors.New("the service is stopping")

	errAllGone = errors.New("every caller of the cycle has left")
	errLeft    = errors.New("the caller has left")
)

// Options are what a Synchronizer needs. Every field is required.
type Options struct {
	Clock     clock.Clock
	Evaluator Evaluator
	Pending   Pending
	// Registration is how long a cycle takes in calls, from its first on.
	Registration time.Duration
	// Collection is how long, from the end of registration on, a cycle takes in
	// proposals from match functions that are not done.
	Collection time.Duration
	// MaxProposals is the largest number of proposals of one match function in a
	// cycle, MaxProposalBytes the most bytes of all proposals of a cycle together.
	MaxProposals, MaxProposalBytes int
}

// Synchronizer runs cycles, one at a time. A cycle starts with the first call
// that registers and takes in others until the registration window closes; calls
// that come later wait for the next cycle. Match functions start at once at
// registration. Proposals are taken until every match function of the cycle is
// done, though not before registration has closed, and at the longest until the
// collection window closes; what comes later is dropped. The next cycle may
// start as soon as the evaluation has ended and the tickets of the accepted
// matches are pending, whether or not the callers have taken their matches.
//
// Nothing runs while there are no calls. It is safe for concurrent use.
type Synchronizer struct {
	o        Options
	stopping chan struct{}
	cycles   sync.WaitGroup

	mu      sync.Mutex
	current *cycle
	stopped bool
}

// New returns a synchronizer without a cycle.
func New(o Options) *Synchronizer {
	return &Synchronizer{o: o, stopping: make(chan struct{})}
}

// Prepare turns an accepted match, whose tickets are pending with the stamp, into
// the one that its caller gets; nil is none. It runs within the cycle and must not
// block. An error ends this call alone.
type Prepare func(m *openmatch.Match, stamp uint64) (*openmatch.Match, error)

// Abandon hears, once, of an accepted match that its caller will not get: as it
// was proposed and as it was prepared, nil if it was not, and with the stamp that
// its tickets were made pending with, which may be long ago. It must not block.
type Abandon func(proposed, prepared *openmatch.Match, stamp uint64)

// Register waits for a cycle that takes in calls, or starts one, and joins it.
// ctx is the caller's: when it is done the caller counts as having left. The call
// must be given back with Leave. The error is ctx's cause, or ErrStopped.
func (s *Synchronizer) Register(ctx context.Context, prepare Prepare, abandon Abandon) (*Call, error) {
	for {
		call, over, err := s.join(ctx, prepare, abandon)
		if call != nil || err != nil {
			return call, err
		}
		select {
		case <-over:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// join enters the running cycle or a new one. When the running one takes in no
// more calls, it returns the channel that is closed at its end.
func (s *Synchronizer) join(ctx context.Context, prepare Prepare, abandon Abandon) (*Call, <-chan struct{}, error) {
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, nil, ErrStopped
	}
	if s.current == nil {
		c, evaluation := newCycle(s.o)
		call := c.join(ctx, prepare, abandon)
		c.open()
		s.current = c
		s.cycles.Go(func() {
			c.run(evaluation, s.stopping)
			s.finish(c)
		})
		return call, nil, nil
	}
	if call := s.current.join(ctx, prepare, abandon); call != nil {
		return call, nil, nil
	}
	return nil, s.current.over, nil
}

func (s *Synchronizer) finish(c *cycle) {
	s.mu.Lock()
	s.current = nil
	s.mu.Unlock()
	close(c.over)
}

// Close fails the running cycle's callers and those who wait for the next one
// with ErrStopped, and waits until nothing runs any more.
func (s *Synchronizer) Close() {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.stopping)
	}
	s.mu.Unlock()
	s.cycles.Wait()
}
