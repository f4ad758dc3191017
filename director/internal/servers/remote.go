package servers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// remote is GameServers over torikumi.v1.GameServerService.
type remote struct {
	client torikumiv1.GameServerServiceClient
}

// NewRemote makes the GameServers that a torikumi.v1.GameServerService serves.
func NewRemote(conn grpc.ClientConnInterface) GameServers {
	return &remote{client: torikumiv1.NewGameServerServiceClient(conn)}
}

func (r *remote) List(ctx context.Context, namespace string, labels map[string]string) ([]Server, error) {
	resp, err := r.client.ListGameServers(ctx, &torikumiv1.ListGameServersRequest{Namespace: namespace, MatchLabels: labels})
	if err != nil {
		return nil, fmt.Errorf("list game servers in %q: %w", namespace, err)
	}
	list := make([]Server, 0, len(resp.GetGameServers()))
	for _, gs := range resp.GetGameServers() {
		if gs.GetState() == agones.Shutdown { // the service shows so what is being deleted
			continue
		}
		list = append(list, fromInfo(gs))
	}
	return list, nil
}

func fromInfo(gs *torikumiv1.GameServerInfo) Server {
	s := Server{
		Namespace: gs.GetNamespace(), Name: gs.GetName(), UID: gs.GetUid(), Version: gs.GetResourceVersion(), State: gs.GetState(),
		Address: gs.GetAddress(), Node: gs.GetNodeName(), Labels: gs.GetLabels(), Annotations: gs.GetAnnotations(),
		CreateTime: gs.GetCreateTime().AsTime(),
	}
	for _, a := range gs.GetAddresses() {
		s.Addresses = append(s.Addresses, Address{Type: a.GetType(), Address: a.GetAddress()})
	}
	for _, name := range slices.Sorted(maps.Keys(gs.GetPorts())) {
		s.Ports = append(s.Ports, Port{Name: name, Number: gs.GetPorts()[name]})
	}
	return s
}

func (r *remote) Find(ctx context.Context, namespace, match string) ([]Server, error) {
	return r.List(ctx, namespace, map[string]string{contract.MatchLabel: match})
}

// Hold does nothing: who is told of servers by this service gives none back.
func (*remote) Hold(context.Context, Server, Selector) error { return nil }

func (r *remote) Delete(ctx context.Context, s Server) error {
	_, err := r.client.DeleteGameServer(ctx, &torikumiv1.DeleteGameServerRequest{Namespace: s.Namespace, Name: s.Name, Uid: s.UID, ResourceVersion: s.Version})
	if err = known(err); err != nil {
		return fmt.Errorf("delete game server %q: %w", s.ID(), err)
	}
	return nil
}

func (r *remote) Annotate(ctx context.Context, s Server, annotations map[string]string) (Server, error) {
	resp, err := r.client.AnnotateGameServer(ctx, &torikumiv1.AnnotateGameServerRequest{
		Namespace: s.Namespace, Name: s.Name, Uid: s.UID, ResourceVersion: s.Version, Annotations: annotations,
	})
	if err = known(err); err != nil {
		return Server{}, fmt.Errorf("annotate game server %q: %w", s.ID(), err)
	}
	return fromInfo(resp.GetGameServer()), nil
}

// known makes this package's errors of those that mean the same.
func known(err error) error {
	switch status.Code(err) {
	case codes.NotFound:
		return ErrGone
	case codes.FailedPrecondition:
		return ErrChanged
	}
	return err
}
