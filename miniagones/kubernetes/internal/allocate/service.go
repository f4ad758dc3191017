package allocate

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/request"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/kube"
	"torikumi/pkg/agones"
	allocationpb "torikumi/proto/agones/allocation"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Service is the Allocator over gRPC, and GameServerService.
type Service struct {
	Allocator *Allocator
	// Client changes objects, Live reads them from the API server.
	Client client.Client
	Live   client.Reader
	Log    *slog.Logger
}

// Register offers the service over allocation.AllocationService, as Agones's
// allocator does, and over torikumi.v1.GameServerService.
func (s *Service) Register(r grpc.ServiceRegistrar) {
	allocationpb.RegisterAllocationServiceServer(r, &allocator{service: s})
	torikumiv1.RegisterGameServerServiceServer(r, &gameServers{service: s})
}

// failed is the status for an error of the API server, which is logged: its text
// is not for clients.
func (s *Service) failed(what string, err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsInvalid(err):
		s.Log.Error(what, "error", err)
		return status.Error(codes.Internal, "the cluster refuses what miniagones asks for")
	}
	s.Log.Warn(what, "error", err)
	return status.Error(codes.Unavailable, "the cluster's API server can't be reached")
}

type allocator struct {
	allocationpb.UnimplementedAllocationServiceServer
	service *Service
}

func (a *allocator) Allocate(ctx context.Context, req *allocationpb.AllocationRequest) (*allocationpb.AllocationResponse, error) {
	want, err := request.Read(req)
	if err != nil {
		return nil, err
	}
	r := Request{
		Namespace: want.Namespace, Spread: want.Spread, Priorities: want.Priorities,
		Labels: want.Labels, Annotations: want.Annotations, Actions: want.Actions,
	}
	for _, sel := range want.Selectors {
		r.Selectors = append(r.Selectors, Selector{Labels: labels.SelectorFromSet(sel.Labels), State: sel.State, Counts: sel.Counts})
	}
	if r.Namespace == "" {
		return nil, noneFits("")
	}
	gs, err := a.service.Allocator.Allocate(ctx, r)
	switch {
	case errors.Is(err, ErrNoneFits):
		return nil, noneFits(r.Namespace)
	case errors.Is(err, ErrContention):
		return nil, status.Error(codes.Aborted, ErrContention.Error())
	case err != nil:
		return nil, a.service.failed("allocation failed", err)
	}
	return response(gs), nil
}

func noneFits(namespace string) error {
	return status.Errorf(codes.ResourceExhausted, "no game server in namespace %q is available", namespace)
}

func response(gs *v1.GameServer) *allocationpb.AllocationResponse {
	out := &allocationpb.AllocationResponse{
		GameServerName: gs.Name, Address: gs.Status.Address, NodeName: gs.Status.NodeName, Source: "local",
		Metadata: &allocationpb.AllocationResponse_GameServerMetadata{Labels: gs.Labels, Annotations: gs.Annotations},
	}
	request.Respond(out, kube.Counts(gs))
	for _, a := range gs.Status.Addresses {
		out.Addresses = append(out.Addresses, &allocationpb.AllocationResponse_GameServerStatusAddress{Type: string(a.Type), Address: a.Address})
	}
	for _, p := range gs.Status.Ports {
		out.Ports = append(out.Ports, &allocationpb.AllocationResponse_GameServerStatusPort{Name: p.Name, Port: p.Port})
	}
	return out
}

// gameServers lists servers and takes them back, as the API server has them.
type gameServers struct {
	torikumiv1.UnimplementedGameServerServiceServer
	service *Service
}

func (g *gameServers) ListGameServers(ctx context.Context, req *torikumiv1.ListGameServersRequest) (*torikumiv1.ListGameServersResponse, error) {
	if err := request.CheckList(req); err != nil {
		return nil, err
	}
	list := new(v1.GameServerList)
	err := g.service.Live.List(ctx, list, client.InNamespace(req.GetNamespace()), client.MatchingLabels(req.GetMatchLabels()))
	if err != nil {
		return nil, g.service.failed("game servers can't be listed", err)
	}
	out := new(torikumiv1.ListGameServersResponse)
	for i := range list.Items {
		out.GameServers = append(out.GameServers, info(&list.Items[i]))
	}
	slices.SortFunc(out.GameServers, func(a, b *torikumiv1.GameServerInfo) int {
		return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
	})
	return out, nil
}

