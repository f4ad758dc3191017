package frontend_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestWhereAmI: a client that has crashed finds its player's tickets again, at any
// frontend, and nobody else's.
func TestWhereAmI(t *testing.T) {
	a, b, _ := replicasOf(t, `{queues: [
		{name: session, teams: [{name: a, players: 1}], skill: {attribute: skill, window: 1}, while_playing: true},
		{name: squad, teams: [{name: a, players: 5}], skill: {attribute: skill, window: 1}}]}`)
	list := func(s *harness, player string) []ticket {
		t.Helper()
		var out struct{ Tickets []ticket }
		decode(t, s.do(player, "GET", "/v1/tickets", ""), http.StatusOK, &out)
		return out.Tickets
	}
	if r := a.do("alice", "GET", "/v1/tickets", ""); r.code != http.StatusOK || strings.TrimSpace(r.body) != `{"tickets":[]}` {
		t.Errorf("nowhere: %d %s", r.code, r.body)
	}
	party := a.gather(`{"size":2}`)
	if got := list(b, "alice"); len(got) != 1 || got[0].ID != party.ID || got[0].State != "GATHERING" || got[0].Party.Code != party.Party.Code {
		t.Errorf("gathering: %+v", got)
	}
	a.join("bob", party.Party.Code)
	solo := a.do("bob", "POST", "/v1/tickets", `{"queue":"session"}`).ticket(t)
	if got := list(b, "bob"); len(got) != 2 || got[0].ID != solo.ID || got[1].ID != party.ID || got[1].State != "SEARCHING" {
		t.Errorf("bob searches twice: %+v", got)
	}
	a.director.announce(announcement(nil, a.om.one(t, party.ID).GetId()))
	b.await("bob", party.ID, "ASSIGNED")
	got := list(b, "bob")
	if len(got) != 2 || got[1].State != "ASSIGNED" || got[1].Server.Connection != "10.0.0.7:7001" || got[1].JoinToken == nil {
		t.Fatalf("bob plays: %+v", got)
	}
	a.checkJoin(got[1].JoinToken.JWT, "bob", "")
	a.do("bob", "DELETE", "/v1/tickets/"+solo.ID, "")
	if got := list(b, "bob"); len(got) != 1 || got[0].ID != party.ID {
		t.Errorf("bob plays alone: %+v", got)
	}
	if got := list(b, "eve"); len(got) != 0 {
		t.Errorf("eve: %+v", got)
	}
	if r := b.backend("GET", "/v1/tickets", ""); r.code != http.StatusForbidden {
		t.Errorf("a backend: %d %s", r.code, r.body)
	}
	conn, err := rpc.Dial(b.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+b.token("bob"))
	over, err := torikumiv1.NewFrontendServiceClient(conn).ListTickets(ctx, &torikumiv1.ListTicketsRequest{})
	if err != nil || len(over.GetTickets()) != 1 || over.GetTickets()[0].GetState() != torikumiv1.TicketState_ASSIGNED {
		t.Errorf("over gRPC: %v, %v", over, err)
	}
	a.director.setLives("m-1")
	if got := list(b, "bob"); len(got) != 1 || got[0].ID != party.ID {
		t.Errorf("bob, whose match lives: %+v", got)
	}
	a.director.setLives()
	eventually.True(t, "bob's match is over", func() bool { return len(list(b, "bob")) == 0 })
}
