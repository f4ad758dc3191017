package servers

import (
	"context"
	"fmt"
	"maps"

	"google.golang.org/grpc"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/pkg/contract"
	"torikumi/proto/agones/allocation"
)

// Allocator allocates game servers through Agones's allocator service.
type Allocator struct {
	client allocation.AllocationServiceClient
}

// NewAllocator makes an allocator that calls over conn.
func NewAllocator(conn grpc.ClientConnInterface) *Allocator {
	return &Allocator{client: allocation.NewAllocationServiceClient(conn)}
}

// Selector says which servers will do for a queue.
type Selector struct {
	Namespace string
	// Labels that a server has to carry beyond contract.AllocatableLabel.
	Labels map[string]string
}

// Allocate tries once to get a server and stamps the match on it. With Done
// the error is nil; with Unknown a server may have been allocated all the same.
func (a *Allocator) Allocate(ctx context.Context, m *match.Match, sel Selector) (Server, call.Effect, error) {
	roster, err := m.Roster()
	if err != nil {
		return Server{}, call.Refused, fmt.Errorf("allocate for match %q: encode roster: %w", m.ID, err)
	}
	selector := map[string]string{contract.AllocatableLabel: "true"}
	maps.Copy(selector, sel.Labels)

	var sent call.Sent
	resp, err := a.client.Allocate(ctx, &allocation.AllocationRequest{
		Namespace:           sel.Namespace,
		GameServerSelectors: []*allocation.GameServerSelector{{MatchLabels: selector}},
		Metadata: &allocation.MetaPatch{
			Labels:      map[string]string{contract.MatchLabel: m.Label, contract.QueueLabel: m.Queue},
			Annotations: map[string]string{contract.RosterAnnotation: roster},
		},
	}, sent.Option())
	if err != nil {
		return Server{}, sent.Effect(err), fmt.Errorf("allocate for match %q: %w", m.ID, err)
	}
	s := Server{
		Namespace: sel.Namespace, Name: resp.GetGameServerName(), State: StateAllocated, Address: resp.GetAddress(),
		Labels: resp.GetMetadata().GetLabels(), Annotations: resp.GetMetadata().GetAnnotations(),
	}
	for _, p := range resp.GetPorts() {
		s.Ports = append(s.Ports, Port{Name: p.GetName(), Number: p.GetPort()})
	}
	return s, call.Done, nil
}
