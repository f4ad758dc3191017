package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"torikumi/miniagones/internal/sdkserver"
	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
)

// runner runs one server, from its port to its end. It notes in the state what
// happens. When the server has to end, its context ends.
type runner struct {
	fleet  *Fleet
	cancel context.CancelFunc
	spec   Spec
}

func (r *runner) run(ctx context.Context) {
	f, name := r.fleet, r.spec.Name
	defer r.cancel()
	r.live(ctx)
	f.do(func(s *state.Fleet, _ time.Time) { s.Gone(name) })
	f.opts.Logger.Debug("game server is gone", "gameserver", name)
}

// startTimeout bounds placing and starting a server.
const startTimeout = 10 * time.Second

// live returns when nothing is left of the server.
func (r *runner) live(ctx context.Context) {
	f, name := r.fleet, r.spec.Name
	start, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	place, err := f.opts.Backend.Place(start, r.spec)
	if err != nil {
		r.failed(fmt.Errorf("find a place: %w", err))
		return
	}
	if place.Release != nil {
		defer place.Release()
	}
	r.spec.Place = place
	f.do(func(s *state.Fleet, _ time.Time) { s.Placed(name, place.Address, place.NodeName, place.Ports) })

	if !f.silent {
		sdk, err := sdkserver.Serve(&sdkServer{fleet: f, name: func() string { return name }}, sdkserver.Options{Failed: func(err error) {
			f.opts.Logger.Error("SDK server failed", "gameserver", name, "error", err)
		}})
		if err != nil {
			r.failed(fmt.Errorf("start its SDK server: %w", err))
			return
		}
		defer sdk.Close()
		r.spec.SDKGRPC, r.spec.SDKHTTP = sdk.GRPC, sdk.HTTP
	}
	r.spec.Env = r.environment()
	stop, err := r.sidecar(ctx)
	if err != nil {
		r.failed(fmt.Errorf("start its sidecar: %w", err))
		return
	}
	defer stop()
	if f.opts.Env != nil {
		r.spec.Env = append(r.spec.Env, f.opts.Env(r.spec)...)
	}
	f.do(func(s *state.Fleet, _ time.Time) { s.Starting(name) })

	if ctx.Err() != nil {
		return
	}
	instance, err := f.opts.Backend.Start(start, r.spec)
	if err != nil {
		r.failed(err)
		return
	}
	f.do(func(s *state.Fleet, now time.Time) {
		s.Started(name, now)
		if f.silent {
			// Gone or going is the only thing that can be wrong, and then it
			// need not be Ready.
			_ = s.SDKReady(name)
		}
	})
	f.opts.Logger.Debug("game server has started", "gameserver", name)

	select {
	case <-instance.Done():
	case <-ctx.Done():
		instance.Stop(f.opts.Grace)
		<-instance.Done()
	}
	r.exited(instance.Err())
}

// environment is what Agones sets for a game server's container.
func (r *runner) environment() []string {
	env := []string{agones.NameEnv + "=" + r.spec.Name, agones.NamespaceEnv + "=" + r.spec.Namespace}
	if len(r.spec.Place.Ports) > 0 {
		env = append(env, fmt.Sprintf("PORT=%d", r.spec.Place.Ports[0].Port), "TORIKUMI_HOST="+r.spec.Place.Address)
	}
	if _, port, err := net.SplitHostPort(r.spec.SDKGRPC); err == nil {
		env = append(env, agones.SDKGRPCPortEnv+"="+port)
	}
	if _, port, err := net.SplitHostPort(r.spec.SDKHTTP); err == nil {
		env = append(env, agones.SDKHTTPPortEnv+"="+port)
	}
	return env
}

// sidecar runs the hook. While the hook runs, its context ends with the
// server's; after that only once the program has ended, as a game server may
// need its sidecar until its last moment.
func (r *runner) sidecar(ctx context.Context) (stop func(), err error) {
	if r.fleet.opts.Sidecar == nil {
		return func() {}, nil
	}
	own, cancel := context.WithCancel(context.Background())
	untie := context.AfterFunc(ctx, cancel)
	spec := r.spec
	var revoke func()
	spec.GateToken, revoke = r.fleet.identities.issue(spec.Name)
	env, halt, err := r.fleet.opts.Sidecar(own, spec)
	untie()
	if err != nil {
		revoke()
		cancel()
		return nil, err
	}
	r.spec.Env = append(r.spec.Env, env...)
	return func() {
		revoke()
		cancel()
		if halt != nil {
			halt()
		}
	}, nil
}

func (r *runner) failed(err error) {
	if _, counted := r.broke(err, (*state.Fleet).Failed); counted {
		r.fleet.logFailure("game server did not start", "gameserver", r.spec.Name, "error", err)
	}
}

// broke has note enter why the server ended; counted is false if the server was
// on its way out before.
func (r *runner) broke(err error, note func(*state.Fleet, string, Failure)) (failure Failure, counted bool) {
	failure = describe(err)
	r.fleet.do(func(s *state.Fleet, now time.Time) {
		failure.Time = now
		counted = !s.Get(r.spec.Name).Going()
		note(s, r.spec.Name, failure)
	})
	return failure, counted
}

// keepEnding is how many pauses in a row are trouble that lasts.
const keepEnding = 4

// logFailure logs that a server has failed. Where they keep failing that is said
// once, and no more of each: it would be the same again and again.
func (f *Fleet) logFailure(message string, args ...any) {
	f.mu.Lock()
	lasts := f.state.Doubled() >= keepEnding
	first := lasts && !f.failing
	f.failing = lasts
	f.mu.Unlock()
	level := slog.LevelWarn
	if lasts && !first {
		level = slog.LevelDebug
	}
	f.opts.Logger.Log(context.Background(), level, message, args...)
	if first {
		f.opts.Logger.Warn("game servers keep ending: they are started again after pauses, and nothing more is said of each",
			"fleet", f.opts.Name, "longest_pause", f.opts.BackoffMax)
	}
}

func (r *runner) exited(err error) {
	f, name := r.fleet, r.spec.Name
	if f.silent && err == nil {
		f.do(func(s *state.Fleet, _ time.Time) { _ = s.SDKShutdown(name) })
	} else if failure, counted := r.broke(err, (*state.Fleet).Exited); counted {
		f.logFailure("game server ended unasked", "gameserver", name, "reason", failure.Reason)
	}
}

func describe(err error) Failure {
	if err == nil {
		return Failure{Reason: "exit status 0, without SDK.Shutdown before"}
	}
	var failure *Failure
	if errors.As(err, &failure) {
		return *failure
	}
	return Failure{Reason: err.Error(), ExitCode: -1}
}