// info writes a server for GameServerService. One that is being deleted is shown
// as Shutdown, since the message has no time of deletion.
func info(gs *v1.GameServer) *torikumiv1.GameServerInfo {
	out := &torikumiv1.GameServerInfo{
		Namespace: gs.Namespace, Name: gs.Name, Uid: string(gs.UID), ResourceVersion: gs.ResourceVersion,
		State: gs.Status.State, Address: gs.Status.Address, Ports: make(map[string]int32, len(gs.Status.Ports)),
		Labels: gs.Labels, Annotations: gs.Annotations, CreateTime: timestamppb.New(gs.CreationTimestamp.Time),
		NodeName: gs.Status.NodeName,
	}
	for _, a := range gs.Status.Addresses {
		out.Addresses = append(out.Addresses, &torikumiv1.GameServerAddress{Type: string(a.Type), Address: a.Address})
	}
	if !gs.DeletionTimestamp.IsZero() {
		out.State = agones.Shutdown
	}
	for _, p := range gs.Status.Ports {
		out.Ports[p.Name] = p.Port
	}
	return out
}

func (g *gameServers) DeleteGameServer(ctx context.Context, req *torikumiv1.DeleteGameServerRequest) (*torikumiv1.DeleteGameServerResponse, error) {
	if err := request.CheckDelete(req); err != nil {
		return nil, err
	}
	uid, version := types.UID(req.GetUid()), req.GetResourceVersion()
	preconditions := client.Preconditions{UID: &uid}
	if version != "" {
		preconditions.ResourceVersion = &version
	}
	gs := &v1.GameServer{ObjectMeta: metav1.ObjectMeta{Namespace: req.GetNamespace(), Name: req.GetName()}}
	err := g.service.Client.Delete(ctx, gs, preconditions, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err != nil {
		return nil, g.refused("a game server can't be deleted", err, req)
	}
	return &torikumiv1.DeleteGameServerResponse{}, nil
}

// refused is the status for an error of the API server about one game server.
func (g *gameServers) refused(what string, err error, req interface {
	GetNamespace() string
	GetName() string
}) error {
	switch {
	case apierrors.IsNotFound(err):
		return status.Errorf(codes.NotFound, "no game server %q in namespace %q", req.GetName(), req.GetNamespace())
	case apierrors.IsConflict(err):
		return status.Errorf(codes.FailedPrecondition, "game server %q has another uid or resource_version", req.GetName())
	}
	return g.service.failed(what, err)
}

// AnnotateGameServer changes the version that it has read, and reads again when somebody else
// was faster and the caller has named no version. ReviewToken is left to the
// Kubernetes API.
func (g *gameServers) AnnotateGameServer(ctx context.Context, req *torikumiv1.AnnotateGameServerRequest) (*torikumiv1.AnnotateGameServerResponse, error) {
	if err := request.CheckAnnotate(req); err != nil {
		return nil, err
	}
	gs := new(v1.GameServer)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		key := types.NamespacedName{Namespace: req.GetNamespace(), Name: req.GetName()}
		if err := g.service.Live.Get(ctx, key, gs); err != nil {
			return err
		}
		if string(gs.UID) != req.GetUid() || (req.GetResourceVersion() != "" && gs.ResourceVersion != req.GetResourceVersion()) {
			return status.Errorf(codes.FailedPrecondition, "game server %q has another uid or resource_version", req.GetName())
		}
		return g.service.Client.Patch(ctx, gs, annotate(gs, req.GetAnnotations()))
	})
	if status.Code(err) == codes.FailedPrecondition {
		return nil, err
	}
	if err != nil {
		return nil, g.refused("a game server can't be annotated", err, req)
	}
	return &torikumiv1.AnnotateGameServerResponse{GameServer: info(gs)}, nil
}

// annotate changes the annotations of a game server and returns the patch that does so in the
// cluster, if the server is unchanged there.
func annotate(gs *v1.GameServer, annotations map[string]string) client.Patch {
	before := gs.DeepCopy()
	if gs.Annotations == nil {
		gs.Annotations = make(map[string]string)
	}
	for key, value := range annotations {
		if value == "" {
			delete(gs.Annotations, key)
		} else {
			gs.Annotations[key] = value
		}
	}
	return client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
}
