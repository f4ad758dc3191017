package frontend_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// matchFunction says of every ticket the same.
type matchFunction struct {
	torikumiv1.UnimplementedExplainServiceServer
	*host

	mu    sync.Mutex
	text  string
	asked map[string]int
}

func newMatchFunction(t testing.TB, text string) *matchFunction {
	m := &matchFunction{text: text, asked: map[string]int{}}
	m.host = newHost(t, func(r grpc.ServiceRegistrar) { torikumiv1.RegisterExplainServiceServer(r, m) })
	return m
}

func (m *matchFunction) Explain(_ context.Context, req *torikumiv1.ExplainRequest) (*torikumiv1.ExplainResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := new(torikumiv1.ExplainResponse)
	for _, id := range req.GetTicketIds() {
		m.asked[id]++
		out.Explanations = append(out.Explanations, &torikumiv1.Explanation{TicketId: id, Summary: m.text})
	}
	return out, nil
}

func (m *matchFunction) say(text string) { m.mu.Lock(); m.text = text; m.mu.Unlock() }

func (m *matchFunction) times(id string) int { m.mu.Lock(); defer m.mu.Unlock(); return m.asked[id] }

const waiting = "12 other searches are waiting, 3 could play with you; 4 more players are needed"

func withReasons(m *matchFunction) func(*settings) {
	return func(c *settings) {
		c.MatchFunctions, c.ReasonInterval = []string{m.addr}, 100*time.Millisecond
	}
}

// TestReasonEverywhere: whoever looks at a ticket that waits reads why; whoever
// follows it hears of it without asking; and it ends with the ticket.
func TestReasonEverywhere(t *testing.T) {
	t.Parallel()
	m := newMatchFunction(t, waiting)
	s := start(t, func(c *settings) { withReasons(m)(c); c.PlayTimeout = 4 * time.Second })
	conn, err := rpc.Dial(s.addrs.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	made := s.create("alice")
	if made.Reason != "" {
		t.Errorf("a new ticket: %+v", made)
	}
	events := s.events(t.Context(), "alice", made.ID)
	as := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+s.token("alice"))
	watch, err := torikumiv1.NewFrontendServiceClient(conn).WatchTicket(as, &torikumiv1.WatchTicketRequest{TicketId: made.ID})
	if err != nil {
		t.Fatal(err)
	}
	// At first nobody knows why, unless it has waited for long already.
	for reason := ""; reason == ""; {
		got := events.ticket()
		if reason = got.Reason; got.State != "SEARCHING" || reason != "" && reason != waiting {
			t.Fatalf("event: %+v", got)
		}
	}
	for reason := ""; reason == ""; {
		got, err := watch.Recv()
		if reason = got.GetReason(); err != nil || got.GetState() != torikumiv1.TicketState_SEARCHING || reason != "" && reason != waiting {
			t.Fatalf("watcher: %v, %v", got, err)
		}
	}
	if got := s.get("alice", made.ID); got.State != "SEARCHING" || got.Reason != waiting {
		t.Errorf("ticket: %+v", got)
	}
	if got := s.delivered("alice", made.ID); got.State != "SEARCHING" || got.Reason != waiting {
		t.Errorf("long poll: %+v", got)
	}
	eventually.True(t, "the call that searches and waits says why", func() bool {
		r := s.play(playToken, "/play/eu")
		var got struct{ Status, Reason string }
		if decode(t, r, http.StatusRequestTimeout, &got); got.Status != "timeout" || got.Reason != "" && got.Reason != waiting {
			t.Fatalf("%d %s", r.code, r.body)
		}
		return got.Reason == waiting
	})
	if r := s.do("eve", "GET", "/v1/tickets/"+made.ID, ""); r.code != http.StatusNotFound || strings.Contains(r.body, "other searches") {
		t.Errorf("eve: %d %s", r.code, r.body)
	}
	s.director.announce(announcement(nil, s.om.one(t, made.ID).GetId()))
	if got := events.ticket(); got.State != "ASSIGNED" || got.Reason != "" {
		t.Errorf("last event: %+v", got)
	}
	if got, err := watch.Recv(); err != nil || got.GetState() != torikumiv1.TicketState_ASSIGNED || got.GetReason() != "" {
		t.Errorf("watcher: %v, %v", got, err)
	}
	if got := s.get("alice", made.ID); got.Reason != "" {
		t.Errorf("assigned: %+v", got)
	}
}

// TestReasonAfterLosses: the match function goes and comes back, and Open Match
// makes the ticket again; players' calls go on all the time.
func TestReasonAfterLosses(t *testing.T) {
	t.Parallel()
	m := newMatchFunction(t, waiting)
	m.down()
	s := start(t, withReasons(m))
	made := s.create("alice")
	eventually.True(t, "the match function is missed", func() bool {
		if got := s.get("alice", made.ID); got.State != "SEARCHING" || got.Reason != "" {
			t.Fatalf("without match function: %+v", got)
		}
		return s.metric(`torikumi_frontend_reason_calls_total{code="Unavailable"}`) != ""
	})
	m.up()
	eventually.True(t, "the reason is there", func() bool { return s.get("alice", made.ID).Reason == waiting })
	eventually.True(t, "it is up", func() bool { return s.metric("torikumi_frontend_reason_matchfunctions_up") == "1" })

	s.om.down()
	s.om.lose()
	m.say("seen anew")
	s.om.up()
	eventually.True(t, "the ticket is made again", func() bool { return len(s.om.find(made.ID)) == 1 })
	om := s.om.one(t, made.ID).GetId()
	eventually.True(t, "the reason of the new ticket is there", func() bool { return s.get("alice", made.ID).Reason == "seen anew" && m.times(om) > 0 })
}

// TestNobodyLooks: a ticket that nobody looks at costs the match function nothing.
func TestNobodyLooks(t *testing.T) {
	t.Parallel()
	m := newMatchFunction(t, waiting)
	s := start(t, withReasons(m))
	quiet, looked := s.create("alice"), s.create("bob")
	eventually.True(t, "bob's reason is there", func() bool { return s.get("bob", looked.ID).Reason == waiting })
	if n := m.times(s.om.one(t, quiet.ID).GetId()); n != 0 {
		t.Errorf("alice's ticket was asked for %d times", n)
	}
}
