package admission

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"torikumi/pkg/agones"
	"torikumi/pkg/eventually"

	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// grown is a server whose newest view has not been told yet.
type grown struct {
	c      *Controller
	newest watch.View
	looks  chan struct{}
	t      *testing.T
}

func (g *grown) Refresh(context.Context) (watch.View, error) {
	g.c.Observe(g.newest)
	close(g.looks)
	return g.newest, nil
}

func (g *grown) Shutdown(context.Context) error {
	g.t.Error("the server is ended")
	return nil
}

func (g *grown) SetAdmitted(context.Context, string) error { return nil }

func (g *grown) Track(context.Context, *torikumiv1.Tracking, []string) error { return nil }

// TestEndIsCalledOff: the match was filled up while its last player left.
func TestEndIsCalledOff(t *testing.T) {
	memory, err := journal.Open(filepath.Join(t.TempDir(), "journal"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	view := func(players ...string) watch.View {
		text, err := contract.EncodeRoster(harness.Roster(players...))
		if err != nil {
			t.Fatal(err)
		}
		return watch.View{Name: "s", UID: "u", State: agones.Allocated, Match: "m", Roster: text}
	}
	g := &grown{newest: view("ann", "bob"), looks: make(chan struct{}), t: t}
	g.c = New(Options{Journal: memory, Server: g, Policy: Policy{NoShow: time.Hour}, Logger: slog.New(slog.DiscardHandler)})
	g.c.Observe(view("ann"))
	g.c.mu.Lock()
	g.c.state.Presence.Enter(journal.Player{Player: "ann", Admission: "1"})
	g.c.mu.Unlock()
	if err := g.c.Depart(t.Context(), "ann", "1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.c.Run(ctx) }()
	<-g.looks
	eventually.True(t, "bob may come in", func() bool {
		g.c.mu.Lock()
		defer g.c.mu.Unlock()
		return g.c.state.open()
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
