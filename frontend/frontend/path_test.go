package frontend_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"torikumi/pkg/contract"
	"torikumi/pkg/token"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const partyBody = `{"queue":"squad","region":"eu","players":[
	{"id":"alice","attributes":{"skill":{"number":1000},"role":{"string":"tank"}},"latencies":{"eu":20}},
	{"id":"bob","attributes":{"skill":{"number":2000}},"latencies":{"eu":40,"us":90}}]}`

func TestPartyFromPlayToJoinToken(t *testing.T) {
	s := start(t, nil)
	made := s.backend("POST", "/v1/tickets", partyBody).ticket(t)
	if made.State != "SEARCHING" || made.Server != nil || made.JoinToken != nil {
		t.Fatalf("new ticket: %+v", made)
	}
	om := s.om.one(t, made.ID)
	wantFields := &openmatch.SearchFields{
		Tags: []string{"mode.squad"}, DoubleArgs: map[string]float64{"skill": 1500, "latency": 40}, StringArgs: map[string]string{"region": "eu"},
	}
	if diff := cmp.Diff(wantFields, om.GetSearchFields(), protocmp.Transform()); diff != "" {
		t.Errorf("search fields (-want +got):\n%s", diff)
	}
	details, err := contract.TicketDetails(om)
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Until(details.GetExpireTime().AsTime()); d < 9*time.Minute || d > 11*time.Minute {
		t.Errorf("the ticket expires in %v", d)
	}
	if details.GetQueue() != "squad" || len(details.GetPlayers()) != 2 || details.GetPlayers()[0].GetId() != "alice" || details.GetFrontendTicketId() != made.ID {
		t.Errorf("details: %v", details)
	}

	waiting := make(chan reply, 1)
	raw := s.token("bob")
	go func() {
		r, err := s.try(t.Context(), raw, "GET", "/v1/tickets/"+made.ID+"/wait?timeout=60s", http.NoBody)
		if err != nil {
			r.body = err.Error()
		}
		waiting <- r
	}()
	s.director.announce(announcement([]*torikumiv1.Team{
		{Name: "east", Members: []*torikumiv1.TeamMember{{PlayerId: "alice"}}},
		{Name: "west", Members: []*torikumiv1.TeamMember{{PlayerId: "bob"}}},
	}, om.GetId()))
	bob := (<-waiting).ticket(t)
	alice := s.await("alice", made.ID, "ASSIGNED")
	if bob.State != "ASSIGNED" || bob.Server == nil || bob.Server.Connection != "10.0.0.7:7001" || bob.Server.IP != "10.0.0.7" ||
		bob.Server.Port != 7001 || bob.Server.MatchID != "m-1" || bob.Server.Ports["voice"] != 7002 || bob.Server.Team != "west" {
		t.Fatalf("bob's ticket: %+v %+v", bob, bob.Server)
	}
	s.checkJoin(bob.JoinToken.JWT, "bob", "west")
	s.checkJoin(alice.JoinToken.JWT, "alice", "east")
	if again := s.delivered("alice", made.ID); again.JoinToken.JWT == alice.JoinToken.JWT {
		t.Error("the same join token twice")
	}
	if read := s.get("alice", made.ID); read.JoinToken != nil || read.Server == nil || read.Server.Team != "east" {
		t.Errorf("read once more: %+v", read)
	}
	if r := s.do("eve", "GET", "/v1/tickets/"+made.ID, ""); r.code != http.StatusNotFound {
		t.Errorf("eve reads the ticket: %d", r.code)
	}
	// Both may search again, and bob ends his own search alone.
	other := s.backend("POST", "/v1/tickets", partyBody).ticket(t)
	if got := s.do("bob", "DELETE", "/v1/tickets/"+other.ID, "").ticket(t); got.State != "CANCELLED" {
		t.Errorf("cancelled by a member: %+v", got)
	}
	if r := s.do("bob", "GET", "/v1/tickets/"+other.ID, ""); r.code != http.StatusNotFound {
		t.Errorf("bob reads the ticket that he has left: %d", r.code)
	}
	if got := s.await("alice", other.ID, "SEARCHING"); len(got.Players) != 1 || got.Players[0].ID != "alice" {
		t.Errorf("what bob has left: %+v", got)
	}
	s.do("alice", "DELETE", "/v1/tickets/"+other.ID, "")
	if got := s.do("bob", "DELETE", "/v1/tickets/"+made.ID, "").ticket(t); got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Errorf("cancelled after the assignment: %+v", got)
	}
	if got := s.metric(`torikumi_frontend_tickets_total{queue="squad",state="ASSIGNED"}`); got != "1" {
		t.Errorf("metric of assigned tickets: %q", got)
	}
	if got := s.metric(`torikumi_frontend_tickets_waiting{queue="squad"}`); got != "0" {
		t.Errorf("metric of waiting tickets: %q", got)
	}
}

// checkJoin verifies a join token as a gate does, with the published keys.
func (s *harness) checkJoin(raw, player, team string) {
	s.t.Helper()
	keys, err := token.NewRemoteKeys(token.RemoteOptions{
		URL: s.url + token.JWKSPath, Algorithms: []token.Algorithm{token.ES256}, HTTPClient: s.client, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.VerifierOptions{Keys: keys, Algorithm: token.ES256, Issuer: frontendURL})
	if err != nil {
		s.t.Fatal(err)
	}
	claims, err := verifier.Verify(s.t.Context(), raw, token.Expectation{Audience: "gs:games/arena-1", MatchID: "m-1"})
	if err != nil {
		s.t.Fatalf("join token of %s: %v", player, err)
	}
	if claims.Subject != player || claims.Team != team || claims.Expiry.Sub(claims.IssuedAt) != s.cfg.JoinTokenLifetime {
		s.t.Errorf("join token of %s: %+v", player, claims)
	}
}

func TestJoinTokenOnRequest(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	path := "/v1/tickets/" + made.ID + "/join-token"
	if r := s.do("alice", "POST", path, ""); r.code != http.StatusConflict {
		t.Errorf("join token before the assignment: %d %s", r.code, r.body)
	}
	om := s.om.one(t, made.ID).GetId()
	s.director.announce(announcement(nil, om))
	s.await("alice", made.ID, "ASSIGNED")
	r := s.do("alice", "POST", path, "")
	var join struct{ JWT string }
	decode(t, r, http.StatusOK, &join)
	s.checkJoin(join.JWT, "alice", "")
	if r := s.do("eve", "POST", path, ""); r.code != http.StatusNotFound {
		t.Errorf("eve's join token: %d %s", r.code, r.body)
	}
}

// A foreign director assigns without our extension, and announces nothing.
func TestForeignDirector(t *testing.T) {
	s := start(t, func(c *settings) { c.ReconcileEvery = 5e6 })
	made := s.create("alice")
	s.om.assign(s.om.one(t, made.ID).GetId(), &openmatch.Assignment{Connection: "192.0.2.4:9000"})
	got := s.await("alice", made.ID, "ASSIGNED")
	if got.Server.IP != "192.0.2.4" || got.Server.Port != 9000 || got.Server.Connection != "192.0.2.4:9000" || got.JoinToken != nil {
		t.Errorf("ticket: %+v %+v", got, got.Server)
	}
	if r := s.do("alice", "POST", "/v1/tickets/"+made.ID+"/join-token", ""); r.code != http.StatusConflict {
		t.Errorf("join token: %d %s", r.code, r.body)
	}
}
