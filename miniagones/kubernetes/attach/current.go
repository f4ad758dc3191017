package attach

import (
	"context"
	"sync"
	"time"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/sdkserver"
	"torikumi/miniagones/kubernetes/internal/sdk"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	sdkpb "torikumi/proto/agones/sdk"
)

// current is the GameServer that there is now, for an SDK server that goes on.
type current struct {
	mu     sync.Mutex
	server *sdk.Server
	ready  func(context.Context) error
}

var _ sdkserver.GameServer = (*current)(nil)

func (c *current) set(server *sdk.Server, ready func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server, c.ready = server, ready
}

func (c *current) get() (*sdk.Server, func(context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server, c.ready
}

// with calls f for the server, if there is one.
func (c *current) with(f func(*sdk.Server) error) error {
	s, _ := c.get()
	if s == nil {
		return sdkserver.ErrGone
	}
	return f(s)
}

func (c *current) Name() string {
	if s, _ := c.get(); s != nil {
		return s.Name()
	}
	return ""
}

func (c *current) Ready(ctx context.Context) error {
	_, ready := c.get()
	if ready == nil {
		return sdkserver.ErrGone
	}
	return ready(ctx)
}

func (c *current) Allocate(ctx context.Context) error {
	return c.with(func(s *sdk.Server) error { return s.Allocate(ctx) })
}

func (c *current) Shutdown(ctx context.Context) error {
	return c.with(func(s *sdk.Server) error { return s.Shutdown(ctx) })
}

func (c *current) Reserve(ctx context.Context, d time.Duration) error {
	return c.with(func(s *sdk.Server) error { return s.Reserve(ctx, d) })
}

func (c *current) SetLabel(ctx context.Context, key, value string) error {
	return c.with(func(s *sdk.Server) error { return s.SetLabel(ctx, key, value) })
}

func (c *current) SetAnnotation(ctx context.Context, key, value string) error {
	return c.with(func(s *sdk.Server) error { return s.SetAnnotation(ctx, key, value) })
}

func (c *current) Counts(ctx context.Context, change func(counts.Set) (counts.Set, bool)) error {
	return c.with(func(s *sdk.Server) error { return s.Counts(ctx, change) })
}

func (c *current) Health() {
	_ = c.with(func(s *sdk.Server) error { s.Health(); return nil }) // between two servers it means nothing
}

func (c *current) Get(ctx context.Context) (gs *sdkpb.GameServer, err error) {
	err = c.with(func(s *sdk.Server) error { gs, err = s.Get(ctx); return err })
	return closed(gs), err
}

func (c *current) Watch(ctx context.Context, send func(*sdkpb.GameServer) error) error {
	return c.with(func(s *sdk.Server) error {
		return s.Watch(ctx, func(gs *sdkpb.GameServer) error { return send(closed(gs)) })
	})
}

// closed shows a server that is not open as one that has not said Ready: Agones has it
// Ready from its beginning, and a game server that sees that says nothing.
func closed(gs *sdkpb.GameServer) *sdkpb.GameServer {
	if gs.GetStatus().GetState() == agones.Ready && gs.GetObjectMeta().GetLabels()[contract.AllocatableLabel] != "true" {
		gs.Status.State = agones.Scheduled // nobody else has it: show makes it anew
	}
	return gs
}
