// Package played tells frontends whether matches that were assigned are still
// played: a player who plays is not to be matched again. It comes after the end of a
// match's way through the director, and changes nothing.
package played

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/servers"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// lag is longer than the followed game servers can be behind the API server:
	// younger matches are looked for there.
	lag = 10 * time.Second
	// allocated is the state of a game server with a match.
	allocated = "Allocated"
)

// Server serves torikumi.v1.MatchService. It is safe for concurrent use.
type Server struct {
	torikumiv1.UnimplementedMatchServiceServer
	// GameServers are nil if they cannot be found.
	GameServers servers.GameServers
	Queues      queues.Source
	Logger      *slog.Logger
}

// GetMatch implements the MatchService.
func (s *Server) GetMatch(ctx context.Context, req *torikumiv1.GetMatchRequest) (*torikumiv1.GetMatchResponse, error) {
	namespace, _, ok := strings.Cut(req.GetGameServer(), "/")
	switch queue, _ := s.Queues.Current().Get(req.GetQueue()); {
	case !ok || !contract.ValidLabelValue(namespace):
		return nil, status.Errorf(codes.InvalidArgument, "game_server: must be namespace/name, got %q", req.GetGameServer())
	case !contract.ValidLabelValue(req.GetMatchId()):
		return nil, status.Errorf(codes.InvalidArgument, "match_id: must be a label value, got %q", req.GetMatchId())
	case s.GameServers == nil:
		return nil, status.Error(codes.FailedPrecondition, "this director does not know the game servers")
	case queue.Allocation.Shared():
		return nil, status.Error(codes.FailedPrecondition, "game servers of this queue have several matches")
	}
	// One that is still learning of them has none.
	if of, ok := s.GameServers.(interface{ Seen() bool }); ok && !of.Seen() {
		return nil, status.Error(codes.Unavailable, "the game servers have not been seen yet")
	}
	found, err := s.GameServers.Find(ctx, namespace, req.GetMatchId())
	if err == nil && has(found, req) == nil && time.Since(req.GetAllocateTime().AsTime()) < lag {
		found, err = s.GameServers.List(ctx, namespace, map[string]string{contract.MatchLabel: req.GetMatchId()})
	}
	server := has(found, req)
	if server == nil && err != nil {
		s.Logger.WarnContext(ctx, "game servers cannot be read", "match", req.GetMatchId(), "error", err)
		return nil, status.Error(codes.Unavailable, "game servers cannot be read")
	}
	return &torikumiv1.GetMatchResponse{Playing: server != nil && place(server, req.GetPlayerId())}, nil
}

// has returns the game server of a match if it still has it.
func has(list []servers.Server, req *torikumiv1.GetMatchRequest) *servers.Server {
	i := slices.IndexFunc(list, func(s servers.Server) bool {
		return s.ID() == req.GetGameServer() && s.State == allocated && s.Labels[contract.MatchLabel] == req.GetMatchId()
	})
	if i < 0 {
		return nil
	}
	return &list[i]
}

// place reports whether a player is on the roster of a server; also if nobody can
// tell.
func place(s *servers.Server, player string) bool {
	roster, err := contract.DecodeRoster(s.Annotations[contract.RosterAnnotation])
	if err != nil || len(roster.GetTeams()) == 0 {
		return true
	}
	return slices.ContainsFunc(roster.GetTeams(), func(t *torikumiv1.Team) bool {
		return slices.ContainsFunc(t.GetMembers(), func(m *torikumiv1.TeamMember) bool { return m.GetPlayerId() == player })
	})
}
