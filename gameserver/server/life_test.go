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

// TestPort: in a pod, PORT is all that the server gets to know, and players come from
// outside of it.
func TestPort(t *testing.T) {
	env := map[string]string{"PORT": "7654"}
	get := environment(func(name string) string { return env[name] })
	if got := get("SERVER_UDP_LISTEN"); got != "0.0.0.0:7654" {
		t.Errorf("listens on %s", got)
	}
	env["SERVER_UDP_LISTEN"] = "127.0.0.1:1"
	if got := get("SERVER_UDP_LISTEN"); got != "127.0.0.1:1" {
		t.Errorf("listens on %s, against its own setting", got)
	}
}
