package servers_test

import (
	"context"
	"maps"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/director/internal/call"
	"torikumi/director/internal/match"
	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	"torikumi/proto/agones/allocation"
	"torikumi/proto/openmatch"
)

// allocator answers allocations, and notes the last.
type allocator struct {
	refusing
	request *allocation.AllocationRequest
}

func (a *allocator) Invoke(_ context.Context, _ string, req, reply any, _ ...grpc.CallOption) error {
	a.request = proto.CloneOf(req.(*allocation.AllocationRequest))
	proto.Merge(reply.(*allocation.AllocationResponse), &allocation.AllocationResponse{
		GameServerName: "gs", Address: "192.0.2.1", NodeName: "node-1",
		Addresses: []*allocation.AllocationResponse_GameServerStatusAddress{{Type: "ExternalIP", Address: "203.0.113.1"}},
		Ports:     []*allocation.AllocationResponse_GameServerStatusPort{{Name: "admin", Port: 1}, {Name: "game", Port: 2}},
		Metadata:  &allocation.AllocationResponse_GameServerMetadata{Labels: map[string]string{"k": "v"}, Annotations: map[string]string{"x": "y"}},
	})
	return a.err
}

func TestAllocate(t *testing.T) {
	m, err := match.Parse("duel", &openmatch.Match{MatchId: "m", Tickets: []*openmatch.Ticket{{Id: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	a := new(allocator)
	sel := servers.Selector{Namespace: "n", Allocation: queues.Allocation{Labels: map[string]string{"size": "small"}}}
	s, effect, err := servers.NewAgones(a).Allocate(t.Context(), m, sel)
	if err != nil || effect != call.Done || s.ID() != "n/gs" || s.State != agones.Allocated || s.Address != "192.0.2.1" || s.Node != "node-1" ||
		!slices.Equal(s.Addresses, []servers.Address{{Type: "ExternalIP", Address: "203.0.113.1"}}) || !slices.Equal(s.Ports, []servers.Port{{Name: "admin", Number: 1}, {Name: "game", Number: 2}}) ||
		s.Labels["k"] != "v" || s.Annotations["x"] != "y" {
		t.Errorf("%+v, %v, %v", s, effect, err)
	}
	if got := a.request.GetGameServerSelectors()[0].GetMatchLabels(); a.request.GetNamespace() != "n" ||
		!maps.Equal(got, map[string]string{contract.AllocatableLabel: "true", "size": "small"}) {
		t.Errorf("asked for %v in %q", got, a.request.GetNamespace())
	}
	if got := a.request.GetMetadata(); got.GetLabels()[contract.MatchLabel] != m.Label || got.GetLabels()[contract.QueueLabel] != "duel" ||
		!m.Owns(got.GetAnnotations()[contract.RosterAnnotation]) {
		t.Errorf("stamped %v", got)
	}

	a.err = status.Error(codes.Unavailable, "nobody there")
	if _, effect, err := servers.NewAgones(a).Allocate(t.Context(), m, sel); err == nil || effect != call.NotSent {
		t.Errorf("a call that did not leave: %v, %v", effect, err)
	}
}
