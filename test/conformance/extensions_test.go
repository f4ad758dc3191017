package conformance_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// extension packs one of our messages.
func extension(t *testing.T, name string, m proto.Message) map[string]*anypb.Any {
	t.Helper()
	var extensions map[string]*anypb.Any
	if err := contract.Put(&extensions, name, m); err != nil {
		t.Fatal(err)
	}
	return extensions
}

// same fails unless the extension holds want.
func same(t *testing.T, extensions map[string]*anypb.Any, name string, want proto.Message) {
	t.Helper()
	got := want.ProtoReflect().New().Interface()
	if err := contract.Get(extensions, name, got); err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

// jsonOf is m as a REST client writes it.
func jsonOf(t *testing.T, m proto.Message) string {
	t.Helper()
	b, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// exchange makes a REST call and reads the answer, or the last message of a stream,
// into m. The body is a message, or nil for none.
func exchange(t *testing.T, method, url string, body, m proto.Message) {
	t.Helper()
	var content string
	if body != nil {
		content = jsonOf(t, body)
	}
	code, answer := request(t, method, url, content)
	if code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, url, code, answer)
	}
	read(t, answer, m)
}

// read reads a message, or the last of a stream, as a REST client does that
// knows the well-known types alone.
func read(t *testing.T, answer string, m proto.Message) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(answer), "\n")
	last := lines[len(lines)-1]
	if rest, ok := strings.CutPrefix(last, `{"result":`); ok {
		last = strings.TrimSuffix(rest, "}")
	}
	if err := protojson.Unmarshal([]byte(last), m); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
}

var (
	ourTicket = &torikumiv1.TicketDetails{Queue: "arena", Players: []*torikumiv1.Player{{Id: "p",
		Attributes: map[string]*torikumiv1.Attribute{"skill": {Value: &torikumiv1.Attribute_Number{Number: 1500}}}}}}
	ourProfile = &torikumiv1.ProfileDetails{Queue: "arena", Rules: &torikumiv1.ProfileDetails_RuleSet{RuleSet: "{}"}}
	ourTeams   = []*torikumiv1.Team{{Name: "red", Members: []*torikumiv1.TeamMember{{PlayerId: "p", TicketId: "t"}}}}
	ourMatch   = &torikumiv1.MatchDetails{Queue: "arena", Region: "eu", Teams: ourTeams, Score: 0.5, MinPlayers: 1}
	ourPlace   = &torikumiv1.AssignmentDetails{MatchId: "m-1", GameServer: "default/a", Address: "203.0.113.1", Port: 7654,
		Ports: map[string]int32{"default": 7654}, Queue: "arena", Region: "eu", Teams: ourTeams}
	ourBackfill = &torikumiv1.BackfillDetails{Queue: "arena", Teams: []*torikumiv1.BackfillTeam{{Name: "red"}}}
)

func TestRESTOurTicketAndAssignment(t *testing.T) {
	om := start(t)
	om.rest()
	made := new(openmatch.Ticket)
	exchange(t, "POST", om.frontendURL+"tickets", &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{
		SearchFields: &openmatch.SearchFields{Tags: []string{om.name}},
		Extensions:   extension(t, contract.TicketExtension, ourTicket)}}, made)
	same(t, made.GetExtensions(), contract.TicketExtension, ourTicket)
	stored, err := om.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: made.GetId()})
	if err != nil {
		t.Fatal(err)
	}
	same(t, stored.GetExtensions(), contract.TicketExtension, ourTicket)
	var page openmatch.QueryTicketsResponse
	exchange(t, "POST", om.queryURL+"tickets:query", &openmatch.QueryTicketsRequest{Pool: om.pool()}, &page)
	if len(page.GetTickets()) != 1 {
		t.Fatalf("got %v", &page)
	}
	same(t, page.GetTickets()[0].GetExtensions(), contract.TicketExtension, ourTicket)

	watched := make(chan string, 1)
	go func() { watched <- firstLine(t, om.frontendURL+"tickets/"+made.GetId()+"/assignments") }()
	exchange(t, "POST", om.backendURL+"tickets:assign", &openmatch.AssignTicketsRequest{Assignments: []*openmatch.AssignmentGroup{{
		TicketIds: []string{made.GetId()}, Assignment: &openmatch.Assignment{Connection: "203.0.113.1:7654",
			Extensions: extension(t, contract.AssignmentExtension, ourPlace)}}}}, new(openmatch.AssignTicketsResponse))
	var watch openmatch.WatchAssignmentsResponse
	read(t, <-watched, &watch)
	same(t, watch.GetAssignment().GetExtensions(), contract.AssignmentExtension, ourPlace)

	_, answer := request(t, "GET", om.frontendURL+"tickets/"+made.GetId(), "")
	place := object(t, answer)
	for _, name := range []string{"assignment", "extensions", contract.AssignmentExtension, "value", "ports"} {
		place, _ = place[name].(map[string]any)
	}
	if place["default"] != 7654.0 {
		t.Errorf("the port is not in %s", answer)
	}
	exchange(t, "DELETE", om.frontendURL+"tickets/"+made.GetId(), nil, new(openmatch.Ticket))
}

