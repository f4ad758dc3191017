package harness

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/proto/agones/sdk/alpha"
	"torikumi/proto/agones/sdk/beta"
)

// Tracking is what the SDK was told of players: one counter, one list, player tracking.
type Tracking struct {
	beta.UnimplementedSDKServer
	mu      sync.Mutex
	failing int
	count   int64
	list    []string
	players alphaPlayers
}

// Told returns what it knows now.
func (t *Tracking) Told() (count int64, list, players []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.players.mu.Lock()
	defer t.players.mu.Unlock()
	return t.count, slices.Clone(t.list), slices.Sorted(slices.Values(t.players.ids))
}

// Forget has it know nothing.
func (t *Tracking) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.players.mu.Lock()
	defer t.players.mu.Unlock()
	t.count, t.list, t.players.ids = 0, nil, nil
}

// Fail makes the next n changes of the counter fail.
func (t *Tracking) Fail(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failing = n
}

// UpdateCounter implements the beta SDK.
func (t *Tracking) UpdateCounter(_ context.Context, req *beta.UpdateCounterRequest) (*beta.Counter, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failing > 0 {
		t.failing--
		return nil, status.Error(codes.Unknown, "counter not found")
	}
	t.count = req.GetCounterUpdateRequest().GetCount().GetValue()
	return &beta.Counter{Count: t.count}, nil
}

// UpdateList implements the beta SDK.
func (t *Tracking) UpdateList(_ context.Context, req *beta.UpdateListRequest) (*beta.List, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = req.GetList().GetValues()
	return &beta.List{}, nil
}

// alphaPlayers is the alpha SDK, which has messages of its own.
type alphaPlayers struct {
	alpha.UnimplementedSDKServer
	mu  sync.Mutex
	ids []string
}

func (p *alphaPlayers) GetConnectedPlayers(context.Context, *alpha.Empty) (*alpha.PlayerIDList, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &alpha.PlayerIDList{List: slices.Clone(p.ids)}, nil
}

func (p *alphaPlayers) PlayerConnect(_ context.Context, id *alpha.PlayerID) (*alpha.Bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = append(p.ids, id.GetPlayerID())
	return &alpha.Bool{Bool: true}, nil
}

func (p *alphaPlayers) PlayerDisconnect(_ context.Context, id *alpha.PlayerID) (*alpha.Bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids = slices.DeleteFunc(p.ids, func(other string) bool { return other == id.GetPlayerID() })
	return &alpha.Bool{Bool: true}, nil
}
