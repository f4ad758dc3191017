package frontend_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// eventStream reads server-sent events.
type eventStream struct {
	t    testing.TB
	resp *http.Response
	scan *bufio.Scanner
}

func (s *harness) events(ctx context.Context, player, id string) *eventStream {
	s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", s.url+"/v1/tickets/"+id+"/events", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token(player))
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("events: status %d", resp.StatusCode)
	}
	return &eventStream{s.t, resp, bufio.NewScanner(resp.Body)}
}

// next returns one event's fields; nil at the end of the stream.
func (e *eventStream) next() map[string]string {
	fields := map[string]string{}
	for e.scan.Scan() {
		if e.scan.Text() == "" {
			return fields
		}
		name, value, _ := strings.Cut(e.scan.Text(), ": ")
		fields[name] = value
	}
	return nil
}

// event is next without heartbeats.
func (e *eventStream) event() map[string]string {
	for {
		if fields := e.next(); fields == nil || fields["event"] != "" {
			return fields
		}
	}
}

func (e *eventStream) ticket() ticket {
	e.t.Helper()
	fields := e.event()
	if fields["event"] != "ticket" || fields["id"] == "" {
		e.t.Fatalf("event: %v", fields)
	}
	var out ticket
	if err := json.Unmarshal([]byte(fields["data"]), &out); err != nil {
		e.t.Fatal(err)
	}
	return out
}

func TestEvents(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	stream := s.events(t.Context(), "alice", made.ID)
	h := stream.resp.Header
	if h.Get("Content-Type") != "text/event-stream" || h.Get("Cache-Control") != "no-store" || h.Get("X-Accel-Buffering") != "no" {
		t.Errorf("headers: %v", h)
	}
	if date, err := http.ParseTime(h.Get("Date")); err != nil || len(h.Values("Date")) != 1 || time.Since(date).Abs() > time.Minute {
		t.Errorf("Date: %q, %v", h.Values("Date"), err)
	}
	if got := stream.ticket(); got.State != "SEARCHING" {
		t.Errorf("first event: %+v", got)
	}
	s.director.announce(announcement(nil, s.om.one(t, made.ID).GetId()))
	got := stream.ticket()
	if got.State != "ASSIGNED" || got.JoinToken == nil {
		t.Fatalf("second event: %+v", got)
	}
	s.checkJoin(got.JoinToken.JWT, "alice", "")
	if more := stream.next(); more != nil {
		t.Errorf("after the end: %v", more)
	}
	// Whoever comes later hears the end at once.
	late := s.events(t.Context(), "alice", made.ID)
	if got := late.ticket(); got.State != "ASSIGNED" {
		t.Errorf("late watcher: %+v", got)
	}
	if more := late.next(); more != nil {
		t.Errorf("after the end: %v", more)
	}
}

// TestAnsweredFields: what /openapi.json says is always there is there, in each state.
func TestAnsweredFields(t *testing.T) {
	s := start(t, nil)
	var doc struct {
		Components struct {
			Schemas map[string]struct{ Required []string }
		}
	}
	if err := json.Unmarshal([]byte(s.do("", "GET", "/openapi.json", "").body), &doc); err != nil {
		t.Fatal(err)
	}
	check := func(name string, value any) {
		t.Helper()
		fields, _ := value.(map[string]any)
		required := doc.Components.Schemas[name].Required
		if len(required) == 0 {
			t.Errorf("%s: nothing is always there", name)
		}
		for _, field := range required {
			if _, ok := fields[field]; !ok {
				t.Errorf("%s has no %s: %v", name, field, value)
			}
		}
	}
	checkTicket := func(body string) {
		t.Helper()
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		check("Ticket", got)
		check("Party", got["party"])
		if got["state"] == "ASSIGNED" {
			check("Server", got["server"])
			check("JoinToken", got["join_token"])
		}
	}
	made := s.gather(`{"size":2}`)
	checkTicket(s.do("alice", "GET", "/v1/tickets/"+made.ID, "").body)
	checkTicket(s.join("bob", made.Party.Code).body)
	s.director.announce(announcement(nil, s.om.one(t, made.ID).GetId()))
	s.await("bob", made.ID, "ASSIGNED")
	checkTicket(s.do("alice", "GET", "/v1/tickets/"+made.ID+"/wait?timeout=10ms", "").body)
}

// TestWatchersLeaveNothing opens streams and leaves them; goleak and the gauge of
// running streams tell.
func TestWatchersLeaveNothing(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	ctx, cancel := context.WithCancel(t.Context())
	for range 20 {
		s.events(ctx, "alice", made.ID).ticket()
	}
	cancel()
	const route = `{route="GET /v1/tickets/{id}/events"}`
	eventually.True(t, "all streams have ended", func() bool { return s.metric("torikumi_frontend_http_requests_in_flight"+route) == "0" })
	const ended = `torikumi_frontend_http_requests_total{code="200",route="GET /v1/tickets/{id}/events"}`
	if got := s.metric(ended); got != "20" {
		t.Errorf("%s streams counted", got)
	}
	if got := s.get("alice", made.ID); got.State != "SEARCHING" {
		t.Errorf("watching has changed the ticket: %+v", got)
	}
}

