package fleet_test

import (
	"context"
	"sync"
	"testing"

	"torikumi/miniagones/internal/fleet"
	"torikumi/miniagones/internal/virtual"
	"torikumi/pkg/agones"
)

// Subscriptions come and go while the fleet works (for the race detector), and
// the last one still hears of everything.
func TestSubscribeClose(t *testing.T) {
	f, err := fleet.New(fleet.Options{Name: "many", Ready: 50, Max: 50, Backend: &virtual.Backend{}})
	if err != nil {
		t.Fatal(err)
	}
	last := f.Subscribe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	var readers sync.WaitGroup
	for range 8 {
		readers.Go(func() {
			for range 50 {
				s := f.Subscribe()
				s.Close()
				if _, err := s.Next(t.Context()); err == nil {
					continue // what it was told before it was closed
				}
			}
		})
	}
	if err := f.WaitReady(t.Context(), 50, 0); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	ready := make(map[string]bool)
	for {
		e, err := last.Next(t.Context())
		if err != nil {
			break
		}
		if e.Server.State == agones.Ready {
			ready[e.Server.Name] = true
		}
	}
	if len(ready) != 50 || last.Lost() != 0 {
		t.Errorf("heard of %d servers, lost %d changes", len(ready), last.Lost())
	}
	last.Close()
}
