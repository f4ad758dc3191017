package frontend_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"torikumi/frontend/frontend"
	"torikumi/pkg/eventually"
)

const longPolls = `torikumi_frontend_http_requests_in_flight{route="GET /v1/tickets/{id}/wait"}`

// crash begins a long poll, and resets its connection once the call is there.
func (s *harness) crash(player, path string) {
	s.t.Helper()
	before := s.metric(longPolls)
	conn, err := net.Dial("tcp", s.addrs.HTTP)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n\r\n", path, s.token(player)); err != nil {
		s.t.Fatal(err)
	}
	eventually.True(s.t, "the call is there", func() bool { return s.metric(longPolls) != before })
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		s.t.Fatal(err)
	}
}

// TestClientsThatHaveGone: a ticket that nobody asks for is cancelled and taken out of
// Open Match; whoever follows it, or reads it now and then, by its id or as one of
// theirs, at any frontend, keeps it.
func TestClientsThatHaveGone(t *testing.T) {
	t.Parallel()
	store := miniredis.RunT(t)
	a := start(t, func(c *frontend.Config) { c.Redis, c.GoneAfter = "redis://"+store.Addr(), 10*time.Second })
	twin := *a
	b := &twin
	b.run()
	follows, reads, polls, lists := a.create("follows"), a.create("reads"), a.create("polls"), a.create("lists")
	events := b.events(t.Context(), "follows", follows.ID)
	if got := events.ticket(); got.State != "SEARCHING" {
		t.Errorf("followed: %+v", got)
	}
	polled := make(chan reply, 1)
	raw := a.token("polls")
	go func() {
		r, err := b.try(t.Context(), raw, "GET", "/v1/tickets/"+polls.ID+"/wait?timeout=60s", http.NoBody)
		if err != nil {
			r.body = err.Error()
		}
		polled <- r
	}()
	eventually.True(t, "the long poll has begun", func() bool { return b.metric(longPolls) == "1" })
	// A client that crashes in a long poll is nobody then.
	crashes := a.create("crashes")
	crashed := a.om.one(t, crashes.ID).GetId()
	b.crash("crashes", "/v1/tickets/"+crashes.ID+"/wait?timeout=60s")
	// It is the youngest: the others would be cancelled before it.
	gone := a.create("gone")
	om := a.om.one(t, gone.ID).GetId()
	eventually.True(t, "the tickets of nobody are taken out of Open Match", func() bool {
		a.get("reads", reads.ID)
		a.do("lists", "GET", "/v1/tickets", "")
		// Not even somebody else's questions keep it.
		if r := a.do("reads", "GET", "/v1/tickets/"+gone.ID, ""); r.code != http.StatusNotFound {
			t.Errorf("somebody else's ticket: %d", r.code)
		}
		a.om.mu.Lock()
		defer a.om.mu.Unlock()
		return a.om.deleted[om] && a.om.deleted[crashed]
	})
	if got := a.get("gone", gone.ID); got.State != "CANCELLED" {
		t.Errorf("the ticket of nobody: %+v", got)
	}
	for player, id := range map[string]string{"follows": follows.ID, "reads": reads.ID, "polls": polls.ID, "lists": lists.ID} {
		if got := a.get(player, id); got.State != "SEARCHING" {
			t.Errorf("%s: %+v", player, got)
		}
	}
	a.do("polls", "DELETE", "/v1/tickets/"+polls.ID, "")
	if r := <-polled; !strings.Contains(r.body, "CANCELLED") {
		t.Errorf("polled: %d %s", r.code, r.body)
	}
}