func TestRESTOurBackfill(t *testing.T) {
	om := start(t)
	om.rest()
	made := new(openmatch.Backfill)
	exchange(t, "POST", om.frontendURL+"backfills", &openmatch.CreateBackfillRequest{Backfill: &openmatch.Backfill{
		SearchFields: &openmatch.SearchFields{Tags: []string{om.name}},
		Extensions:   extension(t, contract.BackfillExtension, ourBackfill)}}, made)
	same(t, made.GetExtensions(), contract.BackfillExtension, ourBackfill)
	var page openmatch.QueryBackfillsResponse
	exchange(t, "POST", om.queryURL+"backfills:query", &openmatch.QueryBackfillsRequest{Pool: om.pool()}, &page)
	if len(page.GetBackfills()) != 1 {
		t.Fatalf("got %v", &page)
	}
	same(t, page.GetBackfills()[0].GetExtensions(), contract.BackfillExtension, ourBackfill)
	exchange(t, "DELETE", om.frontendURL+"backfills/"+made.GetId(), nil, new(openmatch.Backfill))
}

// proposeOverREST serves a match function over REST that finds the tickets over
// REST, and proposes a match of each with our details and those of extra.
func (om *openMatch) proposeOverREST(t *testing.T, profile *openmatch.MatchProfile, extra map[string]*anypb.Any) *openmatch.FetchMatchesRequest {
	req := om.restFunction(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var run openmatch.RunRequest
		if err := protojson.Unmarshal(body, &run); err != nil {
			t.Errorf("%s: %v", body, err)
			return
		}
		proto.Merge(profile, run.GetProfile())
		_, answer := request(t, "POST", om.queryURL+"tickets:query", jsonOf(t, &openmatch.QueryTicketsRequest{Pool: om.pool()}))
		var page openmatch.QueryTicketsResponse
		read(t, answer, &page)
		for i, ticket := range page.GetTickets() {
			m := om.match(fmt.Sprint(i), ticket)
			m.Extensions = extension(t, contract.MatchExtension, ourMatch)
			maps.Copy(m.Extensions, extra)
			fmt.Fprint(w, asJSON(m))
		}
	})
	req.Profile.Extensions = extension(t, contract.ProfileExtension, ourProfile)
	return req
}

// fetchOverREST returns the fetched matches.
func (om *openMatch) fetchOverREST(t *testing.T, req *openmatch.FetchMatchesRequest) (matches []*openmatch.Match) {
	t.Helper()
	code, answer := request(t, "POST", om.backendURL+"matches:fetch", jsonOf(t, req))
	if code != http.StatusOK {
		t.Errorf("%d %s", code, answer)
		return nil
	}
	for line := range strings.Lines(answer) {
		var fetched openmatch.FetchMatchesResponse
		read(t, line, &fetched)
		matches = append(matches, fetched.GetMatch())
	}
	return matches
}

func TestRESTOurMatch(t *testing.T) {
	om := start(t)
	om.rest()
	om.expectOurMatch(t)
}

func TestRESTOurMatchEvaluatedOverREST(t *testing.T) {
	om := startEvaluatedOverREST(t)
	om.expectOurMatch(t)
}

