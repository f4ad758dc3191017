// Package request reads requests of Agones's allocation.AllocationService and
// refuses what miniagones can't do, for all of its backends.
package request

import (
	"errors"
	"fmt"
	"maps"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"torikumi/miniagones/internal/label"
	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Read checks a request and brings its old forms into the new one. Its
// errors are statuses for the client.
func Read(req *allocationpb.AllocationRequest) (state.Allocation, error) {
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
		return a, Invalid(field+".labels", err)
	}
	if err := label.CheckAnnotations(patch.GetAnnotations()); err != nil {
		return a, Invalid(field+".annotations", err)
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
		return sel, Invalid(field+".gameServerState", errors.New("must be READY or ALLOCATED"))
	}
	if err := label.CheckLabels(sel.Labels); err != nil {
		return sel, Invalid(field+".matchLabels", err)
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

// Invalid is InvalidArgument with the field and the rule in a detail.
func Invalid(field string, err error) error {
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

// CheckList checks a request for a list of servers. Its error is a status.
func CheckList(req *torikumiv1.ListGameServersRequest) error {
	if err := label.CheckLabels(req.GetMatchLabels()); err != nil {
		return Invalid("match_labels", err)
	}
	return nil
}

// CheckDelete checks a request for a deletion. Its error is a status.
func CheckDelete(req *torikumiv1.DeleteGameServerRequest) error {
	for _, f := range []struct{ field, value string }{
		{"namespace", req.GetNamespace()}, {"name", req.GetName()}, {"uid", req.GetUid()},
	} {
		if f.value == "" {
			return Invalid(f.field, errors.New("must not be empty"))
		}
	}
	return nil
}
