package frontend_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/frontend/frontend"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// follower returns the next ticket that one way to follow it tells of, and false when
// there is no more.
type follower func() (ticket, bool)

// followers follow a ticket in every way that there is, at one frontend.
func (s *harness) followers(ctx context.Context, player, id string) map[string]follower {
	s.t.Helper()
	events := s.events(ctx, player, id)
	socket := s.dial(ctx, player, id, "")
	return map[string]follower{
		"events": func() (ticket, bool) {
			fields := events.event()
			if fields == nil {
				return ticket{}, false
			}
			return s.decoded(fields["data"]), true
		},
		"WebSocket": func() (ticket, bool) {
			m, ok := socket.next()
			if !ok {
				return ticket{}, false
			}
			return s.decoded(string(m.Data)), true
		},
		"long poll": s.poller(player, id),
		"gRPC":      s.watcher(ctx, player, id),
	}
}

func (s *harness) decoded(text string) (t ticket) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		s.t.Fatalf("%v: %s", err, text)
	}
	return t
}

// poller asks again as soon as it has an answer.
func (s *harness) poller(player, id string) follower {
	ended := false
	return func() (ticket, bool) {
		if ended {
			return ticket{}, false
		}
		got := s.do(player, "GET", "/v1/tickets/"+id+"/wait?timeout=50ms", "").ticket(s.t)
		ended = got.State != "GATHERING" && got.State != "SEARCHING"
		return got, true
	}
}

func (s *harness) watcher(ctx context.Context, player, id string) follower {
	s.t.Helper()
	conn, err := rpc.Dial(s.addrs.GRPC)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.token(player))
	stream, err := torikumiv1.NewFrontendServiceClient(conn).WatchTicket(as, &torikumiv1.WatchTicketRequest{TicketId: id})
	if err != nil {
		s.t.Fatal(err)
	}
	return func() (ticket, bool) {
		got, err := stream.Recv()
		if err != nil {
			return ticket{}, false
		}
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(got)
		if err != nil {
			s.t.Fatal(err)
		}
		return s.decoded(string(text)), true
	}
}

// until reads on until a state is told.
func (f follower) until(t *testing.T, how, state string) ticket {
	t.Helper()
	for {
		got, ok := f()
		if !ok {
			t.Fatalf("%s has ended before %s", how, state)
		}
		if got.State == state {
			return got
		}
	}
}

// TestSameStatesEverywhere: whichever way a ticket is followed, at whichever frontend,
// and through a proxy, it is told of the same states, with the same in them.
func TestSameStatesEverywhere(t *testing.T) {
	for name, c := range map[string]struct {
		states []string
		end    func(s *harness, id string)
	}{
		"assigned": {[]string{"GATHERING", "SEARCHING", "ASSIGNED"}, func(s *harness, id string) {
			s.director.announce(announcement([]*torikumiv1.Team{{Name: "east", Members: []*torikumiv1.TeamMember{{PlayerId: "alice"}}}}, s.om.one(s.t, id).GetId()))
		}},
		"cancelled": {[]string{"GATHERING", "SEARCHING", "CANCELLED"}, func(s *harness, id string) { s.do("alice", "DELETE", "/v1/tickets/"+id, "") }},
		"expired":   {[]string{"GATHERING", "SEARCHING", "EXPIRED"}, func(*harness, string) {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, _ := replicas(t, func(cfg *frontend.Config) {
				if name == "expired" {
					cfg.TicketTimeout = 10 * time.Second // in which all have to be told that it searches
				}
			})
			target, err := url.Parse(b.url)
			if err != nil {
				t.Fatal(err)
			}
			proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(target))
			defer proxy.Close()
			proxied := *b
			proxied.url = proxy.URL
			made := a.gather(`{"size":2}`)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			all := map[string]map[string]follower{
				"the same": a.followers(ctx, "alice", made.ID), "the other": proxied.followers(ctx, "alice", made.ID),
			}
			for _, state := range c.states {
				switch state {
				case "SEARCHING":
					if r := a.join("bob", made.Party.Code); r.code != http.StatusOK {
						t.Fatalf("join: %d %s", r.code, r.body)
					}
				case c.states[2]:
					c.end(a, made.ID)
				}
				var want *ticket
				for where, followers := range all {
					for how, f := range followers {
						got := f.until(t, how+" at "+where, state)
						if (got.JoinToken != nil) != (state == "ASSIGNED") {
							t.Errorf("%s at %s: %s with join token %v", how, where, state, got.JoinToken)
						}
						if got.JoinToken != nil {
							a.checkJoin(got.JoinToken.JWT, "alice", "east")
						}
						got.JoinToken = nil // each is another
						if want == nil {
							want = &got
						} else if diff := cmp.Diff(*want, got); diff != "" {
							t.Errorf("%s at %s tells something else:\n%s", how, where, diff)
						}
					}
				}
			}
			for where, followers := range all {
				for how, f := range followers {
					if got, ok := f(); ok {
						t.Errorf("%s at %s, after the end: %+v", how, where, got)
					}
				}
			}
		})
	}
}
