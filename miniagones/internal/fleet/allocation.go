package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"torikumi/miniagones/internal/label"
	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Register offers the fleet over allocation.AllocationService, as Agones'
// allocator does, and over torikumi.v1.GameServerService.
func (f *Fleet) Register(r grpc.ServiceRegistrar) {
	allocationpb.RegisterAllocationServiceServer(r, &allocator{fleet: f})
	torikumiv1.RegisterGameServerServiceServer(r, &gameServers{fleet: f})
}

// allocator is Agones's allocator. It decides at once, where Agones collects
// requests for half a second; and as it has its servers to itself, it never
// answers Aborted.
type allocator struct {
	allocationpb.UnimplementedAllocationServiceServer
	fleet *Fleet
}

func (a *allocator) Allocate(ctx context.Context, req *allocationpb.AllocationRequest) (*allocationpb.AllocationResponse, error) {
	want, err := readRequest(req)
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
	for _, p := range s.Ports {
		out.Ports = append(out.Ports, &allocationpb.AllocationResponse_GameServerStatusPort{Name: p.Name, Port: p.Port})
	}
	return out
}

// readRequest checks a request and brings its old forms into the new one. Its
// errors are statuses for the client.
func readRequest(req *allocationpb.AllocationRequest) (state.Allocation, error) {
	a := state.Allocation{
		Namespace: req.GetNamespace(),
		Spread:    req.GetScheduling() == allocationpb.AllocationRequest_Distributed,
	}
	if err := refuseUnsupported(req); err != nil {
		return a, err
	}
	// All selectors are checked, even if the newer ones make the older void.
	lists := [3][]state.Selector{}
	for i, l := range []struct {
		field     string
		selectors []*allocationpb.GameServerSelector
	}{
		{"gameServerSelectors", req.GetGameServerSelectors()},
		{"preferredGameServerSelectors", req.GetPreferredGameServerSelectors()},
		{"requiredGameServerSelector", []*allocationpb.GameServerSelector{req.GetRequiredGameServerSelector()}},
	} {
		for j, s := range l.selectors {
			field := l.field
			if field != "requiredGameServerSelector" {
				field = fmt.Sprintf("%s[%d]", field, j)
			}
			sel, err := readSelector(field, s)
			if err != nil {
				return a, err
			}
			lists[i] = append(lists[i], sel)
		}
	}
	if a.Selectors = lists[0]; len(a.Selectors) == 0 {
		a.Selectors = append(lists[1], lists[2]...)
	}

	patch, field := req.GetMetadata(), "metadata"
	if patch == nil {
		patch, field = req.GetMetaPatch(), "metaPatch"
	}
	if err := label.CheckLabels(patch.GetLabels()); err != nil {
		return a, invalid(field+".labels", err)
	}
	if err := label.CheckAnnotations(patch.GetAnnotations()); err != nil {
		return a, invalid(field+".annotations", err)
	}
	a.Labels, a.Annotations = maps.Clone(patch.GetLabels()), maps.Clone(patch.GetAnnotations())
	return a, nil
}

func readSelector(field string, s *allocationpb.GameServerSelector) (state.Selector, error) {
	sel := state.Selector{Labels: s.GetMatchLabels(), State: agones.Ready}
	switch s.GetGameServerState() {
	case allocationpb.GameServerSelector_READY:
	case allocationpb.GameServerSelector_ALLOCATED:
		sel.State = agones.Allocated
	default:
		return sel, invalid(field+".gameServerState", errors.New("must be READY or ALLOCATED"))
	}
	if err := label.CheckLabels(sel.Labels); err != nil {
		return sel, invalid(field+".matchLabels", err)
	}
	if len(s.GetCounters()) > 0 || len(s.GetLists()) > 0 {
		return sel, unsupported(field, "counters and lists")
	}
	if s.GetPlayers() != nil {
		return sel, unsupported(field, "player counts")
	}
	return sel, nil
}

// refuseUnsupported refuses what the fleet would have to ignore: servers here
// have no counters and lists, and there is one cluster.
func refuseUnsupported(req *allocationpb.AllocationRequest) error {
	switch {
	case len(req.GetCounters()) > 0:
		return unsupported("counters", "counters")
	case len(req.GetLists()) > 0:
		return unsupported("lists", "lists")
	case len(req.GetPriorities()) > 0:
		return unsupported("priorities", "counters and lists")
	case req.GetMultiClusterSetting().GetEnabled():
		return unsupported("multiClusterSetting", "other clusters")
	}
	return nil
}

func unsupported(field, what string) error {
	return status.Errorf(codes.Unimplemented, "%s: miniagones has no %s", field, what)
}

// invalid is InvalidArgument with the field and the rule in a detail.
func invalid(field string, err error) error {
	s := status.Newf(codes.InvalidArgument, "%s: %v", field, err)
	detail, packErr := anypb.New(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: field, Description: err.Error()},
	}})
	if packErr != nil {
		return s.Err()
	}
	p := s.Proto()
	p.Details = append(p.Details, detail)
	return status.ErrorProto(p)
}
