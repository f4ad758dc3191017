package synchronizer

import (
	"context"
	"io"
	"sync"

	"torikumi/proto/openmatch"
)

// delivery is an accepted match, what its caller gets of it, and the stamp of its
// pending tickets.
type delivery struct {
	proposed, prepared *openmatch.Match
	stamp              uint64
}

// Call is one caller's part in a cycle. Its methods are safe for concurrent use,
// though only one goroutine should take matches. A caller that takes them slowly
// holds up nobody: they wait here.
type Call struct {
	cycle   *cycle
	prepare Prepare
	abandon Abandon
	unwatch func() bool
	cut     chan struct{}

	// Under the cycle's lock.
	proposing    bool
	gone         bool
	proposed     map[string]struct{}
	count, bytes int // of those that were taken

	mu       sync.Mutex
	matches  []delivery
	finished bool
	err      error
	changed  chan struct{} // closed when matches or finished change
}

// Propose hands in a match of this call's match function. After the window has
// closed, or after Done, it is dropped without an error. An id that this match
// function returned before is this call's error alone; an id that another match
// function of the cycle returned fails the whole cycle.
func (c *Call) Propose(m *openmatch.Match) error {
	return c.cycle.propose(c, m)
}

// Done says that the match function has ended. Calling it again does nothing.
func (c *Call) Done() {
	c.cycle.mu.Lock()
	defer c.cycle.mu.Unlock()
	c.done()
}

func (c *Call) done() {
	if c.proposing {
		c.proposing = false
		c.cycle.proposing--
		c.cycle.advance()
	}
}

// Leave gives the call back: nobody will take its matches any more, and those
// that are left are abandoned. Calling it again does nothing.
func (c *Call) Leave() {
	c.unwatch()
	c.leave()
	c.mu.Lock()
	left := c.matches
	c.matches = nil
	c.mu.Unlock()
	for _, d := range left {
		c.abandon(d.proposed, d.prepared, d.stamp)
	}
}

func (c *Call) leave() {
	c.cycle.mu.Lock()
	defer c.cycle.mu.Unlock()
	if c.gone {
		return
	}
	c.gone = true
	c.finish(errLeft)
	c.cycle.present--
	c.done()
	c.cycle.advance()
}

// Cut is closed when the proposal window closes while the match function still
// runs.
func (c *Call) Cut() <-chan struct{} { return c.cut }

// Next waits for the next accepted match and returns it as it was prepared. The
// function gives it back if it could not be delivered. When there are no more it returns
// io.EOF, or what the cycle failed with. Matches accepted before a failure come
// before the error: they are real, and their tickets are pending.
func (c *Call) Next(ctx context.Context) (m *openmatch.Match, giveBack func(), err error) {
	for {
		c.mu.Lock()
		if len(c.matches) > 0 {
			d := c.matches[0]
			c.matches[0] = delivery{}
			c.matches = c.matches[1:]
			c.mu.Unlock()
			return d.prepared, func() { c.abandon(d.proposed, d.prepared, d.stamp) }, nil
		}
		finished, err, changed := c.finished, c.err, c.changed
		c.mu.Unlock()
		if finished {
			if err == nil {
				err = io.EOF
			}
			return nil, nil, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// accept prepares a match and has it delivered. Once a match could not be
// prepared the call gets no more of them: nothing must come of a match that its
// caller will not hear of, so it is abandoned.
func (c *Call) accept(m *openmatch.Match, stamp uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		c.abandon(m, nil, stamp)
		return
	}
	prepared, err := c.prepare(m, stamp)
	switch {
	case err != nil:
		c.abandon(m, nil, stamp)
		c.finished, c.err = true, err
	case prepared == nil:
		return
	default:
		c.matches = append(c.matches, delivery{m, prepared, stamp})
	}
	c.wake()
}

func (c *Call) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished {
		return
	}
	c.finished, c.err = true, err
	c.wake()
}

func (c *Call) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}
