package fleet

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/miniagones/internal/label"
	"torikumi/miniagones/internal/state"
	"torikumi/pkg/agones"
	sdkpb "torikumi/proto/agones/sdk"
)

// sdkService is Agones's SDK for one server. As there, a call that comes too
// late, for a server on its way out, succeeds without effect.
type sdkService struct {
	sdkpb.UnimplementedSDKServer
	fleet *Fleet
	name  string
}

func (s *sdkService) change(apply func(f *state.Fleet, now time.Time) error) (*sdkpb.Empty, error) {
	var err error
	s.fleet.do(func(f *state.Fleet, now time.Time) { err = apply(f, now) })
	if err != nil {
		return nil, s.status(err)
	}
	return &sdkpb.Empty{}, nil
}

func (s *sdkService) status(err error) error {
	if errors.Is(err, state.ErrNotFound) {
		return status.Errorf(codes.NotFound, "game server %q is gone", s.name)
	}
	return status.Error(codes.Internal, "internal error")
}

func (s *sdkService) Ready(context.Context, *sdkpb.Empty) (*sdkpb.Empty, error) {
	return s.change(func(f *state.Fleet, _ time.Time) error { return f.SDKReady(s.name) })
}

func (s *sdkService) Allocate(context.Context, *sdkpb.Empty) (*sdkpb.Empty, error) {
	return s.change(func(f *state.Fleet, now time.Time) error { return f.SDKAllocate(s.name, now) })
}

func (s *sdkService) Shutdown(context.Context, *sdkpb.Empty) (*sdkpb.Empty, error) {
	return s.change(func(f *state.Fleet, _ time.Time) error { return f.SDKShutdown(s.name) })
}

// maxReserve is the longest reservation that a time.Duration can hold.
const maxReserve = int64(1<<63-1) / int64(time.Second)

func (s *sdkService) Reserve(_ context.Context, d *sdkpb.Duration) (*sdkpb.Empty, error) {
	if d.GetSeconds() > maxReserve {
		return nil, status.Errorf(codes.InvalidArgument, "seconds: must be at most %d", maxReserve)
	}
	return s.change(func(f *state.Fleet, now time.Time) error {
		return f.SDKReserve(s.name, time.Duration(d.GetSeconds())*time.Second, now)
	})
}

func (s *sdkService) Health(stream grpc.ClientStreamingServer[sdkpb.Empty, sdkpb.Empty]) error {
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&sdkpb.Empty{})
		}
		if err != nil {
			return err
		}
		s.fleet.do(func(f *state.Fleet, now time.Time) { f.SDKHealth(s.name, now) })
	}
}

// SetLabel checks the key with its prefix too: what Kubernetes would refuse
// later must not seem to have worked.
func (s *sdkService) SetLabel(_ context.Context, kv *sdkpb.KeyValue) (*sdkpb.Empty, error) {
	if err := checkSDKKey(kv.GetKey()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "invalid label: %v", err)
	}
	if err := label.CheckValue(kv.GetValue()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "invalid label %q: %v", kv.GetKey(), err)
	}
	return s.change(func(f *state.Fleet, _ time.Time) error {
		return f.SDKLabel(s.name, kv.GetKey(), kv.GetValue())
	})
}

func (s *sdkService) SetAnnotation(_ context.Context, kv *sdkpb.KeyValue) (*sdkpb.Empty, error) {
	if err := checkSDKKey(kv.GetKey()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "invalid annotation: %v", err)
	}
	if n := len(kv.GetKey()) + len(kv.GetValue()); n > label.MaxAnnotations {
		return nil, status.Errorf(codes.InvalidArgument, "invalid annotation %q: %d bytes, %d are allowed", kv.GetKey(), n, label.MaxAnnotations)
	}
	return s.change(func(f *state.Fleet, _ time.Time) error {
		return f.SDKAnnotation(s.name, kv.GetKey(), kv.GetValue())
	})
}

func checkSDKKey(key string) error {
	if err := label.CheckKey(key); err != nil {
		return err
	}
	return label.CheckKey(agones.SDKPrefix + key)
}

func (s *sdkService) GetGameServer(context.Context, *sdkpb.Empty) (*sdkpb.GameServer, error) {
	s.fleet.mu.Lock()
	server := s.fleet.state.Get(s.name)
	s.fleet.mu.Unlock()
	if server == nil {
		return nil, s.status(state.ErrNotFound)
	}
	return s.fleet.sdkGameServer(server), nil
}

func (s *sdkService) WatchGameServer(_ *sdkpb.Empty, stream grpc.ServerStreamingServer[sdkpb.GameServer]) error {
	s.fleet.mu.Lock()
	server := s.fleet.state.Get(s.name)
	sub := s.fleet.subscribe(s.name, serverQueue)
	s.fleet.mu.Unlock()
	defer sub.Close()
	if server == nil {
		return s.status(state.ErrNotFound)
	}
	for {
		if err := stream.Send(s.fleet.sdkGameServer(server)); err != nil {
			return err
		}
		e, err := sub.Next(stream.Context())
		if err != nil || e.Gone {
			return nil
		}
		server = e.Server
	}
}

// sdkGameServer writes a server as the SDK shows it.
func (f *Fleet) sdkGameServer(s *Server) *sdkpb.GameServer {
	out := &sdkpb.GameServer{
		ObjectMeta: &sdkpb.GameServer_ObjectMeta{
			Name:              s.Name,
			Namespace:         s.Namespace,
			Uid:               s.UID,
			ResourceVersion:   state.FormatVersion(s.ResourceVersion),
			Generation:        s.Generation,
			CreationTimestamp: s.Created.Unix(),
			Annotations:       s.Annotations,
			Labels:            s.Labels,
		},
		Spec: &sdkpb.GameServer_Spec{Health: &sdkpb.GameServer_Spec_Health{
			Disabled:            f.opts.Health.Disabled,
			PeriodSeconds:       seconds(f.opts.Health.Period),
			FailureThreshold:    int32(f.opts.Health.FailureThreshold),
			InitialDelaySeconds: seconds(f.opts.Health.InitialDelay),
		}},
		Status: &sdkpb.GameServer_Status{State: string(s.State), Address: s.Address},
	}
	if !s.Deleted.IsZero() {
		out.ObjectMeta.DeletionTimestamp = s.Deleted.Unix()
	}
	if s.Address != "" {
		out.Status.Addresses = []*sdkpb.GameServer_Status_Address{{Type: addressType, Address: s.Address}}
	}
	for _, p := range s.Ports {
		out.Status.Ports = append(out.Status.Ports, &sdkpb.GameServer_Status_Port{Name: p.Name, Port: p.Port})
	}
	return out
}

// addressType is what Kubernetes calls an address in the node's own network.
const addressType = "InternalIP"

func seconds(d time.Duration) int32 {
	return int32((d + time.Second - 1) / time.Second)
}
