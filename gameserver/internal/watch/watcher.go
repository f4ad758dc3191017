package watch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/agones/sdk"
	"torikumi/proto/agones/sdk/alpha"
	"torikumi/proto/agones/sdk/beta"
)

const (
	// callTimeout bounds one call to the SDK, which is on this machine.
	callTimeout = 2 * time.Second
	// startTimeout is how much later than us the SDK may start: what takes
	// longer is logged.
	startTimeout = 5 * time.Second
	// askInterval is the least time between two questions that Refresh asks.
	askInterval = 200 * time.Millisecond
)

// ErrUnavailable says that the SDK could not be asked.
var ErrUnavailable = errors.New("the Agones SDK cannot be reached")

// Options are what a [Watcher] needs.
type Options struct {
	// SDK is the client. Required.
	SDK sdk.SDKClient
	// Beta and Alpha are the parts of it that Track needs.
	Beta  beta.SDKClient
	Alpha alpha.SDKClient
	// Observe, unless nil, is called with each view, one call at a time and
	// never with an older view after a newer one. It must not call the
	// Watcher.
	Observe func(View)
	// ResyncInterval is the time between two questions that Run asks although it
	// watches; zero means 10 s.
	ResyncInterval time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger hears of the SDK's coming and going; nil means slog.Default.
	Logger *slog.Logger
}

// Watcher keeps the last view of the game server. It is safe for concurrent
// use.
type Watcher struct {
	o         Options
	questions singleflight.Group

	apply sync.Mutex // held while a view is taken in and observed

	mu        sync.Mutex
	taken     int // counts the views
	view      View
	seen      bool
	missed    bool // it has been logged that there is none
	connected bool
	since     time.Time          // of the last change of connected
	asked     time.Time          // when the last question of Refresh was answered
	cancel    context.CancelFunc // of the one under way, or of the last
	stopped   bool
}

// New makes a Watcher; Run makes it follow.
func New(o Options) *Watcher {
	o.ResyncInterval = cmp.Or(o.ResyncInterval, 10*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Watcher{o: o, cancel: func() {}, since: o.Now()}
}

// Run watches until ctx ends, and comes back after every loss of the SDK with
// growing waits. It returns nil, with nothing of the Watcher left running;
// afterwards Refresh fails.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.stop()
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for ctx.Err() == nil {
		err := w.watch(ctx, backoff.Reset)
		if ctx.Err() != nil {
			break
		}
		w.lost(err)
		if backoff.Wait(ctx) != nil {
			break
		}
	}
	return nil
}

// stop ends the question that is under way, and keeps others from beginning.
func (w *Watcher) stop() {
	w.mu.Lock()
	w.stopped = true
	w.cancel()
	w.mu.Unlock()
	_, _, _ = w.questions.Do("", w.ask) // waits for it
}

// watch follows one stream to its end.
func (w *Watcher) watch(ctx context.Context, works func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.o.SDK.WatchGameServer(ctx, &sdk.Empty{})
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	// Some SDK servers send nothing before the first change. After a new start
	// of the SDK its word counts, whatever version it is at.
	w.mu.Lock()
	before := w.taken
	w.mu.Unlock()
	gs, err := w.get(ctx)
	if err != nil {
		return err
	}
	w.take(viewOf(gs), before)
	works()
	w.found()
	var resync sync.WaitGroup
	defer resync.Wait()
	defer cancel()
	resync.Go(func() { w.resync(ctx) })
	for {
		gs, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		w.take(viewOf(gs), anyTime)
	}
}

// resync asks now and then until ctx ends. An SDK server that answers before it
// remembers the watcher loses what changes in between; nobody would end a server
// then whose players do not come.
func (w *Watcher) resync(ctx context.Context) {
	for range rpc.Ticks(ctx, w.o.ResyncInterval) {
		_, _ = w.Refresh(ctx) // the watch sees it too if the SDK is lost
	}
}

func (w *Watcher) get(ctx context.Context) (*sdk.GameServer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	gs, err := w.o.SDK.GetGameServer(ctx, &sdk.Empty{})
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
func (w *Watcher) take(v View, before int) {
	w.apply.Lock()
	defer w.apply.Unlock()
	w.mu.Lock()
	if w.seen && before != w.taken && v.olderThan(w.view) {
		w.mu.Unlock()
		return
	}
	w.view, w.seen = v, true
	w.taken++
	w.mu.Unlock()
	if w.o.Observe != nil {
		w.o.Observe(v)
	}
}

func (w *Watcher) found() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.connected {
		w.o.Logger.Info("following the game server", "gameserver", w.view.Namespace+"/"+w.view.Name, "state", w.view.State)
		w.connected, w.since = true, w.o.Now()
	}
}

func (w *Watcher) lost(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.connected {
		w.o.Logger.Warn("lost the Agones SDK, going on with what it said last", "error", err)
		w.connected, w.since = false, w.o.Now()
	}
	if !w.seen && !w.missed && w.o.Now().Sub(w.since) >= startTimeout {
		w.missed = true
		w.o.Logger.Warn("the Agones SDK cannot be reached since the start; trying on", "error", err)
	}
}

// Shutdown asks Agones to end the game server. It may be repeated.
func (w *Watcher) Shutdown(ctx context.Context) error {
	_, err := w.o.SDK.Shutdown(ctx, &sdk.Empty{})
	return err
}

// SetAdmitted tells, on the game server, that somebody has come for a match. It may
// be repeated, and has to be until a view shows it.
func (w *Watcher) SetAdmitted(ctx context.Context, match string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := w.o.SDK.SetAnnotation(ctx, &sdk.KeyValue{Key: contract.AdmittedKey, Value: match})
	return err
}

// Current returns the last view; false if there is none yet.
func (w *Watcher) Current() (View, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view, w.seen
}

// Lost returns for how long the SDK has been out of reach; zero while it is not.
func (w *Watcher) Lost() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.connected {
		return 0
	}
	return max(w.o.Now().Sub(w.since), 1)
}

// Refresh asks the SDK, because the watch may lag. Callers at the same time share
// one question, and questions keep askInterval apart, so that a call may wait
// for its turn. What comes back has been observed. The error wraps
// ErrUnavailable.
func (w *Watcher) Refresh(ctx context.Context) (View, error) {
	select {
	case answer := <-w.questions.DoChan("", w.ask):
		view, _ := answer.Val.(View)
		return view, answer.Err
	case <-ctx.Done():
		return View{}, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
}

// ask returns a View. It does not depend on a caller's context, because others may
// wait for it too; callTimeout and stop end it.
func (w *Watcher) ask() (any, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return View{}, ErrUnavailable
	}
	w.cancel = cancel
	wait := askInterval - w.o.Now().Sub(w.asked)
	w.mu.Unlock()
	_ = rpc.Sleep(ctx, min(wait, askInterval)) // get fails if the end has come
	gs, err := w.get(ctx)
	w.mu.Lock()
	w.asked = w.o.Now()
	w.mu.Unlock()
	if err != nil {
		return View{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	w.take(viewOf(gs), anyTime)
	view, _ := w.Current()
	return view, nil
}
