package frontend_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// TestCreateLimit: a player makes so many tickets at once, and then has to wait; who
// has no part in it has not.
func TestCreateLimit(t *testing.T) {
	s := start(t, func(c *settings) { c.CreateBurst, c.CreateInterval = 3, time.Hour })
	conn, err := rpc.Dial(s.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 3 {
		made := s.create("alice")
		if i < 2 {
			s.do("alice", "DELETE", "/v1/tickets/"+made.ID, "")
		}
	}
	for path, body := range map[string]string{"/v1/tickets": `{"queue":"squad"}`, "/play/eu": ""} {
		method := map[bool]string{true: "POST", false: "GET"}[body != ""]
		r := s.do("alice", method, path, body)
		again, err := strconv.Atoi(r.header.Get("Retry-After")) // an hour after the first
		if r.code != http.StatusTooManyRequests || err != nil || again > 3600 || again < 3540 || !strings.Contains(r.body, "too_many_requests") {
			t.Errorf("%s: %d %v %s", path, r.code, r.header, r.body)
		}
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token("alice"))
	_, err = torikumiv1.NewFrontendServiceClient(conn).CreateTicket(ctx, &torikumiv1.CreateTicketRequest{Queue: "squad"})
	var again *errdetails.RetryInfo
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			again = info
		}
	}
	if status.Code(err) != codes.ResourceExhausted || again.GetRetryDelay().AsDuration() < 59*time.Minute {
		t.Errorf("over gRPC: %v %v", err, again)
	}
	s.create("bob")
	for range 5 {
		made := s.backend("POST", "/v1/tickets", `{"queue":"squad","players":[{"id":"carol"}]}`).ticket(t)
		s.backend("DELETE", "/v1/tickets/"+made.ID, "")
	}
}

