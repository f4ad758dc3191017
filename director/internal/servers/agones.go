package servers

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/pkg/agones"
	"torikumi/proto/agones/allocation"
)

// allocator is an Allocator over Agones's allocator service.
type allocator struct {
	client allocation.AllocationServiceClient
}

// NewAgones makes an Allocator that calls Agones's allocator service over conn.
func NewAgones(conn grpc.ClientConnInterface) Allocator {
	return allocator{client: allocation.NewAllocationServiceClient(conn)}
}

func (a allocator) Allocate(ctx context.Context, m *match.Match, sel Selector) (Server, call.Effect, error) {
	req, err := sel.Request(m)
	if err != nil {
		return Server{}, call.Refused, fmt.Errorf("allocate for match %q: %w", m.ID, err)
	}
	var sent call.Sent
	resp, err := a.client.Allocate(ctx, req, sent.Option())
	if err != nil {
		return Server{}, sent.Effect(err), fmt.Errorf("allocate for match %q: %w", m.ID, err)
	}
	s := Server{
		Namespace: sel.Namespace, Name: resp.GetGameServerName(), State: agones.Allocated, Address: resp.GetAddress(), Node: resp.GetNodeName(),
		Labels: resp.GetMetadata().GetLabels(), Annotations: resp.GetMetadata().GetAnnotations(),
	}
	for _, a := range resp.GetAddresses() {
		s.Addresses = append(s.Addresses, Address{Type: a.GetType(), Address: a.GetAddress()})
	}
	for _, p := range resp.GetPorts() {
		s.Ports = append(s.Ports, Port{Name: p.GetName(), Number: p.GetPort()})
	}
	return s, call.Done, nil
}
