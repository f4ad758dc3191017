package sdk

import (
	"context"
	"time"

	"torikumi/miniagones/internal/state"
)

// Health is a sign of life.
func (s *Server) Health() {
	s.expect()
	s.mu.Lock()
	s.signs.Seen(time.Now())
	s.mu.Unlock()
}

// Running notes that the game server's container has been running for the initial
// delay: the kubelet says so by its first probe.
func (s *Server) Running() { s.expect() }

// expect begins to count signs of life, once.
func (s *Server) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expects || s.current == nil {
		return
	}
	s.expects = true
	h := s.current.Spec.Health
	s.signs.Expect(state.Health{
		Disabled: h.Disabled, Period: time.Duration(h.PeriodSeconds) * time.Second, FailureThreshold: int(h.FailureThreshold),
		InitialDelay: time.Duration(h.InitialDelaySeconds) * time.Second,
	}, time.Now())
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// Run watches the signs of life until ctx ends. A server without any becomes
// Unhealthy, again and again until that has been written.
func (s *Server) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.poke:
		case <-timer.C:
		}
		s.mu.Lock()
		silent, dead := s.signs.Check(time.Now())
		next := s.signs.Next()
		s.mu.Unlock()
		if dead {
			s.log.Warn("no sign of life", "gameserver", s.key.Name, "silent", silent.Round(time.Millisecond))
			if err := s.input(ctx, state.InputExited, nil); err != nil {
				s.log.Error("the game server can't be made Unhealthy", "gameserver", s.key.Name, "error", err)
			}
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}
