// Package view keeps track of since when the controller has seen the cluster
// without a gap. What it sees right after one may be old, or the outage's own
// doing: nodes whose heartbeats could not arrive look dead.
package view

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Keeper watches the view. Make one with New.
type Keeper struct {
	clock clock.WithTicker
	every time.Duration
	probe func(context.Context) error
	log   *slog.Logger
	wall  *Clock

	mu    sync.Mutex
	since time.Time // zero: there is no view
}

// New makes a Keeper that calls probe, a cheap read from the API server that
// no cache answers, at the given interval once it is started. It sees to it that
// wall is looked at as often, from then on.
func New(c clock.WithTicker, wall *Clock, every time.Duration, probe func(context.Context) error, log *slog.Logger) *Keeper {
	return &Keeper{clock: c, wall: wall, every: every, probe: probe, log: log}
}

// Since is since when the view has been unbroken. While it is broken, that is
// now: no timer that counts from there ever runs out.
func (k *Keeper) Since() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.since.IsZero() {
		return k.clock.Now()
	}
	return k.since
}

// NeedLeaderElection: who takes over has seen nothing yet.
func (k *Keeper) NeedLeaderElection() bool { return true }

// Start probes until ctx ends.
func (k *Keeper) Start(ctx context.Context) error {
	k.wall.Begin()
	ticker := k.clock.NewTicker(k.every)
	defer ticker.Stop()
	last := k.clock.Now()
	for {
		last = k.look(ctx, last)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// look probes once; last is when it was called before.
func (k *Keeper) look(ctx context.Context, last time.Time) time.Time {
	began := k.clock.Now()
	k.wall.Skips()
	probing, cancel := context.WithTimeout(ctx, k.every)
	err := k.probe(probing)
	cancel()
	if ctx.Err() != nil {
		return began
	}
	// Round(0) drops the monotonic clock: a jump of the wall clock is a gap too,
	// because the persisted instants are the wall clock's.
	gap := began.Round(0).Sub(last.Round(0))
	broken := gap > 3*k.every || gap < -k.every

	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		if !k.since.IsZero() {
			k.log.Warn("API server out of sight: health timers wait", "err", err)
		}
		k.since = time.Time{}
	case broken:
		k.log.Warn("gap in the view: health timers start afresh", "gap", gap)
		k.since = k.clock.Now()
	case k.since.IsZero():
		k.log.Info("view of the cluster begins")
		k.since = k.clock.Now()
	}
	return began
}
