package frontend_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// gather makes a ticket of alice's that waits for others, and returns it with its
// code.
func (s *harness) gather(party string) ticket {
	s.t.Helper()
	made := s.do("alice", "POST", "/v1/tickets",
		`{"queue":"squad","region":"eu","players":[{"attributes":{"skill":{"number":1000}},"latencies":{"eu":20}}],"party":`+party+`}`).ticket(s.t)
	if made.State != "GATHERING" || made.Party == nil || made.Party.Leader != "alice" || len(made.Party.Code) != 12 || made.Reason == "" {
		s.t.Fatalf("gathers: %+v %+v", made, made.Party)
	}
	return made
}

func (s *harness) join(player, code string) reply {
	s.t.Helper()
	return s.do(player, "POST", "/v1/parties/join", `{"code":"`+code+`","player":{"attributes":{"skill":{"number":2000}},"latencies":{"eu":40}}}`)
}

// TestPartyByConsent: a party is of those who joined it with their own tokens, and
// all of them are told the same of it, at whichever frontend they ask.
func TestPartyByConsent(t *testing.T) {
	a, b, _ := replicas(t)
	made := a.gather(`{"invited":["bob"]}`)
	if a.om.count() != 0 {
		t.Error("Open Match has a ticket of a party that is not complete")
	}
	// bob is not concerned before he joins: he may search alone, and sees nothing.
	alone := b.do("bob", "POST", "/v1/tickets", `{"queue":"squad"}`).ticket(t)
	if r := b.join("bob", made.Party.Code); r.code != http.StatusConflict || !strings.Contains(r.body, alone.ID) {
		t.Errorf("bob joins while he searches alone: %d %s", r.code, r.body)
	}
	b.do("bob", "DELETE", "/v1/tickets/"+alone.ID, "")
	if r := b.do("bob", "GET", "/v1/tickets/"+made.ID, ""); r.code != http.StatusNotFound {
		t.Errorf("bob sees the party before he has joined: %d", r.code)
	}
	events := b.events(t.Context(), "alice", made.ID)
	if got := events.ticket(); got.State != "GATHERING" || got.Party.Missing[0] != "bob" || got.Party.Code != made.Party.Code {
		t.Errorf("followed: %+v %+v", got, got.Party)
	}
	typed := strings.ToLower(made.Party.Code[:4] + "-" + made.Party.Code[4:8] + " " + made.Party.Code[8:])
	joined := b.join("bob", typed).ticket(t)
	if joined.ID != made.ID || joined.State != "SEARCHING" || len(joined.Players) != 2 || joined.Party.Code != "" {
		t.Errorf("bob has joined: %+v", joined)
	}
	if got := events.ticket(); got.State != "SEARCHING" || len(got.Players) != 2 || got.Party.Code != "" {
		t.Errorf("alice is told: %+v", got)
	}
	om := a.om.one(t, made.ID)
	details, err := contract.TicketDetails(om)
	if err != nil || len(details.GetPlayers()) != 2 || details.GetPlayers()[1].GetLatencies()["eu"] != 40 || om.GetSearchFields().GetDoubleArgs()["skill"] != 1500 {
		t.Errorf("in Open Match: %v, %v", om, err)
	}
	if again := a.join("bob", made.Party.Code).ticket(t); again.ID != made.ID {
		t.Errorf("bob asks again: %+v", again)
	}
	a.director.announce(announcement(nil, om.GetId()))
	for _, p := range []string{"alice", "bob"} {
		a.checkJoin(b.await(p, made.ID, "ASSIGNED").JoinToken.JWT, p, "")
	}
	if r := a.join("bob", made.Party.Code); r.code != http.StatusNotFound {
		t.Errorf("the code after the match: %d %s", r.code, r.body)
	}
}

