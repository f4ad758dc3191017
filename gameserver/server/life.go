package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/agones"
	"torikumi/pkg/rpc"
	"torikumi/proto/agones/sdk"
)

// life is the server's life as a game server of Agones.
type life struct {
	sdk     sdk.SDKClient
	cfg     *Config
	log     *slog.Logger
	watcher *watch.Watcher
	// over says that the match ended is over, or none if it is empty, and that
	// the match begun has begun, or none.
	over func(ended, begun string)

	end func() // called once the game server is shut down

	// Only observe uses these.
	ended bool
	match string // of the last view that was Allocated
}

func newLife(client sdk.SDKClient, cfg *Config, log *slog.Logger, over func(ended, begun string)) *life {
	l := &life{sdk: client, cfg: cfg, log: log, over: over}
	l.watcher = watch.New(watch.Options{SDK: client, Observe: l.observe, Logger: log})
	return l
}

// observe sends everybody away when the server is free again or has come to
// another match.
func (l *life) observe(v watch.View) {
	switch {
	case v.Ending():
		if !l.ended {
			l.log.Info("game server ends", "gameserver", v.Namespace+"/"+v.Name, "state", v.State)
		}
		l.ended = true
		l.end()
	case v.State == agones.Allocated:
		if l.match != v.Match {
			l.over(l.match, v.Match)
		}
		l.match = v.Match
	case v.State == agones.Ready:
		if l.match != "" {
			l.over(l.match, "")
		}
		l.match = ""
	}
}

// with runs what serves for as long as the game server lives.
func (l *life) with(ctx context.Context, serve ...func(context.Context) error) error {
	ctx, l.end = context.WithCancel(ctx)
	defer l.end()
	group, ctx := errgroup.WithContext(ctx)
	for _, f := range append(serve, l.watcher.Run, l.ready, l.health, l.watchdog) {
		group.Go(func() error { return f(ctx) })
	}
	return group.Wait()
}

// ready reports Ready once. Whenever that fails, the answer alone may have been
// lost, and another Ready would take the server away from the match that it has
// been allocated for meanwhile: so the state is looked at first.
func (l *life) ready(ctx context.Context) error {
	backoff := rpc.Backoff{Min: 50 * time.Millisecond, Max: time.Second}
	for {
		v, err := l.watcher.Refresh(ctx)
		if err == nil {
			switch {
			case v.State == agones.Ready:
				l.log.Info("ready for players")
				return nil
			case v.State == agones.Allocated, v.State == agones.Reserved, v.Ending():
				return nil
			case v.State == agones.RequestReady: // it has been heard
			default:
				if _, err = l.sdk.Ready(ctx, &sdk.Empty{}); err == nil {
					l.log.Info("ready for players")
					return nil
				}
			}
		}
		l.log.Debug("not ready yet", "error", err)
		if backoff.Wait(ctx) != nil {
			return nil
		}
	}
}

// health gives signs of life, on a new stream after each failure.
func (l *life) health(ctx context.Context) error {
	tick := time.NewTicker(l.cfg.HealthInterval)
	defer tick.Stop()
	var stream sdk.SDK_HealthClient
	for {
		var err error
		if stream == nil {
			stream, err = l.sdk.Health(ctx)
		}
		if err == nil {
			err = stream.Send(&sdk.Empty{})
		}
		if err != nil {
			stream = nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watchdog ends the server when there is no game server for it any more.
func (l *life) watchdog(ctx context.Context) error {
	for range rpc.Ticks(ctx, max(l.cfg.SDKLostTimeout/20, time.Millisecond)) {
		if lost := l.watcher.Lost(); lost >= l.cfg.SDKLostTimeout {
			return fmt.Errorf("%w: out of reach for %v", ErrSDKLost, lost.Round(time.Millisecond))
		}
	}
	return nil
}

// endWithoutGate asks for Shutdown once the gate has given no answer for
// GateLostTimeout and nobody is here, until the game server ends. Nobody could come
// in any more, and nobody else would end it: that is the gate's.
func (l *life) endWithoutGate(ctx context.Context, players interface {
	GateLost() time.Duration
	Empty() bool
}) error {
	said := false
	for range rpc.Ticks(ctx, max(l.cfg.PresenceInterval/4, 10*time.Millisecond)) {
		lost := players.GateLost()
		if lost < l.cfg.GateLostTimeout || !players.Empty() {
			said = false
			continue
		}
		if !said {
			l.log.Error("the gate stays away and nobody is here: the game server ends", "lost", lost.Round(time.Second))
		}
		said = true
		if _, err := l.sdk.Shutdown(ctx, &sdk.Empty{}); err != nil && ctx.Err() == nil {
			l.log.Debug("the game server could not be shut down, trying again", "error", err)
		}
	}
	return nil
}
