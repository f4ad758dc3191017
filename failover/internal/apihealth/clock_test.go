package apihealth_test

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"torikumi/failover/internal/apihealth"
	"torikumi/failover/internal/decide"
)

func TestSkips(t *testing.T) {
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	skip := func(from, to int) decide.Skip { return decide.Skip{From: at(from), To: at(to)} }
	for _, c := range []struct {
		name string
		// steps are by how much the clock is set, in minutes, each ten minutes
		// after the one before.
		steps []int
		want  []decide.Skip
	}{
		{"never set", []int{0, 0, 0}, nil},
		{"forward", []int{0, 60}, []decide.Skip{skip(20, 80)}},
		{"forward twice", []int{60, 60}, []decide.Skip{skip(10, 70), skip(80, 140)}},
		{"back", []int{-60}, nil},
		{"forward and back", []int{60, -60}, nil},
		{"forward and less back", []int{60, -20}, []decide.Skip{skip(10, 50)}},
		{"forward and further back", []int{60, -80}, nil},
		{"two forward and one and a half back", []int{60, 60, -90}, []decide.Skip{skip(10, 40)}},
		{"back and forward", []int{-60, 60}, []decide.Skip{skip(-40, 20)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wall, steady := noon, time.Hour
			clock := apihealth.NewClock(func() (time.Time, time.Duration) { return wall, steady }, slog.New(slog.DiscardHandler))
			for _, by := range c.steps {
				for range 10 {
					wall, steady = wall.Add(time.Minute), steady+time.Minute
					clock.Skips()
				}
				wall = wall.Add(time.Duration(by) * time.Minute)
				clock.Skips()
			}
			if got := clock.Skips(); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// A clock that runs a little faster is not set each time it is looked at, and
// not overlooked for ever.
func TestSmallStepsAddUp(t *testing.T) {
	wall, steady := time.Unix(1e9, 0), time.Duration(0)
	clock := apihealth.NewClock(func() (time.Time, time.Duration) { return wall, steady }, slog.New(slog.DiscardHandler))
	for range 25 {
		wall, steady = wall.Add(1100*time.Millisecond), steady+time.Second
		clock.Skips()
	}
	got := clock.Skips()
	if len(got) != 1 || got[0].To.Sub(got[0].From).Round(time.Second) != 2*time.Second {
		t.Errorf("got %v", got)
	}
}

func TestSkipsAreBounded(t *testing.T) {
	wall := time.Unix(1e9, 0)
	clock := apihealth.NewClock(func() (time.Time, time.Duration) { return wall, 0 }, slog.New(slog.DiscardHandler))
	for range 1000 {
		wall = wall.Add(time.Hour)
		clock.Skips()
	}
	if n := len(clock.Skips()); n > 100 {
		t.Error(fmt.Sprint(n, " skips"))
	}
	if last := clock.Skips()[len(clock.Skips())-1]; !last.To.Equal(wall) {
		t.Errorf("the last one is %v", last)
	}
}

// still is a clock that nobody sets.
func still() *apihealth.Clock {
	return apihealth.NewClock(func() (time.Time, time.Duration) { return time.Time{}, 0 }, slog.New(slog.DiscardHandler))
}

// What happened before it was watched is no skip, such as that a machine which
// waits for the lease was suspended.
func TestSkipsBeginWithTheWatch(t *testing.T) {
	wall, steady := time.Unix(1e9, 0), time.Duration(0)
	clock := apihealth.NewClock(func() (time.Time, time.Duration) { return wall, steady }, slog.New(slog.DiscardHandler))
	wall = wall.Add(2 * time.Hour)
	clock.Begin()
	wall, steady = wall.Add(time.Minute), steady+time.Minute
	if got := clock.Skips(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	wall = wall.Add(time.Hour)
	if got := clock.Skips(); len(got) != 1 || got[0].To.Sub(got[0].From) != time.Hour {
		t.Errorf("got %v", got)
	}
}

func TestSystem(t *testing.T) {
	now := apihealth.System()
	wall, steady := now()
	later, more := now()
	if wall.After(later) || steady < 0 || more < steady || time.Until(wall).Abs() > time.Hour {
		t.Error(wall, steady, later, more)
	}
}
