package matchmaker

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// knower is a director that answers to who plays, or cannot.
type knower struct {
	torikumiv1.UnimplementedMatchServiceServer
	playing bool
	code    codes.Code
}

func (k knower) GetMatch(context.Context, *torikumiv1.GetMatchRequest) (*torikumiv1.GetMatchResponse, error) {
	if k.code != codes.OK {
		return nil, status.Error(k.code, "cannot say")
	}
	return &torikumiv1.GetMatchResponse{Playing: k.playing}, nil
}

// asking makes a client that asks some directors.
func asking(t *testing.T, directors []knower) *Client {
	t.Helper()
	client := &Client{options: Options{DirectorTimeout: time.Minute}}
	for _, k := range directors {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server, served := grpc.NewServer(), make(chan struct{})
		torikumiv1.RegisterMatchServiceServer(server, k)
		go func() { defer close(served); _ = server.Serve(lis) }()
		conn, err := rpc.Dial(lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(); server.Stop(); <-served })
		client.directors.add(conn)
	}
	return client
}

// TestAskPlaying: the first director that knows is believed. Nobody knows for good only if
// every one says that it never will.
func TestAskPlaying(t *testing.T) {
	never, away, yes, no := knower{code: codes.FailedPrecondition}, knower{code: codes.Unavailable}, knower{playing: true}, knower{}
	for _, c := range []struct {
		directors            []knower
		playing, known, away bool
	}{
		{nil, false, false, true},
		{[]knower{never}, false, false, false},
		{[]knower{never, {code: codes.Unimplemented}}, false, false, false},
		{[]knower{away}, false, false, true},
		{[]knower{never, away}, false, false, true},
		{[]knower{away, never, never}, false, false, true},
		{[]knower{away, never, yes}, true, true, false},
		{[]knower{no, away}, false, true, false},
	} {
		t.Run(fmt.Sprint(c.directors), func(t *testing.T) {
			client := asking(t, c.directors)
			played := &ticket.Ticket{Assignment: &ticket.Assignment{Details: &torikumiv1.AssignmentDetails{MatchId: "m-1", GameServer: "games/arena-1"}}}
			playing, known, away := client.askPlaying(t.Context(), played, "alice")
			if playing != c.playing || known != c.known || away != c.away {
				t.Errorf("playing %v, known %v, away %v; want %v, %v, %v", playing, known, away, c.playing, c.known, c.away)
			}
		})
	}
}

// TestLives: a ticket is kept while somebody says that its match lives, and for a day while nobody
// answers who may know, also if it is for a reason that does not pass.
func TestLives(t *testing.T) {
	const young, old = longestMatch - time.Minute, longestMatch
	for _, c := range []struct {
		directors []knower
		age       time.Duration
		want      bool
	}{
		{nil, young, true},
		{nil, old, false},
		{[]knower{{code: codes.Unavailable}}, young, true},
		{[]knower{{code: codes.Unavailable}}, old, false},
		{[]knower{{code: codes.PermissionDenied}}, young, true},
		{[]knower{{code: codes.PermissionDenied}}, old, false},
		{[]knower{{code: codes.FailedPrecondition}}, young, false},
		{[]knower{{code: codes.Unavailable}, {playing: true}}, old, true},
		{[]knower{{playing: false}}, young, false},
	} {
		t.Run(fmt.Sprint(c.directors, c.age), func(t *testing.T) {
			played := &ticket.Ticket{
				Players: []*torikumiv1.Player{{Id: "alice"}}, Updated: time.Now().Add(-c.age),
				Assignment: &ticket.Assignment{Details: &torikumiv1.AssignmentDetails{MatchId: "m-1", GameServer: "games/arena-1"}},
			}
			if got := asking(t, c.directors).lives(t.Context(), played); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
