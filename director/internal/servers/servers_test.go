package servers_test

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestGamePort(t *testing.T) {
	for _, c := range []struct {
		ports []servers.Port
		want  int32
	}{
		{nil, 0},
		{[]servers.Port{{Name: "b", Number: 2}, {Name: "a", Number: 1}}, 2},
		{[]servers.Port{{Name: "admin", Number: 1}, {Name: "game", Number: 2}}, 2},
		{[]servers.Port{{Name: "game", Number: 1}, {Name: "default", Number: 2}}, 2},
	} {
		s := servers.Server{Address: "192.0.2.1", Ports: c.ports}
		if got := s.GamePort(); got != c.want || s.Reachable() != (c.want != 0) {
			t.Errorf("%v: port %d, reachable %v", c.ports, got, s.Reachable())
		}
	}
	six := servers.Server{Address: "2001:db8::1", Ports: []servers.Port{{Number: 7000}}}
	if got := six.Connection(); got != "[2001:db8::1]:7000" {
		t.Errorf("connection = %s", got)
	}
	if (servers.Server{Ports: six.Ports}).Reachable() {
		t.Error("reachable without an address")
	}
}

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
		Namespace: "n", Name: "gs", Uid: "u", ResourceVersion: "7", State: "Allocated", Address: "192.0.2.1",
		Ports: map[string]int32{"z": 3, "a": 1, "game": 2}, Labels: map[string]string{"k": "v"}, Annotations: map[string]string{"x": "y"},
	}}
	return nil
}

func TestList(t *testing.T) {
	list, err := servers.NewRemote(listing{}).List(t.Context(), "n", nil)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	s := list[0]
	if s.ID() != "n/gs" || s.UID != "u" || s.Version != "7" || s.State != agones.Allocated || s.GamePort() != 2 || s.Ports[0].Name != "a" ||
		s.Labels["k"] != "v" || s.Annotations["x"] != "y" || s.PortMap()["z"] != 3 {
		t.Errorf("server = %+v", s)
	}
}
