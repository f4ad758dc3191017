package agones

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"torikumi/pkg/rpc"
	"torikumi/proto/agones/sdk"
)

const (
	// callTimeout bounds one call to the SDK, which is on this machine.
	callTimeout = 2 * time.Second
	// startTimeout is how much later than us the SDK may start: what takes
	// longer is logged.
	startTimeout = 5 * time.Second
	// DefaultAskInterval is the least time between two questions that Fresh
	// asks.
	DefaultAskInterval = 200 * time.Millisecond
	// DefaultResyncInterval is the time between two questions that Run asks
	// although it watches.
	DefaultResyncInterval = 10 * time.Second
)

// ErrUnavailable says that the SDK could not be asked.
var ErrUnavailable = errors.New("the Agones SDK cannot be reached")

// Options are what a [Follower] needs.
type Options struct {
	// SDK is the client. Required.
	SDK sdk.SDKClient
	// Observe, unless nil, is called with each view, one call at a time and
	// never with an older view after a newer one. It must not call the
	// Follower.
	Observe func(View)
	// AskInterval is the least time between two questions of Fresh; zero
	// means DefaultAskInterval.
	AskInterval time.Duration
	// ResyncInterval is the time between two questions of Run; zero means
	// DefaultResyncInterval.
	ResyncInterval time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears of the SDK's coming and going; nil means slog.Default.
	Logger *slog.Logger
}

// Follower keeps the last view of the game server. It is safe for concurrent
// use.
type Follower struct {
	o    Options
	base context.Context
	end  context.CancelFunc
	done sync.WaitGroup

	apply sync.Mutex // held while a view is taken in and observed

	mu        sync.Mutex
	taken     int // counts the views
	view      View
	seen      bool
	missed    bool // it has been logged that there is none
	connected bool
	since     time.Time // of the last change of connected
	flight    *flight
	asked     time.Time
}

// flight is a question that any number of callers wait for.
type flight struct {
	done chan struct{}
	view View
	err  error
}

// New makes a Follower; Run makes it follow.
func New(o Options) *Follower {
	if o.AskInterval <= 0 {
		o.AskInterval = DefaultAskInterval
	}
	if o.ResyncInterval <= 0 {
		o.ResyncInterval = DefaultResyncInterval
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	base, end := context.WithCancel(context.Background())
	return &Follower{o: o, base: base, end: end, since: o.Now()}
}

// Run watches until ctx ends, and comes back after every loss of the SDK with
// growing waits. It returns nil, with nothing of the Follower left running;
// afterwards Fresh fails.
func (f *Follower) Run(ctx context.Context) error {
	defer f.stop()
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for ctx.Err() == nil {
		err := f.watch(ctx, backoff.Reset)
		if ctx.Err() != nil {
			break
		}
		f.lost(err)
		if backoff.Wait(ctx) != nil {
			break
		}
	}
	return nil
}

// stop ends the question that is under way, and keeps others from beginning.
func (f *Follower) stop() {
	f.mu.Lock()
	f.end()
	f.mu.Unlock()
	f.done.Wait()
}

// watch follows one stream to its end.
func (f *Follower) watch(ctx context.Context, works func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := f.o.SDK.WatchGameServer(ctx, &sdk.Empty{})
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	// Some SDK servers send nothing before the first change. After a new start
	// of the SDK its word counts, whatever version it is at.
	f.mu.Lock()
	before := f.taken
	f.mu.Unlock()
	gs, err := f.get(ctx)
	if err != nil {
		return err
	}
	f.take(viewOf(gs), before)
	works()
	f.found()
	var resync sync.WaitGroup
	defer resync.Wait()
	defer cancel()
	resync.Go(func() { f.resync(ctx) })
	for {
		gs, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		f.take(viewOf(gs), anyTime)
	}
}

// resync asks now and then until ctx ends. An SDK server that answers before it
// remembers the watcher loses what changes in between; nobody would end a server
// then whose players do not come.
func (f *Follower) resync(ctx context.Context) {
	tick := time.NewTicker(f.o.ResyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_, _ = f.Fresh(ctx) // the watch sees it too if the SDK is lost
		}
	}
}

func (f *Follower) get(ctx context.Context) (*sdk.GameServer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	gs, err := f.o.SDK.GetGameServer(ctx, &sdk.Empty{})
	if err != nil {
		return nil, fmt.Errorf("get game server: %w", err)
	}
	return gs, nil
}

// anyTime is for views that are not known to be newer than what was taken.
const anyTime = -1

// take stores a view unless a newer one is known: an answer can overtake the
// events that were on their way. A view that was asked for when as many had been
// taken as now is the newest, whatever its version.
func (f *Follower) take(v View, before int) {
	f.apply.Lock()
	defer f.apply.Unlock()
	f.mu.Lock()
	if f.seen && before != f.taken && v.olderThan(f.view) {
		f.mu.Unlock()
		return
	}
	f.view, f.seen = v, true
	f.taken++
	f.mu.Unlock()
	if f.o.Observe != nil {
		f.o.Observe(v)
	}
}

func (f *Follower) found() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.connected {
		f.o.Logger.Info("following the game server", "gameserver", f.view.Namespace+"/"+f.view.Name, "state", f.view.State)
		f.connected, f.since = true, f.o.Now()
	}
}

func (f *Follower) lost(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connected {
		f.o.Logger.Warn("lost the Agones SDK, going on with what it said last", "error", err)
		f.connected, f.since = false, f.o.Now()
	}
	if !f.seen && !f.missed && f.o.Now().Sub(f.since) >= startTimeout {
		f.missed = true
		f.o.Logger.Warn("the Agones SDK cannot be reached since the start; trying on", "error", err)
	}
}

// Current returns the last view; false if there is none yet.
func (f *Follower) Current() (View, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.view, f.seen
}

// Lost returns for how long the SDK has been out of reach; zero while it is not.
func (f *Follower) Lost() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connected {
		return 0
	}
	return max(f.o.Now().Sub(f.since), 1)
}

// Fresh asks the SDK, because the watch may lag. Callers at the same time share
// one question, and questions keep AskInterval apart, so that a call may wait
// for its turn. What comes back has been observed. The error wraps
// ErrUnavailable.
func (f *Follower) Fresh(ctx context.Context) (View, error) {
	f.mu.Lock()
	fl := f.flight
	if fl == nil {
		if f.base.Err() != nil {
			f.mu.Unlock()
			return View{}, ErrUnavailable
		}
		fl = &flight{done: make(chan struct{})}
		f.flight = fl
		wait := f.o.AskInterval - f.o.Now().Sub(f.asked)
		f.done.Go(func() { f.ask(fl, min(wait, f.o.AskInterval)) })
	}
	f.mu.Unlock()
	select {
	case <-fl.done:
		return fl.view, fl.err
	case <-ctx.Done():
		return View{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

func (f *Follower) ask(fl *flight, wait time.Duration) {
	defer close(fl.done)
	if wait > 0 {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-f.base.Done():
			t.Stop()
		}
	}
	gs, err := f.get(f.base)
	if err == nil {
		f.take(viewOf(gs), anyTime)
		fl.view, _ = f.Current()
	} else {
		fl.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	f.mu.Lock()
	f.flight, f.asked = nil, f.o.Now()
	f.mu.Unlock()
}
