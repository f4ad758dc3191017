package played_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/director/internal/played"
	"torikumi/director/internal/servers"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// fleet has the game servers that are followed, and those that there are.
type fleet struct {
	servers.GameServers
	followed, there []servers.Server
	err             error
	seen            bool
	lists           int
}

func (f *fleet) Find(context.Context, string, string) ([]servers.Server, error) {
	return f.followed, f.err
}

func (f *fleet) List(_ context.Context, _ string, labels map[string]string) ([]servers.Server, error) {
	f.lists++
	if labels[contract.MatchLabel] != "m-1" {
		return nil, errors.New("not by the match")
	}
	return f.there, f.err
}

func (f *fleet) Seen() bool { return f.seen }

func server(name, state, match, roster string) servers.Server {
	return servers.Server{
		Namespace: "games", Name: name, State: state, Labels: map[string]string{contract.MatchLabel: match},
		Annotations: map[string]string{contract.RosterAnnotation: roster},
	}
}

// of is what a request is about.
type of struct{ match, server, queue, player string }

const roster = `{"teams":[{"name":"east","members":[{"player_id":"bob"}]},{"name":"west","members":[{"player_id":"alice"}]}]}`

var shared = func() *queues.Set {
	s, err := queues.Parse([]byte(`{queues: [{name: rooms, teams: [{name: a, players: 1}], skill: {attribute: skill, window: 1}, allocation: {
		selectors: [{state: Allocated, counters: {rooms: {min_available: 1}}}], counters: {rooms: {action: Increment, amount: 1}}}}]}`))
	if err != nil {
		panic(err)
	}
	return s
}()

// TestGetMatch: a player plays as long as the game server is Allocated for the match and
// the player is on its roster; what cannot be known is no answer.
func TestGetMatch(t *testing.T) {
	plays := server("arena-1", "Allocated", "m-1", roster)
	for name, c := range map[string]struct {
		fleet fleet
		req   of // what is empty is that of the match
		age   time.Duration
		want  bool
		code  codes.Code
		lists int
	}{
		"plays":                       {fleet: fleet{followed: []servers.Server{plays}}, want: true},
		"with a place on another":     {fleet: fleet{followed: []servers.Server{server("arena-2", "Allocated", "m-1", roster)}}},
		"another match":               {fleet: fleet{followed: []servers.Server{server("arena-1", "Allocated", "m-2", roster)}}},
		"the server shuts down":       {fleet: fleet{followed: []servers.Server{server("arena-1", "Shutdown", "m-1", roster)}}},
		"the server is Ready again":   {fleet: fleet{followed: []servers.Server{server("arena-1", "Ready", "m-1", roster)}}},
		"the server is gone":          {},
		"the place was given away":    {fleet: fleet{followed: []servers.Server{plays}}, req: of{player: "eve"}},
		"without a roster":            {fleet: fleet{followed: []servers.Server{server("arena-1", "Allocated", "m-1", "")}}, want: true},
		"with a roster of others":     {fleet: fleet{followed: []servers.Server{server("arena-1", "Allocated", "m-1", "{}")}}, want: true},
		"not seen yet":                {fleet: fleet{there: []servers.Server{plays}}, age: 9 * time.Second, want: true, lists: 1},
		"over soon after it began":    {age: 9 * time.Second, lists: 1},
		"long ago, and there":         {fleet: fleet{there: []servers.Server{plays}}, age: 11 * time.Second},
		"one cluster away, seen":      {fleet: fleet{followed: []servers.Server{plays}, err: errors.New("away")}, want: true},
		"one cluster away, not seen":  {fleet: fleet{err: errors.New("away")}, code: codes.Unavailable},
		"several matches on a server": {req: of{queue: "rooms"}, code: codes.FailedPrecondition},
		"a queue that is gone":        {fleet: fleet{followed: []servers.Server{plays}}, req: of{queue: "old"}, want: true},
		"no namespace":                {req: of{server: "arena-1"}, code: codes.InvalidArgument},
		"not a namespace":             {req: of{server: "a,b/arena-1"}, code: codes.InvalidArgument},
		"not a label":                 {req: of{match: "m-1,other=x"}, code: codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // no time passes in it
				c.fleet.seen = true
				req := &torikumiv1.GetMatchRequest{
					MatchId: cmp.Or(c.req.match, "m-1"), GameServer: cmp.Or(c.req.server, "games/arena-1"),
					Queue: cmp.Or(c.req.queue, "session"), PlayerId: cmp.Or(c.req.player, "alice"),
				}
				if c.age > 0 {
					req.AllocateTime = timestamppb.New(time.Now().Add(-c.age))
				}
				s := played.Server{GameServers: &c.fleet, Queues: shared, Logger: slog.New(slog.DiscardHandler)}
				got, err := s.GetMatch(t.Context(), req)
				if status.Code(err) != c.code || got.GetPlaying() != c.want || c.fleet.lists != c.lists {
					t.Errorf("playing %t, %v, after %d lists; want %t, %v, %d", got.GetPlaying(), err, c.fleet.lists, c.want, c.code, c.lists)
				}
				c.fleet.seen = false
				if _, err := s.GetMatch(t.Context(), req); c.code == codes.OK && status.Code(err) != codes.Unavailable {
					t.Errorf("before the game servers were seen: %v", err)
				}
				s.GameServers = nil
				if _, err := s.GetMatch(t.Context(), req); c.code == codes.OK && status.Code(err) != codes.FailedPrecondition {
					t.Errorf("without game servers: %v", err)
				}
			})
		})
	}
}
