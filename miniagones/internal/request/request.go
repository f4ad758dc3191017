// Package request reads requests of Agones's allocation.AllocationService and
// refuses what miniagones can't do, for all of its backends.
package request

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"torikumi/miniagones/internal/counts"
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
		return a, unprocessable(field+".labels", err)
	}
	if err := label.CheckAnnotations(patch.GetAnnotations()); err != nil {
		return a, unprocessable(field+".annotations", err)
	}
	a.Priorities, a.Actions = priorities(req), actions(req)
	if wrong := append(counts.CheckPriorities(a.Priorities), a.Actions.Check()...); len(wrong) > 0 {
		return a, unprocessable(wrong[0].Field, errors.New(wrong[0].Rule))
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
		return sel, unprocessable(field+".gameServerState", errors.New("must be READY or ALLOCATED"))
	}
	if err := label.CheckLabels(sel.Labels); err != nil {
		return sel, unprocessable(field+".matchLabels", err)
	}
	sel.Counts = countSelector(s)
	if wrong := sel.Counts.Check(); len(wrong) > 0 {
		return sel, unprocessable(field+"."+wrong[0].Field, errors.New(wrong[0].Rule))
	}
	if s.GetPlayers() != nil {
		return sel, unsupported(field, "player counts")
	}
	return sel, nil
}

func countSelector(s *allocationpb.GameServerSelector) counts.Selector {
	out := counts.Selector{Counters: make(map[string]counts.CounterSelector), Lists: make(map[string]counts.ListSelector)}
	for name, c := range s.GetCounters() {
		out.Counters[name] = counts.CounterSelector{
			MinCount: c.GetMinCount(), MaxCount: c.GetMaxCount(), MinAvailable: c.GetMinAvailable(), MaxAvailable: c.GetMaxAvailable(),
		}
	}
	for name, l := range s.GetLists() {
		out.Lists[name] = counts.ListSelector{ContainsValue: l.GetContainsValue(), MinAvailable: l.GetMinAvailable(), MaxAvailable: l.GetMaxAvailable()}
	}
	return out
}

func priorities(req *allocationpb.AllocationRequest) (out []counts.Priority) {
	for _, p := range req.GetPriorities() {
		out = append(out, counts.Priority{Type: p.GetType().String(), Key: p.GetKey(), Order: p.GetOrder().String()})
	}
	return out
}

func actions(req *allocationpb.AllocationRequest) counts.Actions {
	out := counts.Actions{Counters: make(map[string]counts.CounterAction), Lists: make(map[string]counts.ListAction)}
	for name, c := range req.GetCounters() {
		to := counts.CounterAction{Amount: number(c.GetAmount()), Capacity: number(c.GetCapacity())}
		if c.GetAction() != nil {
			to.Action = &c.Action.Value
		}
		out.Counters[name] = to
	}
	for name, l := range req.GetLists() {
		out.Lists[name] = counts.ListAction{AddValues: l.GetAddValues(), DeleteValues: l.GetDeleteValues(), Capacity: number(l.GetCapacity())}
	}
	return out
}

func number(v *wrapperspb.Int64Value) *int64 {
	if v == nil {
		return nil
	}
	return &v.Value
}

// Respond writes a server's counters and lists into the answer.
func Respond(out *allocationpb.AllocationResponse, of counts.Set) {
	if len(of.Counters) > 0 {
		out.Counters = make(map[string]*allocationpb.AllocationResponse_CounterStatus)
	}
	for name, c := range of.Counters {
		out.Counters[name] = &allocationpb.AllocationResponse_CounterStatus{Count: wrapperspb.Int64(c.Count), Capacity: wrapperspb.Int64(c.Capacity)}
	}
	if len(of.Lists) > 0 {
		out.Lists = make(map[string]*allocationpb.AllocationResponse_ListStatus)
	}
	for name, l := range of.Lists {
		out.Lists[name] = &allocationpb.AllocationResponse_ListStatus{Values: l.Values, Capacity: wrapperspb.Int64(l.Capacity)}
	}
}

// refuseUnsupported refuses what the fleet would have to ignore: there is one
// cluster.
func refuseUnsupported(req *allocationpb.AllocationRequest) error {
	if req.GetMultiClusterSetting().GetEnabled() {
		return unsupported("multiClusterSetting", "other clusters")
	}
	return nil
}

func unsupported(field, what string) error {
	return status.Errorf(codes.Unimplemented, "%s: miniagones has no %s", field, what)
}

// Unprocessable is the code of an allocation that breaks a rule: Agones's allocator
// has the Kubernetes API's number there, which is none of gRPC's codes.
const Unprocessable codes.Code = http.StatusUnprocessableEntity

func unprocessable(field string, err error) error { return refuse(Unprocessable, field, err) }

// Invalid is InvalidArgument with the field and the rule in a detail.
func Invalid(field string, err error) error { return refuse(codes.InvalidArgument, field, err) }

func refuse(code codes.Code, field string, err error) error {
	s := status.Newf(code, "%s: %v", field, err)
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
func CheckDelete(req *torikumiv1.DeleteGameServerRequest) error { return checkMeant(req) }

// CheckAnnotate checks a request for annotations. Its error is a status.
func CheckAnnotate(req *torikumiv1.AnnotateGameServerRequest) error {
	if err := checkMeant(req); err != nil {
		return err
	}
	if len(req.GetAnnotations()) == 0 {
		return Invalid("annotations", errors.New("must not be empty"))
	}
	if err := label.CheckAnnotations(req.GetAnnotations()); err != nil {
		return Invalid("annotations", err)
	}
	return nil
}

// CheckAttach checks a request to attach a server. Its error is a status.
func CheckAttach(req *torikumiv1.AttachRequest) error {
	if ip := net.ParseIP(req.GetAddress()); ip == nil || ip.IsUnspecified() {
		return Invalid("address", errors.New("must be an IP address that players can reach"))
	}
	for _, f := range []struct {
		field string
		port  int32
	}{
		{"port", req.GetPort()}, {"sdk_grpc_port", req.GetSdkGrpcPort()},
		{"sdk_http_port", req.GetSdkHttpPort()}, {"gate_port", req.GetGatePort()},
	} {
		if f.port < 1 || f.port > 65535 {
			return Invalid(f.field, errors.New("must be from 1 to 65535"))
		}
	}
	if d := req.GetHealthTimeout(); d != nil && (d.CheckValid() != nil || d.AsDuration() < 0) {
		return Invalid("health_timeout", errors.New("must not be negative"))
	}
	return nil
}

// checkMeant checks what says which server is meant.
func checkMeant(req interface {
	GetNamespace() string
	GetName() string
	GetUid() string
}) error {
	for _, f := range []struct{ field, value string }{
		{"namespace", req.GetNamespace()}, {"name", req.GetName()}, {"uid", req.GetUid()},
	} {
		if f.value == "" {
			return Invalid(f.field, errors.New("must not be empty"))
		}
	}
	return nil
}