// startEvaluatedOverREST is start with an evaluator over REST that accepts all.
func startEvaluatedOverREST(t *testing.T) *openMatch {
	return startWithREST(t, func(w http.ResponseWriter, _ *http.Request, ids []string) {
		for _, id := range ids {
			fmt.Fprintf(w, "{\"result\":{\"match_id\":%q}}\n", id)
		}
	})
}

func (om *openMatch) expectOurMatch(t *testing.T) {
	t.Helper()
	om.ticketWith(t, extension(t, contract.TicketExtension, ourTicket))
	asked := new(openmatch.MatchProfile)
	matches := om.fetchOverREST(t, om.proposeOverREST(t, asked, nil))
	same(t, asked.GetExtensions(), contract.ProfileExtension, ourProfile)
	if len(matches) != 1 || len(matches[0].GetTickets()) != 1 {
		t.Fatalf("got %v", matches)
	}
	same(t, matches[0].GetExtensions(), contract.MatchExtension, ourMatch)
	same(t, matches[0].GetTickets()[0].GetExtensions(), contract.TicketExtension, ourTicket)
}

// ticketWith is ticket with extensions.
func (om *openMatch) ticketWith(t *testing.T, extensions map[string]*anypb.Any) *openmatch.Ticket {
	t.Helper()
	made, err := om.frontend.CreateTicket(t.Context(), &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{
		SearchFields: &openmatch.SearchFields{Tags: []string{om.name}}, Extensions: extensions}})
	if err != nil {
		t.Fatal(err)
	}
	om.deleteLater(made.GetId())
	return made
}

// strange is an extension of a type that nobody knows.
func strange() map[string]*anypb.Any {
	return map[string]*anypb.Any{"stranger": {TypeUrl: "type.googleapis.com/stranger.v1.Details", Value: []byte{1, 0xff}}}
}

func expectStrange(t *testing.T, extensions map[string]*anypb.Any) {
	t.Helper()
	if got := extensions["stranger"]; !proto.Equal(got, strange()["stranger"]) {
		t.Errorf("got %v", got)
	}
}

// TestRESTStrangersTypes checks that minimatch prints what Open Match's gateway
// cannot print. Of another Open Match it logs what that answers.
func TestRESTStrangersTypes(t *testing.T) {
	om := start(t)
	om.rest()
	stranger, neighbour := om.ticketWith(t, strange()), om.ticketWith(t, extension(t, contract.TicketExtension, ourTicket))
	ask := func(what, method, url, body string, m proto.Message) {
		t.Helper()
		code, answer := request(t, method, url, body)
		if om.addr == "" {
			t.Logf("%s: %d %.200s", what, code, answer)
			return
		}
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", what, code, answer)
			return
		}
		read(t, answer, m)
	}
	ask("the stranger's ticket", "GET", om.frontendURL+"tickets/"+stranger.GetId(), "", new(openmatch.Ticket))
	ask("its neighbour", "GET", om.frontendURL+"tickets/"+neighbour.GetId(), "", new(openmatch.Ticket))
	var page openmatch.QueryTicketsResponse
	ask("the pool of both", "POST", om.queryURL+"tickets:query", jsonOf(t, &openmatch.QueryTicketsRequest{Pool: om.pool()}), &page)
	if om.addr != "" && len(page.GetTickets()) != 2 {
		t.Errorf("got %v", &page)
	}

	// What was printed can be sent back.
	var copied openmatch.Ticket
	var printed openmatch.Ticket
	ask("the stranger's ticket", "GET", om.frontendURL+"tickets/"+stranger.GetId(), "", &printed)
	ask("a copy of it", "POST", om.frontendURL+"tickets", jsonOf(t, &openmatch.CreateTicketRequest{Ticket: &openmatch.Ticket{
		Extensions: printed.GetExtensions()}}), &copied)
	if om.addr != "" {
		om.deleteLater(copied.GetId())
		stored, err := om.frontend.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: copied.GetId()})
		expectCode(t, err, codes.OK)
		expectStrange(t, stored.GetExtensions())
	}

	// Both assignments of one call.
	_, err := om.backend.AssignTickets(t.Context(), &openmatch.AssignTicketsRequest{Assignments: []*openmatch.AssignmentGroup{
		{TicketIds: []string{stranger.GetId()}, Assignment: &openmatch.Assignment{Connection: "a:1", Extensions: strange()}},
		{TicketIds: []string{neighbour.GetId()}, Assignment: &openmatch.Assignment{Connection: "b:1",
			Extensions: extension(t, contract.AssignmentExtension, ourPlace)}}}})
	expectCode(t, err, codes.OK)
	for _, ticket := range []*openmatch.Ticket{stranger, neighbour} {
		line := firstLine(t, om.frontendURL+"tickets/"+ticket.GetId()+"/assignments")
		if om.addr == "" {
			t.Logf("an assignment: %.200s", line)
		} else if !strings.Contains(line, `"result"`) {
			t.Errorf("watched %q", line)
		}
	}
}

