//go:build unix

package test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"torikumi/local/demo"
	"torikumi/local/issuer"
	"torikumi/local/suite"
	"torikumi/pkg/contract"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// exampleQueues are the queues that the documentation shows.
var exampleQueues = filepath.Join("..", "docs", "examples", "queues.yaml")

// TestRuleSets plays the documentation's queues, two of which have rule sets,
// with real game servers: all players come into the server of their match.
func TestRuleSets(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Setenv("TMPDIR", t.TempDir())
	o := quiet(suite.InProcess{}, new(output))
	o.Queues = exampleQueues
	play(t, demo.Options{Players: 30, Seed: 3, Suite: o})
	eventually.NoError(t, "no goroutine is left", func() error { return goleak.Find(before) })
	empty(t, os.TempDir())
	noChildren(t)
}

// ruled is a suite with the documentation's queues and servers that exist only
// as addresses.
func ruled(t *testing.T) *suite.Suite {
	t.Helper()
	logs := new(output)
	o := quiet(nil, logs)
	o.Queues, o.Virtual, o.VirtualSession = exampleQueues, 20, patience
	s, err := suite.Start(t.Context(), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestWaitingPlayersHearWhy: a player of a rule-set queue who waits alone is
// told so, over gRPC, by the match function.
func TestWaitingPlayersHearWhy(t *testing.T) {
	s := ruled(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	conn, err := rpc.Dial(s.Addr(suite.Frontend).GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	players := torikumiv1.NewFrontendServiceClient(conn)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+signIn(ctx, t, s, "ann"))
	made, err := players.CreateTicket(ctx, &torikumiv1.CreateTicketRequest{Queue: "raid", Region: "eu", Players: []*torikumiv1.Player{{Attributes: map[string]*torikumiv1.Attribute{
		"skill": {Value: &torikumiv1.Attribute_Number{Number: 1500}}, "mode": {Value: &torikumiv1.Attribute_String_{String_: "night"}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := players.WatchTicket(ctx, &torikumiv1.WatchTicketRequest{TicketId: made.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	for made.GetReason() != "nobody else is waiting" {
		if made, err = watch.Recv(); err != nil {
			t.Fatalf("%v, last %v", err, made)
		}
	}
}

// TestBots: who waits alone in a queue with bots plays with them, and the game
// server reads how many there are. A ticket that the rule set cannot match is
// refused.
func TestBots(t *testing.T) {
	s := ruled(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	conn, err := rpc.Dial(s.Addr(suite.Frontend).GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	players := torikumiv1.NewFrontendServiceClient(conn)
	servers := s.Fleet().Subscribe()
	t.Cleanup(servers.Close)
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+signIn(ctx, t, s, "ann"))

	_, err = players.CreateTicket(ctx, &torikumiv1.CreateTicketRequest{Queue: "expedition", Region: "eu"})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("a ticket without roles: %v", err)
	}
	roles := &torikumiv1.Attribute{Value: &torikumiv1.Attribute_StringList_{StringList: &torikumiv1.Attribute_StringList{Values: []string{"healer"}}}}
	made, err := players.CreateTicket(ctx, &torikumiv1.CreateTicketRequest{Queue: "expedition", Region: "eu", Players: []*torikumiv1.Player{
		{Attributes: map[string]*torikumiv1.Attribute{"roles": roles}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	watch, err := players.WatchTicket(ctx, &torikumiv1.WatchTicketRequest{TicketId: made.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	for made.GetState() == torikumiv1.TicketState_SEARCHING {
		if made, err = watch.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if made.GetState() != torikumiv1.TicketState_ASSIGNED || made.GetServer().GetTeam() != "heroes" || made.GetJoinToken().GetJwt() == "" {
		t.Errorf("ticket: %v", made)
	}
	for {
		e, err := servers.Next(ctx)
		if err != nil {
			t.Fatalf("the server of the match: %v", err)
		}
		if e.Server.Labels[contract.MatchLabel] != made.GetServer().GetMatchId() {
			continue
		}
		roster, err := contract.DecodeRoster(e.Server.Annotations[contract.RosterAnnotation])
		if err != nil || len(roster.GetTeams()) != 1 || roster.GetTeams()[0].GetBots() != 3 || len(roster.GetTeams()[0].GetMembers()) != 1 {
			t.Errorf("roster: %v, %v", roster, err)
		}
		return
	}
}

func signIn(ctx context.Context, t *testing.T, s *suite.Suite, player string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.IssuerURL()+issuer.TokenPath, strings.NewReader(`{"player":"`+player+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("sign in: %v", err)
	}
	return answer.Token
}

// TestRuleSetTicketsOfAnotherFrontend: search fields are attributes too, so that
// existing Open Match clients are matched by a rule set, as their skill and
// their region allow.
func TestRuleSetTicketsOfAnotherFrontend(t *testing.T) {
	s := ruled(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	conn, err := rpc.Dial(s.Addr(suite.Minimatch).GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	om := openmatch.NewFrontendServiceClient(conn)
	create := func(region string, skill float64) string {
		made, err := om.CreateTicket(ctx, &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{SearchFields: &openmatch.SearchFields{
			Tags: []string{"mode.raid"}, DoubleArgs: map[string]float64{"skill": skill},
			StringArgs: map[string]string{"region": region, "mode": "conquest"},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return made.GetId()
	}
	// Any of these would do, but for one reason each.
	stranger, far := create("eu", 5000), create("us", 1500)
	match := ""
	var ids []string
	for range 4 {
		ids = append(ids, create("eu", 1500))
	}
	for _, id := range ids {
		watch, err := om.WatchAssignments(ctx, &openmatch.WatchAssignmentsRequest{TicketId: id})
		if err != nil {
			t.Fatal(err)
		}
		r, err := watch.Recv()
		for err == nil && r.GetAssignment().GetConnection() == "" {
			r, err = watch.Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
		d := new(torikumiv1.AssignmentDetails)
		if err := contract.Get(r.GetAssignment().GetExtensions(), contract.AssignmentExtension, d); err != nil {
			t.Fatal(err)
		}
		if match == "" {
			match = d.GetMatchId()
		}
		if d.GetMatchId() != match || d.GetRegion() != "eu" || len(d.GetTeams()) != 2 || len(d.GetTeams()[0].GetMembers()) != 2 || len(d.GetTeams()[1].GetMembers()) != 2 {
			t.Errorf("assignment: %v", d)
		}
	}
	for _, id := range []string{stranger, far} {
		if got, err := om.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: id}); err != nil || got.GetAssignment() != nil {
			t.Errorf("who breaks a rule got %v, %v", got, err)
		}
	}
}