// TestPartyTellsNothing: whoever may not join a party is told the same as of none.
func TestPartyTellsNothing(t *testing.T) {
	s := start(t, nil)
	none := s.join("eve", "AAAAAAAAAAAA")
	if none.code != http.StatusNotFound {
		t.Fatalf("no such code: %d %s", none.code, none.body)
	}
	same := func(what string, r reply) {
		t.Helper()
		if r.code != none.code || r.body != none.body {
			t.Errorf("%s: %d %s, want the same as for no party", what, r.code, r.body)
		}
	}
	closed := s.gather(`{"invited":["bob"]}`)
	same("not invited", s.join("eve", closed.Party.Code))
	if r := s.do("alice", "DELETE", "/v1/tickets/"+closed.ID, "").ticket(t); r.State != "CANCELLED" || r.Party.Code != "" {
		t.Errorf("cancelled: %+v", r)
	}
	same("cancelled", s.join("bob", closed.Party.Code))

	open := s.gather(`{"size":2}`)
	if got := s.join("mallory", open.Party.Code).ticket(t); got.State != "SEARCHING" {
		t.Errorf("mallory: %+v", got)
	}
	same("full", s.join("eve", open.Party.Code))
	path := "/v1/tickets/" + open.ID + "/players/"
	if r := s.do("mallory", "DELETE", path+"alice", ""); r.code != http.StatusForbidden {
		t.Errorf("mallory removes the leader: %d %s", r.code, r.body)
	}
	gone := s.do("mallory", "GET", "/v1/tickets/"+open.ID+"/wait?timeout=1ms", "")
	if gone.code != http.StatusOK {
		t.Errorf("mallory waits: %d", gone.code)
	}
	if r := s.do("alice", "DELETE", path+"mallory", ""); r.code != http.StatusOK {
		t.Errorf("removed: %d %s", r.code, r.body)
	}
	for _, p := range []string{"mallory", "eve"} {
		r := s.do(p, "GET", "/v1/tickets/"+open.ID, "")
		if nothing := s.do(p, "GET", "/v1/tickets/none", ""); r.code != http.StatusNotFound || r.body != nothing.body {
			t.Errorf("%s reads: %d %s", p, r.code, r.body)
		}
	}
	if r := s.do("alice", "DELETE", path+"nobody", ""); r.code != http.StatusNotFound {
		t.Errorf("nobody removed: %d %s", r.code, r.body)
	}
}

// TestPartyShrinks: who leaves while the party searches leaves alone, and Open Match
// hears of the others only.
func TestPartyShrinks(t *testing.T) {
	s := start(t, nil)
	made := s.gather(`{"size":2}`)
	s.join("bob", made.Party.Code).ticket(t)
	first := s.om.one(t, made.ID).GetId()
	events := s.events(t.Context(), "bob", made.ID)
	if got := events.ticket(); got.State != "SEARCHING" {
		t.Errorf("bob follows: %+v", got)
	}
	if r := s.do("bob", "DELETE", "/v1/tickets/"+made.ID+"/players/bob", ""); r.code != http.StatusOK || strings.TrimSpace(r.body) != "{}" {
		t.Fatalf("bob leaves: %d %s", r.code, r.body)
	}
	if got := events.event(); got["event"] != "problem" || !strings.Contains(got["data"], "404") {
		t.Errorf("bob's stream: %v", got)
	}
	eventually.True(t, "Open Match has the other's ticket alone", func() bool {
		now := s.om.find(made.ID)
		return len(now) == 1 && now[0].GetId() != first
	})
	details, err := contract.TicketDetails(s.om.one(t, made.ID))
	if err != nil || len(details.GetPlayers()) != 1 || details.GetPlayers()[0].GetId() != "alice" {
		t.Errorf("in Open Match: %v, %v", details, err)
	}
	s.director.announce(announcement(nil, first)) // a match with the ticket of before
	s.do("bob", "POST", "/v1/tickets", `{"queue":"squad"}`).ticket(t)
	if got := s.get("alice", made.ID); got.State != "SEARCHING" || len(got.Players) != 1 {
		t.Errorf("alice: %+v", got)
	}
	if r := s.do("alice", "DELETE", "/v1/tickets/"+made.ID+"/players/alice", ""); r.code != http.StatusOK {
		t.Errorf("the leader leaves: %d %s", r.code, r.body)
	}
	if got := s.get("alice", made.ID); got.State != "CANCELLED" {
		t.Errorf("without its leader: %+v", got)
	}
	if r := s.do("alice", "DELETE", "/v1/tickets/"+made.ID+"/players/alice", ""); r.code != http.StatusConflict {
		t.Errorf("leaves what has ended: %d %s", r.code, r.body)
	}
}