func TestRESTStrangersTypesInMatches(t *testing.T) {
	t.Run("evaluator over gRPC", func(t *testing.T) { start(t).expectStrangersMatch(t) })
	t.Run("evaluator over REST", func(t *testing.T) { startEvaluatedOverREST(t).expectStrangersMatch(t) })
}

// expectStrangersMatch checks that a stranger's ticket and ours pass through a
// match function over REST, and come out as they went in.
func (om *openMatch) expectStrangersMatch(t *testing.T) {
	om.rest()
	om.ticketWith(t, strange())
	om.ticketWith(t, extension(t, contract.TicketExtension, ourTicket))
	if om.addr == "" {
		om.logStrangersMatch(t)
		return
	}
	asked := new(openmatch.MatchProfile)
	req := om.proposeOverREST(t, asked, wrapped(t))
	if got := om.fetchOverREST(t, req); len(got) != 2 {
		t.Errorf("got %v", got)
	}
	same(t, asked.GetExtensions(), contract.ProfileExtension, ourProfile)
	if _, err := om.backend.ReleaseAllTickets(t.Context(), &openmatch.ReleaseAllTicketsRequest{}); err != nil {
		t.Fatal(err)
	}

	// Over gRPC the types are what they were.
	req.Profile.Extensions["stranger"] = strange()["stranger"]
	stream, err := om.backend.FetchMatches(t.Context(), req)
	expectCode(t, err, codes.OK)
	var strangers int
	for range 2 {
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		expectStrange(t, got.GetMatch().GetExtensions())
		if ticket := got.GetMatch().GetTickets()[0]; ticket.GetExtensions()["stranger"] != nil {
			strangers++
			expectStrange(t, ticket.GetExtensions())
		}
	}
	if _, err := stream.Recv(); err != io.EOF || strangers != 1 {
		t.Errorf("%d of the stranger's tickets, %v", strangers, err)
	}
}

// wrapped is the strange extension as minimatch prints it.
func wrapped(t *testing.T) map[string]*anypb.Any {
	var m openmatch.Match
	read(t, `{"extensions":{"stranger":{"@type":"type.googleapis.com/google.protobuf.Struct",`+
		`"value":{"type_url":"type.googleapis.com/stranger.v1.Details","value":"Af8="}}}}`, &m)
	return m.GetExtensions()
}

// logStrangersMatch logs what another Open Match makes of two matches over gRPC,
// one with a strange type, and of a profile for a match function over REST.
func (om *openMatch) logStrangersMatch(t *testing.T) {
	odd := om.match("odd")
	odd.Extensions = strange()
	om.proposing("p", odd, om.match("even"))
	got := om.fetch(t.Context(), om.request("p"))
	t.Logf("fetched over gRPC: %v, %v", got.ids, got.err)
	code, answer := request(t, "POST", om.backendURL+"matches:fetch", jsonOf(t, om.request("p")))
	t.Logf("fetched over REST: %d %.300s", code, answer)
	req := om.restFunction(t, func(w http.ResponseWriter, _ *http.Request) {})
	req.Profile.Extensions = strange()
	got = om.fetch(t.Context(), req)
	t.Logf("profile for a match function over REST: %v", got.err)
}
