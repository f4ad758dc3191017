package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"

	"torikumi/proto/agones/sdk"
)

// lossy is an SDK that loses the answer to Ready, and whose server is allocated
// right after the next look at it.
type lossy struct {
	sdk.SDKClient
	mu      sync.Mutex
	state   string
	readies int
}

func (l *lossy) GetGameServer(context.Context, *sdk.Empty, ...grpc.CallOption) (*sdk.GameServer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gs := &sdk.GameServer{ObjectMeta: &sdk.GameServer_ObjectMeta{}, Status: &sdk.GameServer_Status{State: l.state}}
	switch l.state {
	case "RequestReady":
		l.state = "Ready"
	case "Ready":
		l.state = "Allocated"
	}
	return gs, nil
}

func (l *lossy) Ready(context.Context, *sdk.Empty, ...grpc.CallOption) (*sdk.Empty, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readies++
	l.state = "RequestReady"
	return nil, errors.New("the answer is lost")
}

// TestReadyIsNotRepeated: another Ready would take the server from its match.
func TestReadyIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &lossy{state: "Scheduled"}
		l := newLife(c, new(Config), slog.New(slog.DiscardHandler), func(string, string) {})
		if err := l.ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.state != "Allocated" || c.readies != 1 {
			t.Errorf("state %s after %d times Ready", c.state, c.readies)
		}
	})
}