// TestAddressLimit: whoever they are, players of one address make one ticket at
// once; a proxy's word counts only if it is trusted.
func TestAddressLimit(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		s := start(t, func(c *settings) {
			c.AddressPerSecond = 0.01 // one at once
			if trusted {
				c.TrustedProxies = []string{"127.0.0.0/8"}
			}
		})
		create := func(i int, address string) int {
			req, err := http.NewRequestWithContext(t.Context(), "POST", s.url+"/v1/tickets", strings.NewReader(`{"queue":"squad"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+s.token(fmt.Sprint("p", i)))
			req.Header.Set("X-Forwarded-For", address)
			resp, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		for i := range 4 {
			want := http.StatusOK
			if i >= 1 {
				want = http.StatusTooManyRequests
			}
			if code := create(i, "203.0.113.9"); code != want {
				t.Errorf("trusted %v: ticket %d: %d, want %d", trusted, i, code, want)
			}
		}
		want := map[bool]int{false: http.StatusTooManyRequests, true: http.StatusOK}[trusted]
		if code := create(9, "203.0.113.10"); code != want {
			t.Errorf("trusted %v: another address: %d, want %d", trusted, code, want)
		}
	}
}

// TestAddressOfMany: a player who asks too often takes nothing from the others who call
// from their address.
func TestAddressOfMany(t *testing.T) {
	s := start(t, func(c *settings) { c.AddressPerSecond, c.CreateBurst, c.CreateInterval = 0.2, 1, time.Hour })
	s.create("alice")
	for range 5 {
		if r := s.do("alice", "POST", "/v1/tickets", `{"queue":"squad"}`); r.code != http.StatusTooManyRequests {
			t.Errorf("alice: %d %s", r.code, r.body)
		}
	}
	s.create("bob")
}

// TestStreamLimit: a player waits by so many calls, and one more ends the oldest.
func TestStreamLimit(t *testing.T) {
	s := start(t, nil)
	made, other := s.create("alice"), s.create("bob")
	bob := s.events(t.Context(), "bob", other.ID)
	if got := bob.ticket(); got.State != "SEARCHING" {
		t.Errorf("bob: %+v", got)
	}
	follow := func() *eventStream {
		stream := s.events(t.Context(), "alice", made.ID)
		if got := stream.ticket(); got.State != "SEARCHING" {
			t.Errorf("alice: %+v", got)
		}
		return stream
	}
	first, second := follow(), follow()
	for range api.MaxStreams - 2 {
		follow()
	}
	polled := make(chan reply, 1)
	raw := s.token("alice")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		r, err := s.try(ctx, raw, "GET", "/v1/tickets/"+made.ID+"/wait?timeout=60s", http.NoBody)
		if err != nil {
			r.body = err.Error()
		}
		polled <- r
	}()
	if got := first.event(); got["event"] != "problem" || !strings.Contains(got["data"], "too_many_streams") {
		t.Errorf("the oldest: %v", got)
	}
	if got := first.next(); got != nil {
		t.Errorf("after that: %v", got)
	}
	s.do("alice", "DELETE", "/v1/tickets/"+made.ID, "")
	if got := second.ticket(); got.State != "CANCELLED" {
		t.Errorf("the second: %+v", got)
	}
	if r := <-polled; r.code != http.StatusOK {
		t.Errorf("the long poll: %d %s", r.code, r.body)
	}
	s.do("bob", "DELETE", "/v1/tickets/"+other.ID, "")
	if got := bob.ticket(); got.State != "CANCELLED" {
		t.Errorf("bob: %+v", got)
	}
	eventually.True(t, "all streams have ended", func() bool {
		return s.metric(`torikumi_frontend_http_requests_in_flight{route="GET /v1/tickets/{id}/events"}`) == "0"
	})
}

// TestJoinTokenLimit: reading a ticket makes no join token, and waiting and asking so
// many.
func TestJoinTokenLimit(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	s.director.announce(announcement(nil, s.om.one(t, made.ID).GetId()))
	eventually.True(t, "assigned", func() bool { return s.get("alice", made.ID).State == "ASSIGNED" })
	for range 20 {
		s.get("alice", made.ID)
		s.do("bob", "GET", "/v1/tickets", "")
	}
	if got := s.metric("torikumi_frontend_join_tokens_minted_total"); got != "0" {
		t.Errorf("%s join tokens made by reading", got)
	}
	var list struct{ Tickets []ticket }
	decode(t, s.do("alice", "GET", "/v1/tickets", ""), http.StatusOK, &list)
	if len(list.Tickets) != 1 || list.Tickets[0].JoinToken == nil {
		t.Errorf("where alice is: %+v", list.Tickets)
	}
	for range api.MintBurst - 1 {
		if got := s.delivered("alice", made.ID); got.JoinToken == nil {
			t.Errorf("delivered: %+v", got)
		}
	}
	eventually.True(t, "no more join tokens", func() bool {
		got := s.delivered("alice", made.ID)
		return got.JoinToken == nil && got.Server != nil && got.Reason != ""
	})
	eventually.True(t, "asked too often", func() bool {
		r := s.do("alice", "POST", "/v1/tickets/"+made.ID+"/join-token", "")
		return r.code == http.StatusTooManyRequests && r.header.Get("Retry-After") == "1"
	})
	eventually.True(t, "asked again", func() bool {
		return s.do("alice", "POST", "/v1/tickets/"+made.ID+"/join-token", "").code == http.StatusOK
	})
}

// TestWhereIsAskedOften: a player who plays may ask again and again where, as a client in a
// lobby does: the directors are not asked each time, and each answer has a join token, of which
// they have others left to connect again.
func TestWhereIsAskedOften(t *testing.T) {
	s := start(t, nil)
	s.director.setLives("m-1")
	made := s.create("alice")
	s.director.announce(announcement(nil, s.om.one(t, made.ID).GetId()))
	eventually.True(t, "assigned", func() bool { return s.get("alice", made.ID).State == "ASSIGNED" })
	const times = 50
	for i := range times {
		var list struct{ Tickets []ticket }
		decode(t, s.do("alice", "GET", "/v1/tickets", ""), http.StatusOK, &list)
		if len(list.Tickets) != 1 || list.Tickets[0].ID != made.ID || list.Tickets[0].JoinToken == nil {
			t.Errorf("time %d: %+v", i, list.Tickets)
		}
	}
	if r := s.do("alice", "POST", "/v1/tickets/"+made.ID+"/join-token", ""); r.code != http.StatusOK {
		t.Errorf("a join token to connect again: %d %s", r.code, r.body)
	}
	s.director.mu.Lock()
	defer s.director.mu.Unlock()
	if n := len(s.director.asked); n == 0 || n == times {
		t.Errorf("the director was asked %d times for %d calls", n, times)
	}
}
