package attach

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	sdkpb "torikumi/proto/agones/sdk"
)

// step is what is done for one GameServer.
type step struct {
	*attachment
	gs   *v1.GameServer
	gate func() // ends the gate; nil: there is none yet
	said News
	mark string // the last that was seen

	hosting chan struct{} // closed when it can have players

	played bool // it had a match
	over   bool // its state is one of an end

	// mu is held while the label is written by which matches are sent to the server: the
	// SDK's calls come from the game server.
	mu     sync.Mutex
	wanted bool // the server takes a match as soon as it has a gate
	gated  bool
	ended  bool
}

// see does what a new version of the GameServer asks for.
func (s *step) see(ctx context.Context, gs *sdkpb.GameServer) error {
	state, labels := gs.GetStatus().GetState(), gs.GetObjectMeta().GetLabels()
	// What renew has written comes back: the cluster hears of the server, and is heard.
	if mark := gs.GetObjectMeta().GetAnnotations()[renewedAnnotation]; mark != s.mark {
		s.mark = mark
		s.troubles.over()
	}
	if s.gate == nil && hosts(state) {
		close(s.hosting)
		server := Server{Namespace: s.gs.Namespace, Name: s.gs.Name, SDKGRPC: s.sdk.GRPC, SDKHTTP: s.sdk.HTTP, Gate: s.fleet.gate}
		stop, err := s.o.Gate(ctx, server, func(err error) { s.fail(fmt.Errorf("the gate: %w", err)) })
		if err != nil {
			return fmt.Errorf("start the gate: %w", err)
		}
		s.gate = stop
		if err := s.hasGate(ctx); err != nil {
			return err
		}
	}
	news := News{Name: s.gs.Name, State: state, Match: labels[contract.MatchLabel], Open: labels[contract.AllocatableLabel] == "true"}
	if gs.GetObjectMeta().GetDeletionTimestamp() != 0 && state != agones.Shutdown && state != agones.Unhealthy {
		news.State = Deleted
	}
	// That it is Allocated may have been overtaken.
	s.played = s.played || state == agones.Allocated || gs.GetObjectMeta().GetAnnotations()[agones.LastAllocatedAnnotation] != ""
	if news != s.said {
		s.said = news
		s.tell(news)
	}
	switch news.State {
	case agones.Shutdown, agones.Unhealthy, Deleted:
		s.over = true
		return errOver
	case agones.Error:
		s.over = true
		return fmt.Errorf("the cluster has put GameServer %s/%s into the state Error: %s", s.gs.Namespace, s.gs.Name, s.o.Cluster.warnings(ctx, s.gs))
	}
	return nil
}

// wait says when the cluster is slow to make the server Ready: it may have no controller.
func (s *step) wait(ctx context.Context) error {
	patience := time.NewTimer(s.o.Times.Patience)
	defer patience.Stop()
	select {
	case <-s.hosting:
	case <-ctx.Done():
	case <-patience.C:
		s.tell(News{Name: s.gs.Name, State: Waiting})
	}
	return nil
}

// hosts reports whether a server in a state has players, or may get some: it needs a gate.
// One that was never seen Ready does too, as a match may come faster than the news.
func hosts(state string) bool {
	return state == agones.Ready || state == agones.Allocated || state == agones.Reserved
}

// hasGate opens the server, unless that is for the game server to say.
func (s *step) hasGate(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gated = true
	if !s.wanted {
		return nil
	}
	return s.open(ctx)
}

// saidReady is SDK.Ready. Agones has the server Ready from its beginning; that it is open is
// what is left to say. Without a gate it would refuse its players: see opens it then.
func (s *step) saidReady(ctx context.Context) error {
	if !s.o.WaitReady {
		return nil // it would end a match that is there already
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = true
	if !s.gated || s.ended {
		return nil
	}
	return s.open(ctx)
}

// open lets the next match be sent to the server.
func (s *step) open(ctx context.Context) error {
	labels := maps.Clone(s.fleet.labels)
	labels[contract.AllocatableLabel] = cmp.Or(labels[contract.AllocatableLabel], "true")
	if _, err := s.o.Cluster.patch(ctx, s.gs, map[string]any{"labels": labels}); err != nil {
		return s.o.Cluster.explain(fmt.Errorf("label the GameServer: %w", err))
	}
	s.opened.Store(true)
	return nil
}

// end stops the gate. Before that no match can be sent to the server any more: its players
// would find no gate.
func (s *step) end(ctx context.Context) {
	s.close(ctx)
	s.now.set(nil, nil)
	if s.gate != nil {
		s.gate()
	}
}

// close takes away what open has written, also when ctx is over.
func (s *step) close(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.over || !s.gated {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), detachTimeout)
	defer cancel()
	gs, err := s.o.Cluster.patch(ctx, s.gs, map[string]any{"labels": map[string]any{contract.AllocatableLabel: nil}})
	switch {
	case s.said.State == agones.Allocated: // no other match is sent to it
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // nor to one that is gone
	case err != nil:
		s.o.Logger.Warn("until the GameServer is deleted a match can be sent to it, which has no gate then", "gameserver", s.gs.Name, "error", s.o.Cluster.explain(err))
	case gs.Status.State == agones.Allocated: // the match came as the server was on its way out
		s.said = News{Name: gs.Name, State: gs.Status.State, Match: gs.Labels[contract.MatchLabel]}
		s.tell(s.said)
	}
}