// TestPartyOverGRPC: the same calls and states over gRPC; start searches with those
// who are there.
func TestPartyOverGRPC(t *testing.T) {
	s := start(t, nil)
	conn, err := rpc.Dial(s.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := torikumiv1.NewFrontendServiceClient(conn)
	as := func(player string) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token(player))
	}
	made, err := client.CreateTicket(as("alice"), &torikumiv1.CreateTicketRequest{
		Queue: "squad", Party: &torikumiv1.PartyRequest{Size: 2, Invited: []string{"bob"}},
	})
	if err != nil || made.GetState() != torikumiv1.TicketState_GATHERING {
		t.Fatalf("%v, %v", made, err)
	}
	stream, err := client.WatchTicket(as("alice"), &torikumiv1.WatchTicketRequest{TicketId: made.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(state torikumiv1.TicketState, players int) {
		t.Helper()
		got, err := stream.Recv()
		if err != nil || got.GetState() != state || len(got.GetPlayers()) != players {
			t.Fatalf("%v, %v; want %v of %d", got, err, state, players)
		}
	}
	expect(torikumiv1.TicketState_GATHERING, 1)
	if _, err := client.StartTicket(as("bob"), &torikumiv1.StartTicketRequest{TicketId: made.GetId()}); status.Code(err) != codes.NotFound {
		t.Errorf("bob starts before he has joined: %v", err)
	}
	// The invitation is taken back: nobody is waited for.
	if _, err := client.RemovePlayer(as("alice"), &torikumiv1.RemovePlayerRequest{TicketId: made.GetId(), PlayerId: "bob"}); err != nil {
		t.Fatal(err)
	}
	expect(torikumiv1.TicketState_SEARCHING, 1)
	if _, err := client.JoinParty(as("bob"), &torikumiv1.JoinPartyRequest{Code: made.GetParty().GetCode()}); status.Code(err) != codes.NotFound {
		t.Errorf("bob comes back: %v", err)
	}
	if _, err := client.CancelTicket(as("alice"), &torikumiv1.CancelTicketRequest{TicketId: made.GetId()}); err != nil {
		t.Fatal(err)
	}
	expect(torikumiv1.TicketState_CANCELLED, 1)

	if made, err = client.CreateTicket(as("alice"), &torikumiv1.CreateTicketRequest{Queue: "squad", Party: &torikumiv1.PartyRequest{Size: 2}}); err != nil {
		t.Fatal(err)
	}
	started, err := client.StartTicket(as("alice"), &torikumiv1.StartTicketRequest{TicketId: made.GetId()})
	if err != nil || started.GetState() != torikumiv1.TicketState_SEARCHING || started.GetParty().GetSize() != 1 {
		t.Errorf("started: %v, %v", started, err)
	}
	s.om.one(t, made.GetId())
}

// TestPartyIsNotComplete: its time is over, and everybody is free again.
func TestPartyIsNotComplete(t *testing.T) {
	s := start(t, func(c *settings) { c.PartyTimeout = 300 * time.Millisecond })
	made := s.gather(`{"size":2}`)
	const why = "the party did not gather in time"
	if got := s.await("alice", made.ID, "EXPIRED"); got.Reason != why {
		t.Errorf("expired: %+v", got)
	}
	if got := s.events(t.Context(), "alice", made.ID).ticket(); got.Reason != why {
		t.Errorf("event: %+v", got)
	}
	conn, err := rpc.Dial(s.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token("alice"))
	got, err := torikumiv1.NewFrontendServiceClient(conn).GetTicket(ctx, &torikumiv1.GetTicketRequest{TicketId: made.ID})
	if err != nil || got.GetReason() != why {
		t.Errorf("over gRPC: %v, %v", got, err)
	}
	s.gather(`{"size":2}`)
	if s.om.count() != 0 {
		t.Error("Open Match has tickets")
	}
}

// TestPartyWithoutOpenMatch: a party that is complete while Open Match is away stays,
// and searches when that is back.
func TestPartyWithoutOpenMatch(t *testing.T) {
	s := start(t, nil)
	made := s.gather(`{"size":2}`)
	s.om.setRefuse(status.Error(codes.Unavailable, "away"))
	if got := s.join("bob", made.Party.Code).ticket(t); got.State != "SEARCHING" || got.Reason == "" {
		t.Errorf("joined: %+v", got)
	}
	s.om.setRefuse(nil)
	eventually.True(t, "Open Match has the ticket", func() bool { return len(s.om.find(made.ID)) == 1 })
	eventually.True(t, "it waits", func() bool { return s.get("bob", made.ID).Reason == "" })
}

// TestPartyRace: many join at once, at two frontends; as many get in as there are
// places, and Open Match gets one ticket.
func TestPartyRace(t *testing.T) {
	a, b, _ := replicas(t)
	for range 5 {
		made := a.gather(`{"size":2}`)
		var in atomic.Int32
		var work sync.WaitGroup
		for i := range 8 {
			s, raw := []*harness{a, b}[i%2], a.token(fmt.Sprint("p", i))
			work.Go(func() {
				r, err := s.try(t.Context(), raw, "POST", "/v1/parties/join", strings.NewReader(`{"code":"`+made.Party.Code+`"}`))
				switch {
				case err == nil && r.code == http.StatusOK:
					in.Add(1)
				case err != nil || r.code != http.StatusNotFound:
					t.Errorf("p%d: %v %d %s", i, err, r.code, r.body)
				}
			})
		}
		work.Wait()
		if got := a.get("alice", made.ID); in.Load() != 1 || len(got.Players) != 2 || got.State != "SEARCHING" {
			t.Errorf("%d joined: %+v", in.Load(), got)
		}
		a.om.one(t, made.ID)
		b.do("alice", "DELETE", "/v1/tickets/"+made.ID, "")
	}
}

// TestCodesCannotBeGuessed: a player may try some codes, and then has to wait.
func TestCodesCannotBeGuessed(t *testing.T) {
	s := start(t, nil)
	made := s.gather(`{"size":2}`)
	last, begin, asked, tried := reply{}, time.Now(), time.Time{}, 0
	for ; last.code != http.StatusTooManyRequests; tried++ {
		// More come with time.
		if most := api.CodeBurst + int(time.Since(begin)/api.CodeInterval); tried > most {
			t.Fatalf("eve has tried %d codes, want at most %d", tried, most)
		}
		asked = time.Now()
		last = s.join("eve", fmt.Sprintf("GUESS%07d", tried))
	}
	again, err := strconv.Atoi(last.header.Get("Retry-After"))
	if err != nil || again < 1 || again > 6 || !strings.Contains(last.body, "too_many_codes") || tried <= api.CodeBurst {
		t.Errorf("after %d codes: %d %v %s", tried-1, last.code, last.header, last.body)
	}
	r := s.join("eve", made.Party.Code)
	if r.code != http.StatusTooManyRequests {
		if early := time.Duration(again-1) * time.Second; time.Since(asked) < early {
			t.Errorf("the right one: %d", r.code)
		}
		return // another try has come with time, and the party is full
	}
	s.join("bob", made.Party.Code).ticket(t)
}

// TestServiceToken: a backend posts whole parties, and sees and ends tickets, but
// is nobody's player.
func TestServiceToken(t *testing.T) {
	s := start(t, nil)
	made := s.backend("POST", "/v1/tickets", partyBody).ticket(t)
	if made.State != "SEARCHING" || made.Party != nil || len(made.Players) != 2 {
		t.Errorf("posted: %+v", made)
	}
	s.director.announce(announcement(nil, s.om.one(t, made.ID).GetId()))
	s.await("bob", made.ID, "ASSIGNED")
	if got := s.backend("GET", "/v1/tickets/"+made.ID, "").ticket(t); got.State != "ASSIGNED" || got.JoinToken != nil {
		t.Errorf("read: %+v", got)
	}
	for _, c := range [][3]string{
		{"POST", "/v1/tickets/" + made.ID + "/join-token", ""},
		{"POST", "/v1/parties/join", `{"code":"X"}`},
		{"GET", "/play/eu", ""},
	} {
		if r := s.backend(c[0], c[1], c[2]); r.code != http.StatusForbidden || !strings.Contains(r.body, "player_only") {
			t.Errorf("%s %s: %d %s", c[0], c[1], r.code, r.body)
		}
	}
	if r := s.do("bob", "POST", "/v1/tickets", partyBody); r.code != http.StatusBadRequest {
		t.Errorf("a player posts a party: %d %s", r.code, r.body)
	}
	// A member leaves; nobody leads such a party.
	made = s.backend("POST", "/v1/tickets", partyBody).ticket(t)
	if r := s.do("alice", "DELETE", "/v1/tickets/"+made.ID+"/players/bob", ""); r.code != http.StatusForbidden {
		t.Errorf("alice removes bob: %d %s", r.code, r.body)
	}
	if r := s.do("bob", "DELETE", "/v1/tickets/"+made.ID+"/players/bob", ""); r.code != http.StatusOK {
		t.Errorf("bob leaves: %d %s", r.code, r.body)
	}
	if got := s.backend("DELETE", "/v1/tickets/"+made.ID, "").ticket(t); got.State != "CANCELLED" || len(got.Players) != 1 {
		t.Errorf("ended: %+v", got)
	}
}
