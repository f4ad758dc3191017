package servers_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// refusing is a connection on which every call has one answer.
type refusing struct{ err error }

func (r refusing) Invoke(context.Context, string, any, any, ...grpc.CallOption) error { return r.err }

func (r refusing) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, r.err
}

func TestDeleteTellsGoneFromFailed(t *testing.T) {
	for code, want := range map[codes.Code]struct{ gone, changed bool }{
		codes.NotFound: {gone: true}, codes.FailedPrecondition: {changed: true},
		codes.Unavailable: {}, codes.PermissionDenied: {}, codes.Internal: {},
	} {
		err := servers.NewRemote(refusing{status.Error(code, "so")}).Delete(t.Context(), servers.Server{Name: "gs"})
		if err == nil || errors.Is(err, servers.ErrGone) != want.gone || errors.Is(err, servers.ErrChanged) != want.changed {
			t.Errorf("%v: %v", code, err)
		}
	}
	if err := servers.NewRemote(refusing{}).Delete(t.Context(), servers.Server{Name: "gs"}); err != nil {
		t.Error(err)
	}
}

// listing answers lists with one server.
type listing struct{ refusing }

func (l listing) Invoke(_ context.Context, _ string, _, reply any, _ ...grpc.CallOption) error {
	reply.(*torikumiv1.ListGameServersResponse).GameServers = []*torikumiv1.GameServerInfo{{
		Namespace: "n", Name: "gs", Uid: "u", ResourceVersion: "7", State: "Allocated", Address: "192.0.2.1", NodeName: "node-1",
		Addresses: []*torikumiv1.GameServerAddress{{Type: "ExternalIP", Address: "203.0.113.1"}},
		Ports:     map[string]int32{"z": 3, "a": 1, "game": 2}, Labels: map[string]string{"k": "v"}, Annotations: map[string]string{"x": "y"},
	}}
	return nil
}

func TestList(t *testing.T) {
	list, err := servers.NewRemote(listing{}).List(t.Context(), "n", nil)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	s := list[0]
	if s.ID() != "n/gs" || s.UID != "u" || s.Version != "7" || s.State != agones.Allocated || s.Address != "192.0.2.1" || s.Node != "node-1" ||
		!slices.Equal(s.Addresses, []servers.Address{{Type: "ExternalIP", Address: "203.0.113.1"}}) ||
		!slices.Equal(s.Ports, []servers.Port{{Name: "a", Number: 1}, {Name: "game", Number: 2}, {Name: "z", Number: 3}}) ||
		s.Labels["k"] != "v" || s.Annotations["x"] != "y" {
		t.Errorf("server = %+v", s)
	}
}
