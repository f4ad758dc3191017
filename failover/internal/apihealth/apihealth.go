// Package apihealth keeps track of since when the controller has seen the cluster
// without a gap. What it sees right after one may be old, or the outage's own
// doing: nodes whose heartbeats could not arrive look dead.
package apihealth

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Monitor watches the view. Make one with New.
type Monitor struct {
	clock clock.WithTicker
	every time.Duration
	probe func(context.Context) error
	log   *slog.Logger
	wall  *Clock

	mu    sync.Mutex
	since time.Time // zero: there is no view
}

// New makes a Monitor that calls probe, a cheap read from the API server that
// no cache answers, at the given interval once it is started. It sees to it that
// wall is looked at as often, from then on.
func New(c clock.WithTicker, wall *Clock, every time.Duration, probe func(context.Context) error, log *slog.Logger) *Monitor {
	return &Monitor{clock: c, wall: wall, every: every, probe: probe, log: log}
}

// Since is since when the view has been unbroken. While it is broken, that is
// now: no timer that counts from there ever runs out.
func (m *Monitor) Since() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.since.IsZero() {
		return m.clock.Now()
	}
	return m.since
}

// NeedLeaderElection: who takes over has seen nothing yet.
func (m *Monitor) NeedLeaderElection() bool { return true }

// Start probes until ctx ends.
func (m *Monitor) Start(ctx context.Context) error {
	m.wall.Begin()
	ticker := m.clock.NewTicker(m.every)
	defer ticker.Stop()
	last := m.clock.Now()
	for {
		last = m.look(ctx, last)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// look probes once; last is when it was called before.
func (m *Monitor) look(ctx context.Context, last time.Time) time.Time {
	began := m.clock.Now()
	m.wall.Skips()
	probing, cancel := context.WithTimeout(ctx, m.every)
	err := m.probe(probing)
	cancel()
	if ctx.Err() != nil {
		return began
	}
	// Round(0) drops the monotonic clock: a jump of the wall clock is a gap too,
	// because the persisted instants are the wall clock's.
	gap := began.Round(0).Sub(last.Round(0))
	broken := gap > 3*m.every || gap < -m.every

	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil:
		if !m.since.IsZero() {
			m.log.Warn("API server is out of reach: health timers wait", "error", err)
		}
		m.since = time.Time{}
	case broken:
		m.log.Warn("no probe of the API server for too long: health timers start afresh", "gap", gap)
		m.since = m.clock.Now()
	case m.since.IsZero():
		m.log.Info("API server is in reach")
		m.since = m.clock.Now()
	}
	return began
}