func TestStopEndsWatchersAndTickets(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	s.create("bob")
	stream := s.events(t.Context(), "alice", made.ID)
	stream.ticket()
	waiting := make(chan reply, 2)
	long := func(raw, path string) {
		r, err := s.try(context.Background(), raw, "GET", path, http.NoBody)
		if err != nil {
			r.body = err.Error()
		}
		waiting <- r
	}
	go long(s.token("alice"), "/v1/tickets/"+made.ID+"/wait?timeout=60s")
	go long(playToken, "/play/eu")
	eventually.True(t, "all three tickets wait", func() bool { return s.om.count() == 3 })
	const polls = `torikumi_frontend_http_requests_in_flight{route="GET /v1/tickets/{id}/wait"}`
	eventually.True(t, "the long poll has begun", func() bool { return s.metric(polls) == "1" })
	s.stop()
	for range 2 {
		if r := <-waiting; r.code != http.StatusServiceUnavailable || !strings.Contains(r.body, "stopping") {
			t.Errorf("waiter: %d %s", r.code, r.body)
		}
	}
	if fields := stream.event(); fields["event"] != "problem" || !strings.Contains(fields["data"], "stopping") {
		t.Errorf("watcher: %v", fields)
	}
	if got := s.om.count(); got != 0 {
		t.Errorf("%d tickets left in Open Match", got)
	}
}

func TestGRPC(t *testing.T) {
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
	if h, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), nil); err != nil || h.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health without token: %v, %v", h, err)
	}
	if _, err := client.GetTicket(t.Context(), &torikumiv1.GetTicketRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("no token: %v", err)
	}
	twice := metadata.AppendToOutgoingContext(as("a"), "authorization", "Bearer "+s.token("b"))
	if _, err := client.GetTicket(twice, &torikumiv1.GetTicketRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("two tokens: %v", err)
	}
	big := &torikumiv1.CreateTicketRequest{Queue: strings.Repeat("x", 17<<10)}
	if _, err := client.CreateTicket(as("a"), big); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("too large: %v", err)
	}
	stream, err := client.WatchTicket(t.Context(), &torikumiv1.WatchTicketRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("stream without token: %v", err)
	}
	// Field 99, a varint, at the top, in a list, in a map, and in a stream's request.
	unknown := []byte{0x98, 0x06, 0x01}
	top, inList, inMap := new(torikumiv1.CreateTicketRequest), new(torikumiv1.Player), new(torikumiv1.Attribute)
	for _, m := range []proto.Message{top, inList, inMap} {
		m.ProtoReflect().SetUnknown(unknown)
	}
	for field, req := range map[string]*torikumiv1.CreateTicketRequest{
		"request":               top,
		"players[0]":            {Queue: "session", Players: []*torikumiv1.Player{inList}},
		"players[0].attributes": {Queue: "session", Players: []*torikumiv1.Player{{Attributes: map[string]*torikumiv1.Attribute{"sk": inMap}}}},
	} {
		if _, err := client.CreateTicket(as("a"), req); status.Code(err) != codes.InvalidArgument || !strings.Contains(fmt.Sprint(status.Convert(err).Details()), field) {
			t.Errorf("an unknown field in %s: %v %v", field, err, status.Convert(err).Details())
		}
	}
	odd := new(torikumiv1.WatchTicketRequest)
	odd.ProtoReflect().SetUnknown(unknown)
	if stream, err = client.WatchTicket(as("a"), odd); err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("stream with an unknown field: %v", err)
	}
	made, err := client.CreateTicket(as("a"), &torikumiv1.CreateTicketRequest{Queue: "session"})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, client, as("a"), made.GetId(), func() {
		if _, err := client.CancelTicket(as("a"), &torikumiv1.CancelTicketRequest{TicketId: made.GetId()}); err != nil {
			t.Error(err)
		}
	})
}

// watch expects SEARCHING, then, after the cancel, CANCELLED and the end.
func watch(t *testing.T, client torikumiv1.FrontendServiceClient, ctx context.Context, id string, cancel func()) {
	t.Helper()
	stream, err := client.WatchTicket(ctx, &torikumiv1.WatchTicketRequest{TicketId: id}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	if first, err := stream.Recv(); err != nil || first.GetState() != torikumiv1.TicketState_SEARCHING {
		t.Fatalf("first: %v, %v", first, err)
	}
	cancel()
	if last, err := stream.Recv(); err != nil || last.GetState() != torikumiv1.TicketState_CANCELLED {
		t.Fatalf("last: %v, %v", last, err)
	}
	if more, err := stream.Recv(); err == nil {
		t.Errorf("after the end: %v", more)
	}
}
