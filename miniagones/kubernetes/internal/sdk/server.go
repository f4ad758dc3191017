// Package sdk is a game server of a cluster as its own SDK server sees and changes
// it: an object of the Kubernetes API. It runs in the server's pod. On the player's
// path a game server says through it that it is Ready, and that a match is over.
package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/sdkserver"
	"torikumi/miniagones/internal/state"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/miniagones/kubernetes/internal/kube"
	"torikumi/pkg/agones"
	sdkpb "torikumi/proto/agones/sdk"
)

// Server is one game server. Make it with New, feed it by Handler, and run it.
type Server struct {
	client client.Client
	key    types.NamespacedName
	log    *slog.Logger

	mu      sync.Mutex
	current *v1.GameServer
	gone    bool
	changed chan struct{} // closed at the next change
	signs   state.Signs
	expects bool
	poke    chan struct{}
}

// New makes a server that has not been seen yet. The client asks the API server.
func New(c client.Client, key types.NamespacedName, log *slog.Logger) *Server {
	return &Server{client: c, key: key, log: log, changed: make(chan struct{}), poke: make(chan struct{}, 1)}
}

// Handler takes what a watch of the server brings.
func (s *Server) Handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.see(obj, false) },
		UpdateFunc: func(_, obj any) { s.see(obj, false) },
		DeleteFunc: func(obj any) {
			if last, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = last.Obj
			}
			s.see(obj, true)
		},
	}
}

func (s *Server) see(obj any, gone bool) {
	gs, ok := obj.(*v1.GameServer)
	if !ok || gs.Name != s.key.Name {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && gs.UID != s.current.UID {
		return // another server has the name now, and a pod of its own
	}
	if s.current != nil && !gone && gs.ResourceVersion == s.current.ResourceVersion {
		return
	}
	s.current, s.gone = gs, s.gone || gone
	close(s.changed)
	s.changed = make(chan struct{})
}

// seen returns the version that was seen last, and a channel that is closed when
// another one is.
func (s *Server) seen() (gs *v1.GameServer, gone bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current, s.gone, s.changed
}

// Name is the server's name.
func (s *Server) Name() string { return s.key.Name }

// change makes a change of the server's current version, again if it is no
// longer that.
func (s *Server) change(ctx context.Context, edit func(next *v1.GameServer) (changed bool)) error {
	for {
		gs, err := s.live(ctx)
		if err != nil {
			return err
		}
		next := gs.DeepCopy()
		if !edit(next) {
			return nil
		}
		err = s.client.Patch(ctx, next, client.MergeFromWithOptions(gs, client.MergeFromWithOptimisticLock{}))
		switch {
		case err == nil:
			return nil
		case apierrors.IsNotFound(err):
			return sdkserver.ErrGone
		case !apierrors.IsConflict(err):
			s.log.Error("the game server can't be changed", "gameserver", s.key.Name, "error", err)
			return fmt.Errorf("change game server %q: %w", s.key.Name, err)
		}
	}
}

// live asks the API server.
func (s *Server) live(ctx context.Context) (*v1.GameServer, error) {
	gs := new(v1.GameServer)
	if err := s.client.Get(ctx, s.key, gs); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, sdkserver.ErrGone
		}
		return nil, fmt.Errorf("read game server %q: %w", s.key.Name, err)
	}
	if known, _, _ := s.seen(); known != nil && known.UID != gs.UID {
		return nil, sdkserver.ErrGone
	}
	return gs, nil
}

// input changes the server's state by an input, unless it is on its way out.
func (s *Server) input(ctx context.Context, in state.Input, edit func(*v1.GameServer)) error {
	s.expect()
	return s.change(ctx, func(next *v1.GameServer) bool {
		to, moved := state.State(next.Status.State).After(in)
		if !moved || !next.DeletionTimestamp.IsZero() {
			return false
		}
		next.Status.State, next.Status.ReservedUntil = string(to), nil
		if edit != nil {
			edit(next)
		}
		return true
	})
}

// Ready asks to be Ready; the controller grants it.
func (s *Server) Ready(ctx context.Context) error {
	return s.input(ctx, state.InputRequestReady, nil)
}

