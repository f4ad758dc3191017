package fleet

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/miniagones/internal/request"
	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// gameServers lists servers and takes them back, which Agones's allocator
// can't; in a cluster the Kubernetes API does it.
type gameServers struct {
	torikumiv1.UnimplementedGameServerServiceServer
	fleet *Fleet
}

func (g *gameServers) ListGameServers(_ context.Context, req *torikumiv1.ListGameServersRequest) (*torikumiv1.ListGameServersResponse, error) {
	if err := request.CheckList(req); err != nil {
		return nil, err
	}
	g.fleet.mu.Lock()
	servers := g.fleet.state.List(req.GetNamespace(), req.GetMatchLabels())
	g.fleet.mu.Unlock()
	out := new(torikumiv1.ListGameServersResponse)
	for _, s := range servers {
		out.GameServers = append(out.GameServers, info(s))
	}
	return out, nil
}

func (g *gameServers) DeleteGameServer(_ context.Context, req *torikumiv1.DeleteGameServerRequest) (*torikumiv1.DeleteGameServerResponse, error) {
	if err := request.CheckDelete(req); err != nil {
		return nil, err
	}
	var err error
	g.fleet.do(func(s *state.Fleet, now time.Time) {
		err = s.Delete(req.GetNamespace(), req.GetName(), req.GetUid(), req.GetResourceVersion(), now)
	})
	if err != nil {
		return nil, statusOf(err, req)
	}
	return &torikumiv1.DeleteGameServerResponse{}, nil
}

func (g *gameServers) AnnotateGameServer(_ context.Context, req *torikumiv1.AnnotateGameServerRequest) (*torikumiv1.AnnotateGameServerResponse, error) {
	if err := request.CheckAnnotate(req); err != nil {
		return nil, err
	}
	var now *Server
	var err error
	g.fleet.do(func(s *state.Fleet, _ time.Time) {
		now, err = s.Annotate(req.GetNamespace(), req.GetName(), req.GetUid(), req.GetResourceVersion(), req.GetAnnotations())
	})
	if err != nil {
		return nil, statusOf(err, req)
	}
	return &torikumiv1.AnnotateGameServerResponse{GameServer: info(now)}, nil
}

// statusOf is the answer to a request that means a game server which is not there, or
// another one.
func statusOf(err error, req interface {
	GetNamespace() string
	GetName() string
}) error {
	switch {
	case errors.Is(err, state.ErrNotFound):
		return status.Errorf(codes.NotFound, "no game server %q in namespace %q", req.GetName(), req.GetNamespace())
	case errors.Is(err, state.ErrPrecondition):
		return status.Errorf(codes.FailedPrecondition, "game server %q has another uid or resource_version", req.GetName())
	}
	return status.Error(codes.Internal, "internal error")
}

func (g *gameServers) ReviewToken(_ context.Context, req *torikumiv1.ReviewTokenRequest) (*torikumiv1.ReviewTokenResponse, error) {
	name, ok := g.fleet.identities.owner(req.GetToken())
	g.fleet.mu.Lock()
	defer g.fleet.mu.Unlock()
	server := g.fleet.state.Get(name)
	if !ok || server == nil {
		return nil, status.Error(codes.Unauthenticated, "the token is not that of a game server's gate")
	}
	return &torikumiv1.ReviewTokenResponse{Namespace: server.Namespace, Name: server.Name}, nil
}

// info writes a server for GameServerService. One that is being deleted is shown
// as Shutdown, since the message has no time of deletion.
func info(s *Server) *torikumiv1.GameServerInfo {
	out := &torikumiv1.GameServerInfo{
		Namespace:       s.Namespace,
		Name:            s.Name,
		Uid:             s.UID,
		ResourceVersion: state.FormatVersion(s.ResourceVersion),
		State:           string(s.State),
		Address:         s.Address,
		Addresses:       []*torikumiv1.GameServerAddress{{Type: addressType, Address: s.Address}},
		NodeName:        s.NodeName,
		Ports:           make(map[string]int32, len(s.Ports)),
		Labels:          s.Labels,
		Annotations:     s.Annotations,
		CreateTime:      timestamppb.New(s.Created),
	}
	if !s.Deleted.IsZero() {
		out.State = string(agones.Shutdown)
	}
	for _, p := range s.Ports {
		out.Ports[p.Name] = p.Port
	}
	return out
}
