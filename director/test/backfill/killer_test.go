package backfill_test

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"torikumi/director/internal/backfill"
	"torikumi/director/internal/servers"
	"torikumi/pkg/claims"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// killer kills a director at a call: before it, or after its effect. From then on
// nothing that the director calls has an effect.
type killer struct {
	at string // "3 before", "Acknowledge after"; none when empty

	mu     sync.Mutex
	count  int
	killed bool
	calls  []string
	// hook is asked before each call.
	hook func(method string)
}

var errKilled = status.Error(codes.Unavailable, "the director is dead")

func (k *killer) dead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.killed
}

// passing makes a call, unless the director is dead or dies before it.
func passing[T any](k *killer, method string, call func() (T, error)) (T, error) {
	var none T
	k.mu.Lock()
	k.count++
	n := k.count
	k.calls = append(k.calls, method)
	hit := func(phase string) bool {
		return k.at == fmt.Sprintf("%d %s", n, phase) || k.at == method+" "+phase
	}
	k.killed = k.killed || hit("before")
	killed, hook := k.killed, k.hook
	k.mu.Unlock()
	if killed {
		return none, errKilled
	}
	if hook != nil {
		hook(method)
	}
	got, err := call()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.killed = k.killed || hit("after"); k.killed {
		return none, errKilled
	}
	return got, err
}

type frontend struct {
	openmatch.FrontendServiceClient
	k *killer
}

func (f frontend) CreateBackfill(ctx context.Context, r *openmatch.CreateBackfillRequest, o ...grpc.CallOption) (*openmatch.Backfill, error) {
	return passing(f.k, "Create", func() (*openmatch.Backfill, error) { return f.FrontendServiceClient.CreateBackfill(ctx, r, o...) })
}

func (f frontend) GetBackfill(ctx context.Context, r *openmatch.GetBackfillRequest, o ...grpc.CallOption) (*openmatch.Backfill, error) {
	return passing(f.k, "Get", func() (*openmatch.Backfill, error) { return f.FrontendServiceClient.GetBackfill(ctx, r, o...) })
}

func (f frontend) UpdateBackfill(ctx context.Context, r *openmatch.UpdateBackfillRequest, o ...grpc.CallOption) (*openmatch.Backfill, error) {
	return passing(f.k, "Update", func() (*openmatch.Backfill, error) { return f.FrontendServiceClient.UpdateBackfill(ctx, r, o...) })
}

func (f frontend) DeleteBackfill(ctx context.Context, r *openmatch.DeleteBackfillRequest, o ...grpc.CallOption) (*emptypb.Empty, error) {
	return passing(f.k, "Delete", func() (*emptypb.Empty, error) { return f.FrontendServiceClient.DeleteBackfill(ctx, r, o...) })
}

func (f frontend) AcknowledgeBackfill(ctx context.Context, r *openmatch.AcknowledgeBackfillRequest, o ...grpc.CallOption) (*openmatch.AcknowledgeBackfillResponse, error) {
	return passing(f.k, "Acknowledge", func() (*openmatch.AcknowledgeBackfillResponse, error) {
		return f.FrontendServiceClient.AcknowledgeBackfill(ctx, r, o...)
	})
}

type backend struct {
	openmatch.BackendServiceClient
	k *killer
}

func (b backend) AssignTickets(ctx context.Context, r *openmatch.AssignTicketsRequest, o ...grpc.CallOption) (*openmatch.AssignTicketsResponse, error) {
	return passing(b.k, "Assign", func() (*openmatch.AssignTicketsResponse, error) {
		return b.BackendServiceClient.AssignTickets(ctx, r, o...)
	})
}

type gameServers struct {
	f *fleet
	k *killer
}

func (g gameServers) List(_ context.Context, namespace string, labels map[string]string) ([]servers.Server, error) {
	return passing(g.k, "List", func() ([]servers.Server, error) { return g.f.list(namespace, labels[contract.MatchLabel]), nil })
}

func (g gameServers) Find(_ context.Context, namespace, match string) ([]servers.Server, error) {
	return passing(g.k, "Find", func() ([]servers.Server, error) { return g.f.list(namespace, match), nil })
}

func (gameServers) Hold(context.Context, servers.Server, servers.Selector) error { return nil }

func (gameServers) Delete(context.Context, servers.Server) error { return servers.ErrChanged }

func (g gameServers) Annotate(_ context.Context, s servers.Server, set map[string]string) (servers.Server, error) {
	return passing(g.k, "Annotate", func() (servers.Server, error) { return g.f.annotate(s, set) })
}

type claimed struct {
	backfill.Claims
	k *killer
}

func done(err error) (struct{}, error) { return struct{}{}, err }

func (c claimed) Acquire(ctx context.Context, m claims.Match) error {
	_, err := passing(c.k, "Acquire", func() (struct{}, error) { return done(c.Claims.Acquire(ctx, m)) })
	return err
}

func (c claimed) Confirm(ctx context.Context, token, connection string, d *torikumiv1.AssignmentDetails) error {
	_, err := passing(c.k, "Confirm", func() (struct{}, error) { return done(c.Claims.Confirm(ctx, token, connection, d)) })
	return err
}

func (c claimed) MarkAssigned(ctx context.Context, token string) error {
	_, err := passing(c.k, "MarkAssigned", func() (struct{}, error) { return done(c.Claims.MarkAssigned(ctx, token)) })
	return err
}

func (c claimed) Drop(ctx context.Context, token string, tickets []string) error {
	_, err := passing(c.k, "Drop", func() (struct{}, error) { return done(c.Claims.Drop(ctx, token, tickets)) })
	return err
}
