package synchronizer

import (
	"context"
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/internal/clock"
	"torikumi/proto/openmatch"
)

// cycle is one round of registration, collection and evaluation.
type cycle struct {
	o Options
	// cancel ends the evaluation.
	cancel context.CancelCauseFunc
	// registered is closed when no more calls can join, over when the next
	// cycle may start.
	registered chan struct{}
	over       chan struct{}

	registration clock.Timer

	mu sync.Mutex
	// registering: calls may join. collecting: proposals are taken.
	registering bool
	collecting  bool
	calls       []*Call
	proposing   int // calls that may still propose
	present     int // calls whose callers are there
	proposals   map[string]*proposal
	bytes       int                // of the proposals
	inbox       []*openmatch.Match // what the evaluator has not taken yet
	arrived     chan struct{}      // closed when the inbox or collecting changes
	collection  clock.Timer
	err         error // why the cycle failed
}

// proposal is a match id of this cycle and what became of it.
type proposal struct {
	match    *openmatch.Match
	call     *Call
	accepted bool
}

// newCycle returns a cycle that takes in calls until its registration window,
// which open starts, has passed; ctx is that of the evaluation.
func newCycle(o Options) (c *cycle, ctx context.Context) {
	ctx, cancel := context.WithCancelCause(context.Background())
	c = &cycle{
		o:           o,
		cancel:      cancel,
		registered:  make(chan struct{}),
		over:        make(chan struct{}),
		registering: true,
		collecting:  true,
		proposals:   map[string]*proposal{},
		arrived:     make(chan struct{}),
	}
	return c, ctx
}

// open starts the registration window. The call that a cycle is made for joins
// it first: however short the window is, it then is in.
func (c *cycle) open() {
	c.registration = c.o.Clock.AfterFunc(c.o.Registration, c.closeRegistration)
}

// run lasts from the first registration until the next cycle may start. When the
// evaluation fails the callers hear of it at once, but the registration window
// runs its time all the same, so that callers who try again immediately do not
// make cycle after cycle. Only stopping cuts the window short.
func (c *cycle) run(ctx context.Context, stopping <-chan struct{}) {
	evaluated := make(chan struct{})
	go func() {
		defer close(evaluated)
		if err := c.o.Evaluator.Evaluate(ctx, c, c.accept); err != nil {
			c.fail(err)
		}
	}()

	select {
	case <-c.registered:
	case <-stopping:
		c.registration.Stop()
		c.fail(ErrStopped)
		c.closeRegistration()
	}
	select {
	case <-evaluated:
	case <-stopping:
		c.fail(ErrStopped)
		<-evaluated
	}
	c.mu.Lock()
	c.collection.Stop()
	c.mu.Unlock()
	c.o.Pending.RemoveExpired()
	c.finish(nil)
	c.cancel(nil)
}

// fail ends the cycle for all its callers. The first failure is the one that
// they hear of: what it brings down with it does not explain anything.
func (c *cycle) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	err = c.err
	c.mu.Unlock()
	c.cancel(err)
	c.finish(err)
}

// finish ends the calls: no more matches come.
func (c *cycle) finish(err error) {
	c.mu.Lock()
	calls := c.calls
	c.mu.Unlock()
	for _, call := range calls {
		call.finish(err)
	}
}

// join takes a call in, or returns nil when registration has closed.
func (c *cycle) join(ctx context.Context, prepare Prepare, abandon Abandon) *Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.registering {
		return nil
	}
	call := &Call{
		cycle:     c,
		prepare:   prepare,
		abandon:   abandon,
		proposing: true,
		proposed:  map[string]struct{}{},
		cut:       make(chan struct{}),
		changed:   make(chan struct{}),
	}
	c.calls = append(c.calls, call)
	c.proposing++
	c.present++
	call.unwatch = context.AfterFunc(ctx, call.leave)
	if c.err != nil {
		call.finish(c.err)
	}
	return call
}

// closeRegistration starts the time of the proposals.
func (c *cycle) closeRegistration() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.registering {
		return
	}
	c.registering = false
	c.collection = c.o.Clock.AfterFunc(c.o.Collection, c.closeWindow)
	close(c.registered)
	c.advance()
}

