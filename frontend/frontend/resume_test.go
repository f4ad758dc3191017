package frontend_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"torikumi/pkg/eventually"
)

// resume follows a ticket from where a stream with this last event ended.
func (s *harness) resume(player, id, last string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url+"/v1/tickets/"+id+"/events", http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token(player))
	req.Header.Set("Last-Event-ID", last)
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestResume: a client that comes back, at another frontend, is told what is new and
// nothing else, and one that knows the end is told that there is no more.
func TestResume(t *testing.T) {
	a, b, _ := replicas(t)
	made := a.gather(`{"size":2}`)
	first := a.events(t.Context(), "alice", made.ID).event()
	if first["event"] != "ticket" || first["id"] == "" {
		t.Fatalf("first: %v", first)
	}
	resp := b.resume("alice", made.ID, first["id"])
	again := &eventStream{t, resp, bufio.NewScanner(resp.Body)}
	if got := again.next(); resp.StatusCode != http.StatusOK || len(got) != 1 || got[""] == "" && got["event"] != "" {
		t.Errorf("nothing is new: %d %v", resp.StatusCode, got)
	}
	a.join("bob", made.Party.Code)
	joined := again.event()
	if joined["event"] != "ticket" || !strings.Contains(joined["data"], "SEARCHING") {
		t.Errorf("bob has joined: %v", joined)
	}
	a.director.announce(announcement(nil, a.om.one(t, made.ID).GetId()))
	last := again.event()
	if !strings.Contains(last["data"], "ASSIGNED") || again.next() != nil {
		t.Errorf("assigned: %v", last)
	}
	for _, s := range []*harness{a, b} {
		if resp := s.resume("alice", made.ID, last["id"]); resp.StatusCode != http.StatusNoContent {
			t.Errorf("who knows the end: %d", resp.StatusCode)
		}
		for _, stale := range []string{first["id"], joined["id"], "", "7", strings.Repeat("x", 1000)} {
			resp := s.resume("alice", made.ID, stale)
			if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "ASSIGNED") {
				t.Errorf("who knows less: %d %s, %v", resp.StatusCode, body, err)
			}
		}
	}
	if resp := b.resume("eve", made.ID, last["id"]); resp.StatusCode != http.StatusNotFound {
		t.Errorf("eve, with alice's last event: %d", resp.StatusCode)
	}
}

// TestResumeAfterRejoin: who has left and come back as somebody better is new.
func TestResumeAfterRejoin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(file, []byte("queues:\n- {name: duel, skill: {attribute: skill, window: 5000}, teams: [{name: a, players: 3}, {name: b, players: 3}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(c *settings) { c.Queues, c.PlayQueue = file, "duel" })
	made := s.do("alice", "POST", "/v1/tickets", `{"queue":"duel","region":"eu","party":{"size":3}}`).ticket(t)
	join := func(skill int) {
		t.Helper()
		s.do("bob", "POST", "/v1/parties/join", fmt.Sprintf(`{"code":%q,"player":{"attributes":{"skill":{"number":%d}}}}`, made.Party.Code, skill)).ticket(t)
	}
	join(1000)
	first := s.events(t.Context(), "alice", made.ID).next()
	if r := s.do("bob", "DELETE", "/v1/tickets/"+made.ID+"/players/bob", ""); r.code != http.StatusOK {
		t.Fatalf("leave: %d %s", r.code, r.body)
	}
	join(2000)
	resp := s.resume("alice", made.ID, first["id"])
	again := &eventStream{t, resp, bufio.NewScanner(resp.Body)}
	if got := again.next(); !strings.Contains(got["data"], "2000") {
		t.Errorf("after %v: %v", first, got)
	}
}

// TestHalfClosed: a client that sends nothing more gets its answer, and one that has
// gone leaves nothing behind.
func TestHalfClosed(t *testing.T) {
	s := start(t, nil)
	dial := func(method, path, body string) net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", s.addrs.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			method, path, s.token("alice"), len(body), body); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	answer := func(conn net.Conn) *http.Response {
		t.Helper()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if resp := answer(dial("POST", "/v1/tickets", `{"queue":"squad"}`)); resp.StatusCode != http.StatusOK {
		t.Errorf("create: %s", resp.Status)
	}
	made := s.create("alice")
	wait := dial("GET", "/v1/tickets/"+made.ID+"/wait?timeout=60s", "")
	resp := answer(dial("GET", "/v1/tickets/"+made.ID+"/events", ""))
	events := &eventStream{t, resp, bufio.NewScanner(resp.Body)}
	if got := events.ticket(); got.State != "SEARCHING" {
		t.Errorf("events: %+v", got)
	}
	gone := dial("GET", "/v1/tickets/"+made.ID+"/events", "")
	if _, err := gone.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	const running = `torikumi_frontend_http_requests_in_flight{route="GET /v1/tickets/{id}/events"}`
	if got := s.metric(running); got != "2" {
		t.Errorf("%s streams", got)
	}
	gone.Close()
	eventually.True(t, "the stream of the client that has gone has ended", func() bool { return s.metric(running) == "1" })
	s.do("alice", "DELETE", "/v1/tickets/"+made.ID, "")
	eventually.True(t, "the end is told", func() bool {
		got := events.next()
		return strings.Contains(got["data"], "CANCELLED")
	})
	if resp := answer(wait); resp.StatusCode != http.StatusOK {
		t.Errorf("long poll: %s", resp.Status)
	}
}
