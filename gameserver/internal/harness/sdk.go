// Package harness is what surrounds a gate and a game server in tests: an Agones SDK
// server and an issuer of tokens, in memory and on real ports.
package harness

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/porttest"
	"torikumi/proto/agones/sdk"
	"torikumi/proto/agones/sdk/alpha"
	"torikumi/proto/agones/sdk/beta"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Names of the game server.
const (
	Namespace = "games"
	Name      = "arena-7"
)

// SDK is one game server with its SDK server, which has the faults that the real one
// can have. It is safe for concurrent use.
type SDK struct {
	sdk.UnimplementedSDKServer
	// Tracking is what it was told of players.
	Tracking *Tracking

	tb   testing.TB
	port int

	mu        sync.Mutex
	gs        *sdk.GameServer
	version   int
	watchers  map[*watcher]bool
	grpc      *grpc.Server
	served    chan struct{}
	blind     bool
	deaf      int
	forgetful int
	readies   int
	shutdowns int
	healths   int
	gets      int
}

// watcher is a stream of WatchGameServer, which sends each version: a state that did not last
// may be what a test is about.
type watcher struct {
	wake chan struct{}     // has room for one
	next []*sdk.GameServer // in order; the mu of SDK guards it
}

// StartSDK serves until the test ends.
func StartSDK(tb testing.TB) *SDK {
	s := &SDK{tb: tb, port: int(porttest.Hold(tb).Port()), Tracking: new(Tracking), watchers: map[*watcher]bool{}, gs: &sdk.GameServer{
		ObjectMeta: &sdk.GameServer_ObjectMeta{Name: Name, Namespace: Namespace, Uid: "uid-1", Labels: map[string]string{}, Annotations: map[string]string{}},
		Status:     &sdk.GameServer_Status{State: "Scheduled"},
	}}
	s.Restart()
	tb.Cleanup(s.Stop)
	return s
}

// Port is where the SDK listens, on localhost.
func (s *SDK) Port() int { return s.port }

// Restart serves on the same port again.
func (s *SDK) Restart() {
	s.tb.Helper()
	lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	if err != nil {
		s.tb.Fatal(err)
	}
	server := grpc.NewServer()
	sdk.RegisterSDKServer(server, s)
	beta.RegisterSDKServer(server, s.Tracking)
	alpha.RegisterSDKServer(server, &s.Tracking.players)
	served := make(chan struct{})
	s.mu.Lock()
	s.grpc, s.served = server, served
	s.mu.Unlock()
	go func() {
		defer close(served)
		_ = server.Serve(lis) // ends with Stop
	}()
}

// Stop breaks all connections.
func (s *SDK) Stop() {
	s.mu.Lock()
	server, served := s.grpc, s.served
	s.mu.Unlock()
	server.Stop()
	<-served
}

// Change changes the game server, and tells the watchers unless they are blind.
func (s *SDK) Change(f func(gs *sdk.GameServer)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.gs)
	s.version++
	s.gs.ObjectMeta.ResourceVersion = strconv.Itoa(s.version)
	if !s.blind {
		s.tell(s.gs)
	}
}

// tell sends a version to the watchers; mu is held.
func (s *SDK) tell(gs *sdk.GameServer) {
	for w := range s.watchers {
		w.next = append(w.next, proto.CloneOf(gs))
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Give allocates the server for a match, with or without a roster.
func (s *SDK) Give(match string, roster *torikumiv1.Roster) {
	s.tb.Helper()
	var text string
	if roster != nil {
		var err error
		if text, err = contract.EncodeRoster(roster); err != nil {
			s.tb.Fatal(err)
		}
	}
	s.Change(func(gs *sdk.GameServer) {
		gs.Status.State = "Allocated"
		gs.ObjectMeta.Labels[contract.MatchLabel] = match
		delete(gs.ObjectMeta.Annotations, contract.RosterAnnotation)
		if text != "" {
			gs.ObjectMeta.Annotations[contract.RosterAnnotation] = text
		}
	})
}

// SetState changes the state alone.
func (s *SDK) SetState(state string) {
	s.Change(func(gs *sdk.GameServer) { gs.Status.State = state })
}

// Late sends the watchers one changed copy of the game server, as it may have
// been before.
func (s *SDK) Late(f func(gs *sdk.GameServer)) {
	s.mu.Lock()
	late := proto.CloneOf(s.gs)
	f(late)
	s.tell(late)
	s.mu.Unlock()
}

// ResetVersion lets the versions begin anew.
func (s *SDK) ResetVersion() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version = 0
	s.gs.ObjectMeta.ResourceVersion = "0"
}

// Blind keeps changes from the watchers, as a watch that lags does.
func (s *SDK) Blind(blind bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blind = blind
}

// LoseShutdowns makes the next n Shutdown calls succeed without effect.
func (s *SDK) LoseShutdowns(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = n
}

// State returns the state now.
func (s *SDK) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gs.GetStatus().GetState()
}

