// Package sdkserver serves Agones's SDK to one game server, over gRPC and REST.
// What the calls do is a GameServer's: of a fleet on this machine, or of an
// object of the Kubernetes API. On the player's path a game server says through
// it that players may come, and that they have left.
package sdkserver

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/label"
	"torikumi/pkg/agones"
	sdkpb "torikumi/proto/agones/sdk"
)

// ErrGone says that the game server is no more.
var ErrGone = errors.New("game server is gone")

// GameServer is what the SDK changes and shows. A change of a server on its way
// out has no effect and is no error; if it is no more, the error is ErrGone. Its
// methods are safe for concurrent use.
type GameServer interface {
	Name() string
	Ready(ctx context.Context) error
	Allocate(ctx context.Context) error
	Shutdown(ctx context.Context) error
	// Reserve keeps it from being allocated; zero or less: until it says otherwise.
	Reserve(ctx context.Context, d time.Duration) error
	// SetLabel and SetAnnotation get keys without the SDK's prefix.
	SetLabel(ctx context.Context, key, value string) error
	SetAnnotation(ctx context.Context, key, value string) error
	// Counts shows its counters and lists to change, and has it have what that
	// returns, if it says so. change may be called again, for a newer version.
	Counts(ctx context.Context, change func(counts.Set) (next counts.Set, changed bool)) error
	// Health is a sign of life.
	Health()
	// Get returns how it is now.
	Get(ctx context.Context) (*sdkpb.GameServer, error)
	// Watch sends how it is now and then each change, until ctx ends, the
	// server is gone, or send fails, whose error it returns.
	Watch(ctx context.Context, send func(*sdkpb.GameServer) error) error
}

// service is Agones's SDK for one server.
type service struct {
	sdkpb.UnimplementedSDKServer
	server GameServer
}

func (s *service) done(err error) (*sdkpb.Empty, error) {
	if err != nil {
		return nil, s.status(err)
	}
	return &sdkpb.Empty{}, nil
}

func (s *service) status(err error) error {
	switch {
	case errors.Is(err, ErrGone):
		return status.Errorf(codes.NotFound, "game server %q is gone", s.server.Name())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return status.FromContextError(err).Err()
	}
	return status.Error(codes.Internal, "internal error")
}

func (s *service) Ready(ctx context.Context, _ *sdkpb.Empty) (*sdkpb.Empty, error) {
	return s.done(s.server.Ready(ctx))
}

func (s *service) Allocate(ctx context.Context, _ *sdkpb.Empty) (*sdkpb.Empty, error) {
	return s.done(s.server.Allocate(ctx))
}

func (s *service) Shutdown(ctx context.Context, _ *sdkpb.Empty) (*sdkpb.Empty, error) {
	return s.done(s.server.Shutdown(ctx))
}

// maxReserve is the longest reservation that a time.Duration can hold.
const maxReserve = int64(1<<63-1) / int64(time.Second)

func (s *service) Reserve(ctx context.Context, d *sdkpb.Duration) (*sdkpb.Empty, error) {
	if d.GetSeconds() > maxReserve {
		return nil, status.Errorf(codes.InvalidArgument, "seconds: must be at most %d", maxReserve)
	}
	return s.done(s.server.Reserve(ctx, time.Duration(d.GetSeconds())*time.Second))
}

func (s *service) Health(stream grpc.ClientStreamingServer[sdkpb.Empty, sdkpb.Empty]) error {
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&sdkpb.Empty{})
		}
		if err != nil {
			return err
		}
		s.server.Health()
	}
}

// SetLabel checks the key with its prefix too: what Kubernetes would refuse
// later must not seem to have worked.
func (s *service) SetLabel(ctx context.Context, kv *sdkpb.KeyValue) (*sdkpb.Empty, error) {
	if err := checkKey(kv.GetKey()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "invalid label: %v", err)
	}
	if err := label.CheckValue(kv.GetValue()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "invalid label %q: %v", kv.GetKey(), err)
	}
	return s.done(s.server.SetLabel(ctx, kv.GetKey(), kv.GetValue()))
}

func (s *service) SetAnnotation(ctx context.Context, kv *sdkpb.KeyValue) (*sdkpb.Empty, error) {
	if err := checkKey(kv.GetKey()); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "invalid annotation: %v", err)
	}
	if n := len(kv.GetKey()) + len(kv.GetValue()); n > label.MaxAnnotations {
		return nil, status.Errorf(codes.InvalidArgument, "invalid annotation %q: %d bytes, %d are allowed", kv.GetKey(), n, label.MaxAnnotations)
	}
	return s.done(s.server.SetAnnotation(ctx, kv.GetKey(), kv.GetValue()))
}

func checkKey(key string) error {
	if err := label.CheckKey(key); err != nil {
		return err
	}
	return label.CheckKey(agones.SDKPrefix + key)
}

func (s *service) GetGameServer(ctx context.Context, _ *sdkpb.Empty) (*sdkpb.GameServer, error) {
	server, err := s.server.Get(ctx)
	if err != nil {
		return nil, s.status(err)
	}
	return server, nil
}

func (s *service) WatchGameServer(_ *sdkpb.Empty, stream grpc.ServerStreamingServer[sdkpb.GameServer]) error {
	err := s.server.Watch(stream.Context(), stream.Send)
	if errors.Is(err, ErrGone) {
		return s.status(err)
	}
	return err
}