// advance does what follows from a call's being done or gone, or from the end of
// registration. It needs the lock.
func (c *cycle) advance() {
	if c.registering {
		return
	}
	if c.present == 0 {
		c.cancel(errAllGone) // nobody is left to be told
	}
	if c.proposing == 0 {
		c.stopCollecting()
	}
}

// closeWindow ends collection for match functions that still run.
func (c *cycle) closeWindow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopCollecting()
	for _, call := range c.calls {
		if call.proposing {
			close(call.cut) // only here, and the window closes once
		}
	}
}

// stopCollecting needs the lock.
func (c *cycle) stopCollecting() {
	if c.collecting {
		c.collecting = false
		c.wake()
	}
}

// wake tells the evaluator's side to look again. It needs the lock.
func (c *cycle) wake() {
	close(c.arrived)
	c.arrived = make(chan struct{})
}

// propose takes a match from a call's match function. Late ones are dropped
// without an error: the call hears of that by its cut.
func (c *cycle) propose(call *Call, m *openmatch.Match) error {
	id := m.GetMatchId()
	c.mu.Lock()
	if _, twice := call.proposed[id]; twice {
		c.mu.Unlock()
		return fmt.Errorf("the match function returned the match_id %q twice", id)
	}
	call.proposed[id] = struct{}{}
	if !c.collecting || !call.proposing {
		c.mu.Unlock()
		return nil
	}
	if _, taken := c.proposals[id]; taken {
		c.mu.Unlock()
		err := fmt.Errorf("two match functions of one cycle returned the match_id %q", id)
		c.fail(err)
		return err
	}
	if err := c.bound(call, m); err != nil {
		c.mu.Unlock()
		return err
	}
	c.proposals[id] = &proposal{match: m, call: call}
	c.inbox = append(c.inbox, m)
	c.wake()
	c.mu.Unlock()
	return nil
}

// bound counts a proposal, or says which bound it would pass. It needs the lock.
func (c *cycle) bound(call *Call, m *openmatch.Match) error {
	size := proto.Size(m)
	switch {
	case call.count == c.o.MaxProposals:
		return fmt.Errorf("%w: a match function may make %d in one cycle (--max-proposals)", ErrTooMany, c.o.MaxProposals)
	case c.bytes+size > c.o.MaxProposalBytes:
		return fmt.Errorf("%w: those of all match functions may have %d bytes together (--max-proposal-bytes); this one made %d with %d bytes, the others %d bytes, and its next has %d",
			ErrCycleFull, c.o.MaxProposalBytes, call.count, call.bytes, c.bytes-call.bytes, size)
	}
	call.count++
	call.bytes += size
	c.bytes += size
	return nil
}

// Receive is the evaluator's side of the proposals.
func (c *cycle) Receive(ctx context.Context) ([]*openmatch.Match, error) {
	for {
		c.mu.Lock()
		batch, more, arrived := c.inbox, c.collecting, c.arrived
		c.inbox = nil
		c.mu.Unlock()
		if len(batch) > 0 {
			return batch, nil
		}
		if !more {
			return nil, io.EOF
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// accept makes the tickets of a match pending and hands it to its call.
func (c *cycle) accept(matchID string) error {
	c.mu.Lock()
	p, ok := c.proposals[matchID]
	switch {
	case !ok:
		c.mu.Unlock()
		return &wrongID{matchID, "which it was not given"}
	case p.accepted:
		c.mu.Unlock()
		return &wrongID{matchID, "twice"}
	}
	p.accepted = true
	c.mu.Unlock()

	tickets := make([]string, 0, len(p.match.GetTickets()))
	for _, t := range p.match.GetTickets() {
		tickets = append(tickets, t.GetId())
	}
	p.call.accept(p.match, c.o.Pending.SetPending(tickets))
	return nil
}

// wrongID is an evaluator's answer that accepts no proposal.
type wrongID struct{ id, why string }

func (e *wrongID) Error() string {
	return fmt.Sprintf("the evaluator returned the match_id %q %s", e.id, e.why)
}
