// Package fleet keeps a number of game servers Ready, hands them out over
// Agones's allocation service, gives each of them an SDK server of its own, and
// replaces those that ended. What makes the servers is a backend: processes, or
// mere addresses for load tests. On the player's path it is where a match gets
// its server.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"torikumi/miniagones/internal/state"
)

// ErrStopped says that the fleet runs no more.
var ErrStopped = errors.New("the fleet has stopped")

var errFailing = errors.New("they fail again and again")

// Fleet runs one fleet. Its methods are safe for concurrent use; Run is called
// once.
type Fleet struct {
	opts   Options
	silent bool
	poke   chan struct{}
	ran    chan struct{}

	identities identities

	mu      sync.Mutex
	state   *state.Fleet
	hub     hub
	running map[string]*runner
	started bool
	// failing says that servers keep failing, and that this was logged.
	failing bool
}

// New checks the options and makes a fleet that has no servers before Run.
func New(opts Options) (*Fleet, error) {
	opts = opts.withDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("fleet %q: %w", opts.Name, err)
	}
	m, err := state.New(opts.config())
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		opts:    opts,
		silent:  opts.Backend.Silent(),
		poke:    make(chan struct{}, 1),
		ran:     make(chan struct{}),
		state:   m,
		running: make(map[string]*runner),
	}
	f.hub.all = make(map[string]map[*Subscription]struct{})
	return f, nil
}

// Run keeps the fleet until the context ends, and returns when every server
// has ended and no process, port or goroutine is left. Its error is the
// backend's on closing.
func (f *Fleet) Run(ctx context.Context) error {
	f.mu.Lock()
	again := f.started
	f.started = true
	f.mu.Unlock()
	if again {
		return fmt.Errorf("fleet %q: Run was called before", f.opts.Name)
	}
	f.opts.Logger.Info("fleet starts", "fleet", f.opts.Name, "ready", f.opts.Ready, "max", f.opts.Max)

	var servers sync.WaitGroup
	f.loop(ctx, &servers)
	servers.Wait()
	f.mu.Lock()
	f.hub.close()
	f.mu.Unlock()
	close(f.ran)
	err := f.opts.Backend.Close()
	f.opts.Logger.Info("fleet has stopped", "fleet", f.opts.Name)
	if err != nil {
		return fmt.Errorf("fleet %q: close backend: %w", f.opts.Name, err)
	}
	return nil
}

// loop returns when the context has ended and the last server is gone.
func (f *Fleet) loop(ctx context.Context, servers *sync.WaitGroup) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := ctx.Done()
	for {
		select {
		case <-f.poke:
		case <-timer.C:
		case <-done:
			done = nil
			f.do(func(s *state.Fleet, now time.Time) { s.Close(now) })
		}
		next, over := f.step(servers)
		if over {
			return
		}
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// step decides, and sets off what was decided. It returns when to decide
// again, and whether the fleet is closed and empty.
func (f *Fleet) step(servers *sync.WaitGroup) (next time.Time, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	plan := f.state.Decide(now)
	for !plan.Empty() {
		start, stop := f.state.Apply(plan, now)
		for _, name := range stop {
			if r := f.running[name]; r != nil {
				r.cancel()
			}
		}
		for _, s := range start {
			ctx, cancel := context.WithCancel(context.Background())
			r := &runner{fleet: f, cancel: cancel, spec: Spec{Namespace: s.Namespace, Name: s.Name, UID: s.UID}}
			f.running[s.Name] = r
			servers.Go(func() { r.run(ctx) })
		}
		if len(start) < plan.Create {
			// No free name could be found: sooner or later a server ends.
			break
		}
		plan = f.state.Decide(now)
	}
	f.publish()
	return plan.Next, f.state.Closed() && f.state.Len() == 0
}

// do changes the state, and hands what has changed to subscribers and to loop.
func (f *Fleet) do(change func(s *state.Fleet, now time.Time)) {
	f.mu.Lock()
	now := time.Now()
	change(f.state, now)
	f.publish()
	f.mu.Unlock()
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

// publish hands the state's changes to subscribers. The caller holds mu, so
// that all of a change is seen at once.
func (f *Fleet) publish() {
	for _, c := range f.state.Drain() {
		f.hub.send(c)
		if c.Gone {
			delete(f.running, c.Server.Name)
		}
	}
}

// WaitReady returns when at least n servers are Ready. With failures above zero
// it gives up after as many pauses in a row that failures have caused. Its error names the last
// failure of a server, if there was one.
func (f *Fleet) WaitReady(ctx context.Context, n, failures int) error {
	for {
		f.mu.Lock()
		ready := f.state.ReadyCount()
		last, inARow := f.state.LastFailure()
		changed := f.hub.changed()
		f.mu.Unlock()
		if ready >= n {
			return nil
		}
		cause := errFailing
		if failures == 0 || inARow < failures {
			select {
			case <-changed:
				continue
			case <-f.ran:
				cause = ErrStopped
			case <-ctx.Done():
				cause = context.Cause(ctx)
			}
		}
		err := fmt.Errorf("%d of %d game servers are Ready: %w", ready, n, cause)
		if last != nil {
			err = fmt.Errorf("%w; the last one that failed was %s: %s", err, last.Server, strings.Join(append([]string{last.Reason}, last.Output...), "\n    "))
		}
		return err
	}
}
