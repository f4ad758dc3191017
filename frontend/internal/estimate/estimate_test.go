package estimate

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/queues"
)

// series is a queue whose tickets wait for times that are drawn.
type series struct {
	now   time.Time
	waits []ticket.Wait
	err   error
}

func (s *series) Waits(_ context.Context, queue string) ([]ticket.Wait, error) {
	if queue != "session" {
		return nil, s.err
	}
	return s.waits, s.err
}

// ends adds a ticket that has a match now, after so long.
func (s *series) ends(wait time.Duration) {
	s.waits = append(s.waits, ticket.Wait{Ended: s.now, Length: wait})
	s.waits = s.waits[max(0, len(s.waits)-ticket.MostWaits):]
}

func (s *series) estimates() *Estimates {
	return New(s, defaults, slog.New(slog.DiscardHandler), func() time.Time { return s.now })
}

var defaults = queues.Default()

// of reads anew, and estimates for a ticket that has waited for so long.
func (s *series) of(t *testing.T, waited time.Duration) time.Duration {
	t.Helper()
	e := s.estimates()
	if err := e.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	return e.Of("session", s.now.Add(-waited))
}

// TestEstimateHolds: of tickets whose waits are drawn like those before, half are matched
// within what they were told, whether they ask at once or later.
func TestEstimateHolds(t *testing.T) {
	for name, draw := range map[string]func(r *rand.Rand) float64{
		"exponential, mean 20 s": func(r *rand.Rand) float64 { return 20 * r.ExpFloat64() },
		"lognormal, median 30 s": func(r *rand.Rand) float64 { return 30 * math.Exp(r.NormFloat64()) },
		"even, 5 to 15 s":        func(r *rand.Rand) float64 { return 5 + 10*r.Float64() },
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			s := &series{now: time.Unix(1_000_000_000, 0)}
			asked, held := map[time.Duration]int{}, map[time.Duration]int{}
			for i := range 5000 {
				wait := time.Duration(draw(r) * float64(time.Second))
				for _, waited := range []time.Duration{0, 8 * time.Second} {
					if i < ticket.MostWaits || wait < waited {
						continue
					}
					told := s.of(t, waited)
					if told != 0 {
						asked[waited]++
					}
					if told >= wait {
						held[waited]++
					}
				}
				s.now = s.now.Add(time.Second)
				s.ends(wait)
			}
			for waited, n := range asked {
				if share := float64(held[waited]) / float64(n); n < 1000 || share < 0.47 || share > 0.53 {
					t.Errorf("after %v: %.3f of %d were matched within what they were told, want half", waited, share, n)
				} else {
					t.Logf("after %v: %.3f of %d", waited, share, n)
				}
			}
		})
	}
}

// TestEstimateFollows: when waits become others, the estimate follows with the tickets
// that it is made of, and with time.
func TestEstimateFollows(t *testing.T) {
	s := &series{now: time.Unix(1_000_000_000, 0)}
	for i := range least {
		if got := s.of(t, 0); got != 0 {
			t.Errorf("of %d tickets: %v", i, got)
		}
		s.ends(10 * time.Second)
	}
	if got := s.of(t, 0); got != 10*time.Second {
		t.Errorf("of the least that it is made of: %v", got)
	}
	if got := s.of(t, 10*time.Second); got != 10*time.Second {
		t.Errorf("for one that has waited as long: %v", got)
	}
	if got := s.of(t, 10*time.Second+1); got != 0 {
		t.Errorf("for one that has waited longer than all: %v", got)
	}
	for range ticket.MostWaits/2 + 1 {
		s.ends(time.Minute)
	}
	if got := s.of(t, 0); got != time.Minute {
		t.Errorf("when most wait longer: %v", got)
	}
	s.now = s.now.Add(ticket.WaitsAge)
	if got := s.of(t, 0); got != 0 {
		t.Errorf("when nobody had a match for long: %v", got)
	}
}

// TestEstimateUnknown: what cannot be read is not told, also if it was known.
func TestEstimateUnknown(t *testing.T) {
	s := &series{now: time.Unix(1_000_000_000, 0), waits: slices.Repeat([]ticket.Wait{{Ended: time.Unix(1_000_000_000, 0), Length: time.Second}}, least)}
	e := s.estimates()
	if got := e.Of("session", s.now); got != 0 {
		t.Errorf("before anything was read: %v", got)
	}
	if err := e.read(t.Context()); err != nil || e.Of("session", s.now) != time.Second || e.Of("squad", s.now) != 0 || e.Of("none", s.now) != 0 {
		t.Errorf("read: %v, %v", e.Of("session", s.now), err)
	}
	s.err = errors.New("away")
	if err := e.read(t.Context()); err == nil || e.Of("session", s.now) != 0 {
		t.Errorf("when it cannot be read: %v, %v", e.Of("session", s.now), err)
	}
	var none *Estimates
	if none.Of("session", s.now) != 0 {
		t.Error("nobody knows something")
	}
}

// spoilt is a store that can read the waits of one queue alone.
type spoilt struct {
	*series
	readable string
}

func (s spoilt) Waits(_ context.Context, queue string) ([]ticket.Wait, error) {
	if queue != s.readable {
		return nil, s.err
	}
	return s.waits, nil
}

// TestEstimateOfOtherQueues: a queue whose waits cannot be read leaves the others their
// estimates.
func TestEstimateOfOtherQueues(t *testing.T) {
	s := &series{now: time.Unix(1_000_000_000, 0), err: errors.New("a wait is no time")}
	for range ticket.MostWaits {
		s.ends(10 * time.Second)
	}
	names := defaults.Current().Names()
	last := names[len(names)-1]
	e := New(spoilt{s, last}, defaults, slog.New(slog.DiscardHandler), func() time.Time { return s.now })
	if err := e.read(t.Context()); err == nil {
		t.Error("that a queue's waits cannot be read is not said")
	}
	if got := e.Of(last, s.now); len(names) < 2 || got <= 0 {
		t.Errorf("estimated %v for %s", got, last)
	}
}