// Watchers returns how many watch the game server.
func (s *SDK) Watchers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.watchers)
}

// Calls returns how many calls there have been.
func (s *SDK) Calls() (readies, healths, shutdowns, gets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.readies, s.healths, s.shutdowns, s.gets
}

// Ready implements the SDK.
func (s *SDK) Ready(context.Context, *sdk.Empty) (*sdk.Empty, error) {
	s.mu.Lock()
	s.readies++
	s.mu.Unlock()
	s.SetState("Ready")
	return &sdk.Empty{}, nil
}

// Shutdown implements the SDK.
func (s *SDK) Shutdown(context.Context, *sdk.Empty) (*sdk.Empty, error) {
	s.mu.Lock()
	s.shutdowns++
	deaf := s.shutdowns <= s.deaf
	s.mu.Unlock()
	if !deaf {
		s.SetState("Shutdown")
	}
	return &sdk.Empty{}, nil
}

// LoseAnnotations makes the next n SetAnnotation calls succeed without effect.
func (s *SDK) LoseAnnotations(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetful = n
}

// Annotation returns the value of an annotation now.
func (s *SDK) Annotation(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gs.GetObjectMeta().GetAnnotations()[name]
}

// SetAnnotation implements the SDK.
func (s *SDK) SetAnnotation(_ context.Context, kv *sdk.KeyValue) (*sdk.Empty, error) {
	s.mu.Lock()
	lost := s.forgetful > 0
	s.forgetful = max(s.forgetful-1, 0)
	s.mu.Unlock()
	if !lost {
		s.Change(func(gs *sdk.GameServer) { gs.ObjectMeta.Annotations[agones.SDKPrefix+kv.GetKey()] = kv.GetValue() })
	}
	return &sdk.Empty{}, nil
}

// Health implements the SDK.
func (s *SDK) Health(stream grpc.ClientStreamingServer[sdk.Empty, sdk.Empty]) error {
	for {
		if _, err := stream.Recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return stream.SendAndClose(&sdk.Empty{})
			}
			return err
		}
		s.mu.Lock()
		s.healths++
		s.mu.Unlock()
	}
}

// GetGameServer implements the SDK.
func (s *SDK) GetGameServer(context.Context, *sdk.Empty) (*sdk.GameServer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	return proto.CloneOf(s.gs), nil
}

// WatchGameServer implements the SDK.
func (s *SDK) WatchGameServer(_ *sdk.Empty, stream grpc.ServerStreamingServer[sdk.GameServer]) error {
	w := &watcher{wake: make(chan struct{}, 1)}
	s.mu.Lock()
	s.watchers[w] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}()
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case <-w.wake:
		}
		s.mu.Lock()
		next := w.next
		w.next = nil
		s.mu.Unlock()
		for _, gs := range next {
			if err := stream.Send(gs); err != nil {
				return err
			}
		}
	}
}

// Roster makes a roster of players; each is a team of their own.
func Roster(players ...string) *torikumiv1.Roster {
	r := &torikumiv1.Roster{OpenMatchId: "open-match:1", Queue: "session", Region: "eu"}
	for _, p := range players {
		r.Teams = append(r.Teams, &torikumiv1.Team{Name: "team-" + p, Members: []*torikumiv1.TeamMember{{PlayerId: p, TicketId: "t-" + p}}})
	}
	return r
}
