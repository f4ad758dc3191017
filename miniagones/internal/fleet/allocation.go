package fleet

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/miniagones/internal/request"
	"torikumi/miniagones/internal/state"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Register offers the fleet over allocation.AllocationService, as Agones'
// allocator does, and over GameServerService and AttachmentService of torikumi.v1.
func (f *Fleet) Register(r grpc.ServiceRegistrar) {
	allocationpb.RegisterAllocationServiceServer(r, &allocator{fleet: f})
	torikumiv1.RegisterGameServerServiceServer(r, &gameServers{fleet: f})
	torikumiv1.RegisterAttachmentServiceServer(r, &attachments{fleet: f})
}

// allocator is Agones's allocator. It decides at once, where Agones collects
// requests for half a second; and as it has its servers to itself, it never
// answers Aborted.
type allocator struct {
	allocationpb.UnimplementedAllocationServiceServer
	fleet *Fleet
}

func (a *allocator) Allocate(ctx context.Context, req *allocationpb.AllocationRequest) (*allocationpb.AllocationResponse, error) {
	want, err := request.Read(req)
	if err != nil {
		return nil, err
	}
	// The fleet's only promise to a caller who has given up: nothing happens
	// afterwards. What had happened before stands.
	if err := ctx.Err(); err != nil {
		return nil, status.FromContextError(err).Err()
	}
	var server *Server
	stopped := false
	a.fleet.do(func(s *state.Fleet, now time.Time) {
		stopped = s.Closed()
		server, err = s.Allocate(want, now)
	})
	if stopped {
		return nil, status.Error(codes.Unavailable, "the fleet is stopping")
	}
	if errors.Is(err, state.ErrNoneFits) {
		return nil, status.Errorf(codes.ResourceExhausted, "no game server in namespace %q is available", req.GetNamespace())
	}
	if err != nil {
		return nil, status.Error(codes.Internal, "internal error")
	}
	return allocated(server), nil
}

func allocated(s *Server) *allocationpb.AllocationResponse {
	out := &allocationpb.AllocationResponse{
		GameServerName: s.Name,
		Address:        s.Address,
		Addresses:      []*allocationpb.AllocationResponse_GameServerStatusAddress{{Type: addressType, Address: s.Address}},
		NodeName:       s.NodeName,
		Source:         "local",
		Metadata: &allocationpb.AllocationResponse_GameServerMetadata{
			Labels:      s.Labels,
			Annotations: s.Annotations,
		},
	}
	request.Respond(out, s.Counts)
	for _, p := range s.Ports {
		out.Ports = append(out.Ports, &allocationpb.AllocationResponse_GameServerStatusPort{Name: p.Name, Port: p.Port})
	}
	return out
}
