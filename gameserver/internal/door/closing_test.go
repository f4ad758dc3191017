package door

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"torikumi/gameserver/internal/agones"
	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/sdktest"
	"torikumi/pkg/contract"
)

// grown is a server whose newest view has not been told yet.
type grown struct {
	d      *Door
	newest agones.View
	looks  chan struct{}
	t      *testing.T
}

func (g *grown) Fresh(context.Context) (agones.View, error) {
	g.d.Observe(g.newest)
	close(g.looks)
	return g.newest, nil
}

func (g *grown) Shutdown(context.Context) error {
	g.t.Error("the server is ended")
	return nil
}

// TestEndIsCalledOff: the match was filled up while its last player left.
func TestEndIsCalledOff(t *testing.T) {
	replay, err := journal.OpenReplay(filepath.Join(t.TempDir(), "journal"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer replay.Close()
	view := func(players ...string) agones.View {
		text, err := contract.EncodeRoster(sdktest.Roster(players...))
		if err != nil {
			t.Fatal(err)
		}
		return agones.View{Name: "s", UID: "u", State: agones.StateAllocated, Match: "m", Roster: text}
	}
	g := &grown{newest: view("ann", "bob"), looks: make(chan struct{}), t: t}
	g.d, err = New(Options{Replay: replay, Server: g, Policy: Policy{NoShow: time.Hour}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	g.d.Observe(view("ann"))
	g.d.mu.Lock()
	g.d.state.enter(Guest{Player: "ann", Admission: "1"})
	g.d.mu.Unlock()
	if err := g.d.Depart(t.Context(), "ann", "1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.d.Run(ctx) }()
	<-g.looks
	sdktest.Eventually(t, "the door is open for bob", func() bool {
		g.d.mu.Lock()
		defer g.d.mu.Unlock()
		return g.d.state.allocated()
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
