package suite

import (
	"context"
	"errors"
	"fmt"
	"io"

	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// Launcher starts one service with the settings in args, as on its command
// line, and returns when it listens. The service runs until it is stopped,
// whatever becomes of ctx.
type Launcher interface {
	Launch(ctx context.Context, name string, args []string) (Instance, error)
}

// Instance is one running service.
type Instance interface {
	Addrs() service.Addrs
	// Done is closed when the service has ended.
	Done() <-chan struct{}
	// Err is, after Done, why it ended; nil for a stop that was asked for.
	Err() error
	// Stop ends it and waits until nothing is left.
	Stop()
}

// runner starts a service from its command line's arguments.
type runner func(ctx context.Context, args []string, started func(service.Addrs)) error

func typed[C any](name string, run func(context.Context, *C, func(service.Addrs)) error) runner {
	return func(ctx context.Context, args []string, started func(service.Addrs)) error {
		cfg := new(C)
		noEnv := func(string) string { return "" }
		if err := config.Load(name, "", cfg, args, noEnv, io.Discard); err != nil {
			return fmt.Errorf("settings of %s: %w", name, err)
		}
		return run(ctx, cfg, started)
	}
}

// InProcess launches services as goroutines.
type InProcess struct{}

// Launch starts the service named name and waits until it listens.
func (InProcess) Launch(ctx context.Context, name string, args []string) (Instance, error) {
	run, ok := services[name]
	if !ok {
		return nil, fmt.Errorf("no service %q", name)
	}
	return launch(ctx, func(ctx context.Context, started func(service.Addrs)) error { return run(ctx, args, started) })
}

// goroutine is a service that runs in this process.
type goroutine struct {
	addrs  service.Addrs
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func (g *goroutine) Addrs() service.Addrs  { return g.addrs }
func (g *goroutine) Done() <-chan struct{} { return g.done }
func (g *goroutine) Err() error            { return g.err }
func (g *goroutine) Stop()                 { g.cancel(); <-g.done }

// launch runs f, which outlives ctx, until Stop; it returns when f has
// started.
func launch(ctx context.Context, f func(context.Context, func(service.Addrs)) error) (Instance, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	g := &goroutine{cancel: cancel, done: make(chan struct{})}
	started := make(chan service.Addrs, 1)
	go func() {
		defer close(g.done)
		if err := f(own, func(a service.Addrs) { started <- a }); err != nil && !errors.Is(err, context.Canceled) {
			g.err = err
		}
	}()
	select {
	case g.addrs = <-started:
		return g, nil
	case <-g.done:
		cancel()
		if g.err == nil {
			g.err = errors.New("ended before it listened")
		}
		return nil, g.err
	case <-ctx.Done():
		g.Stop()
		return nil, ctx.Err()
	}
}
