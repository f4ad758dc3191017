//go:build unix

package test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"torikumi/local/suite"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestQueueReachesTheServer: a real game server and its gate get what the queue says of
// the match: labels, annotations, data with an attribute of the players, and how long to
// wait for them. Nobody comes, and the gate ends the server by that.
func TestQueueReachesTheServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(file, []byte(`queues:
- name: duel
  teams: [{name: a, players: 1}, {name: b, players: 1}]
  skill: {attribute: skill, window: 100}
  time_limits: {no_show: 20s}
  allocation:
    selectors: [{labels: {site: on-prem}}, {labels: {site: cloud}}]
    scheduling: Distributed
    metadata: {labels: {tier: ranked}, annotations: {studio.example.com/build: "12"}}
    match_data: {values: {map: arena}, attributes: [character, skill]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	logs := new(output)
	o := quiet(nil, logs)
	o.Queues, o.Ready, o.Max = file, 1, 4
	s, err := suite.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	conn, err := rpc.Dial(s.Addr(suite.Frontend).GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	players := torikumiv1.NewFrontendServiceClient(conn)
	servers := s.Fleet().Subscribe()
	t.Cleanup(servers.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	for _, player := range []string{"ann", "bob"} {
		as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+signIn(ctx, t, s, player))
		if _, err := players.CreateTicket(as, &torikumiv1.CreateTicketRequest{Queue: "duel", Players: []*torikumiv1.Player{{Attributes: map[string]*torikumiv1.Attribute{
			"skill":     {Value: &torikumiv1.Attribute_Number{Number: 1500}},
			"character": {Value: &torikumiv1.Attribute_String_{String_: player + "'s mage"}},
			"unread":    {Value: &torikumiv1.Attribute_String_{String_: "x"}},
		}}}}); err != nil {
			t.Fatal(err)
		}
	}
	name := ""
	for name == "" {
		e, err := servers.Next(ctx)
		if err != nil {
			t.Fatalf("no server was allocated: %v\n%s", err, logs)
		}
		label := e.Server.Labels[contract.MatchLabel]
		if label == "" {
			continue
		}
		name = e.Server.Name
		var data contract.MatchData
		if err := json.Unmarshal([]byte(e.Server.Annotations[contract.MatchDataAnnotation]), &data); err != nil {
			t.Fatal(err)
		}
		if data.Match != label || data.Queue != "duel" || data.Values["map"] != "arena" || len(data.Players) != 2 ||
			data.Players["ann"]["character"] != "ann's mage" || data.Players["bob"]["skill"] != 1500.0 || len(data.Players["bob"]) != 2 {
			t.Errorf("match data: %+v", data)
		}
		if e.Server.Labels["tier"] != "ranked" || e.Server.Labels["site"] != "on-prem" || e.Server.Annotations["studio.example.com/build"] != "12" {
			t.Errorf("server: %+v", e.Server)
		}
	}
	as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+signIn(ctx, t, s, "ann"))
	eventually.True(t, "ann plays, and may come with a new join token", func() bool {
		found, err := players.ListTickets(as, &torikumiv1.ListTicketsRequest{})
		return err == nil && len(found.GetTickets()) == 1 && found.GetTickets()[0].GetJoinToken().GetJwt() != ""
	})
	again := &torikumiv1.CreateTicketRequest{Queue: "duel"}
	if _, err := players.CreateTicket(as, again); status.Code(err) != codes.AlreadyExists || !strings.Contains(err.Error(), "plays") {
		t.Errorf("ann, who plays, searches: %v", err)
	}
	eventually.True(t, "the server ends, as nobody has come", func() bool {
		e, err := servers.Next(ctx)
		if err != nil {
			t.Fatalf("the server is there: %v\n%s", err, logs)
		}
		return e.Server.Name == name && e.Gone
	})
	eventually.True(t, "ann plays no more, and is nowhere", func() bool {
		found, err := players.ListTickets(as, &torikumiv1.ListTicketsRequest{})
		return err == nil && len(found.GetTickets()) == 0
	})
	if _, err := players.CreateTicket(as, again); err != nil {
		t.Errorf("ann searches again: %v", err)
	}
}