// Allocate makes the server Allocated.
func (s *Server) Allocate(ctx context.Context) error {
	return s.input(ctx, state.InputAllocate, func(gs *v1.GameServer) {
		gs.Annotations = with(gs.Annotations, agones.LastAllocatedAnnotation, time.Now().Format(time.RFC3339Nano))
	})
}

// Shutdown asks to be ended.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.input(ctx, state.InputShutdown, nil)
}

// Reserve keeps the server from being allocated.
func (s *Server) Reserve(ctx context.Context, d time.Duration) error {
	return s.input(ctx, state.InputReserve, func(gs *v1.GameServer) {
		if d > 0 {
			until := metav1.NewMicroTime(time.Now().Add(d))
			gs.Status.ReservedUntil = &until
		}
	})
}

// SetLabel sets a label with the SDK's prefix.
func (s *Server) SetLabel(ctx context.Context, key, value string) error {
	return s.change(ctx, func(gs *v1.GameServer) bool {
		gs.Labels = with(gs.Labels, agones.SDKPrefix+key, value)
		return true
	})
}

// SetAnnotation sets an annotation with the same prefix.
func (s *Server) SetAnnotation(ctx context.Context, key, value string) error {
	return s.change(ctx, func(gs *v1.GameServer) bool {
		gs.Annotations = with(gs.Annotations, agones.SDKPrefix+key, value)
		return true
	})
}

// Counts changes the counters and lists.
func (s *Server) Counts(ctx context.Context, change func(counts.Set) (counts.Set, bool)) error {
	return s.change(ctx, func(gs *v1.GameServer) bool {
		next, changed := change(kube.Counts(gs))
		if changed {
			kube.SetCounts(gs, next)
		}
		return changed
	})
}

func with(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = make(map[string]string)
	}
	m[key] = value
	return m
}

// Get returns what the API server has.
func (s *Server) Get(ctx context.Context) (*sdkpb.GameServer, error) {
	gs, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	return show(gs), nil
}

// Watch sends each version that is seen. One that was overtaken may be left out.
func (s *Server) Watch(ctx context.Context, send func(*sdkpb.GameServer) error) error {
	for last := ""; ; {
		gs, gone, changed := s.seen()
		if gs != nil && gs.ResourceVersion != last {
			last = gs.ResourceVersion
			if err := send(show(gs)); err != nil {
				return err
			}
		}
		if gone {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// show writes a server as the SDK shows it.
func show(gs *v1.GameServer) *sdkpb.GameServer {
	h := gs.Spec.Health
	out := &sdkpb.GameServer{
		ObjectMeta: &sdkpb.GameServer_ObjectMeta{
			Name: gs.Name, Namespace: gs.Namespace, Uid: string(gs.UID), ResourceVersion: gs.ResourceVersion,
			Generation: gs.Generation, CreationTimestamp: gs.CreationTimestamp.Unix(),
			Annotations: gs.Annotations, Labels: gs.Labels,
		},
		Spec: &sdkpb.GameServer_Spec{Health: &sdkpb.GameServer_Spec_Health{
			Disabled: h.Disabled, PeriodSeconds: h.PeriodSeconds, FailureThreshold: h.FailureThreshold, InitialDelaySeconds: h.InitialDelaySeconds,
		}},
		Status: &sdkpb.GameServer_Status{State: gs.Status.State, Address: gs.Status.Address},
	}
	sdkserver.ShowCounts(out.Status, kube.Counts(gs))
	if !gs.DeletionTimestamp.IsZero() {
		out.ObjectMeta.DeletionTimestamp = gs.DeletionTimestamp.Unix()
	}
	for _, a := range gs.Status.Addresses {
		out.Status.Addresses = append(out.Status.Addresses, &sdkpb.GameServer_Status_Address{Type: string(a.Type), Address: a.Address})
	}
	for _, p := range gs.Status.Ports {
		out.Status.Ports = append(out.Status.Ports, &sdkpb.GameServer_Status_Port{Name: p.Name, Port: p.Port})
	}
	return out
}
