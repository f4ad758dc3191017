package fleet

import (
	"context"
	"errors"
	"time"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/sdkserver"
	"torikumi/miniagones/internal/state"
	sdkpb "torikumi/proto/agones/sdk"
)

// sdkServer is a server as its SDK server changes and shows it.
type sdkServer struct {
	fleet *Fleet
	// name returns the server's name: an attachment has one server after the other.
	name func() string
	// ready is called in place of what Ready does; may be nil.
	ready func(f *state.Fleet) error
}

func (s *sdkServer) Name() string { return s.name() }

func (s *sdkServer) change(apply func(f *state.Fleet, now time.Time) error) error {
	var err error
	s.fleet.do(func(f *state.Fleet, now time.Time) { err = apply(f, now) })
	if errors.Is(err, state.ErrNotFound) {
		return sdkserver.ErrGone
	}
	return err
}

func (s *sdkServer) Ready(context.Context) error {
	return s.change(func(f *state.Fleet, _ time.Time) error {
		if s.ready != nil {
			return s.ready(f)
		}
		return f.SDKReady(s.name())
	})
}

func (s *sdkServer) Allocate(context.Context) error {
	return s.change(func(f *state.Fleet, now time.Time) error { return f.SDKAllocate(s.name(), now) })
}

func (s *sdkServer) Shutdown(context.Context) error {
	return s.change(func(f *state.Fleet, _ time.Time) error { return f.SDKShutdown(s.name()) })
}

func (s *sdkServer) Reserve(_ context.Context, d time.Duration) error {
	return s.change(func(f *state.Fleet, now time.Time) error { return f.SDKReserve(s.name(), d, now) })
}

func (s *sdkServer) SetLabel(_ context.Context, key, value string) error {
	return s.change(func(f *state.Fleet, _ time.Time) error { return f.SDKLabel(s.name(), key, value) })
}

func (s *sdkServer) SetAnnotation(_ context.Context, key, value string) error {
	return s.change(func(f *state.Fleet, _ time.Time) error { return f.SDKAnnotation(s.name(), key, value) })
}

func (s *sdkServer) Counts(_ context.Context, change func(counts.Set) (counts.Set, bool)) error {
	return s.change(func(f *state.Fleet, _ time.Time) error { return f.SDKCounts(s.name(), change) })
}

func (s *sdkServer) Health() {
	s.fleet.do(func(f *state.Fleet, now time.Time) { f.SDKHealth(s.name(), now) })
}

func (s *sdkServer) Get(context.Context) (*sdkpb.GameServer, error) {
	s.fleet.mu.Lock()
	server := s.fleet.state.Get(s.name())
	s.fleet.mu.Unlock()
	if server == nil {
		return nil, sdkserver.ErrGone
	}
	return s.fleet.sdkGameServer(server), nil
}

func (s *sdkServer) Watch(ctx context.Context, send func(*sdkpb.GameServer) error) error {
	name := s.name()
	s.fleet.mu.Lock()
	server := s.fleet.state.Get(name)
	sub := s.fleet.subscribe(name, serverQueue)
	s.fleet.mu.Unlock()
	defer sub.Close()
	if server == nil {
		return sdkserver.ErrGone
	}
	for {
		if err := send(s.fleet.sdkGameServer(server)); err != nil {
			return err
		}
		e, err := sub.Next(ctx)
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
	sdkserver.ShowCounts(out.Status, s.Counts)
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
