package frontend_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/eventually"
	"torikumi/pkg/problem"
)

const socketsInFlight = `torikumi_frontend_http_requests_in_flight{route="GET /v1/tickets/{id}/websocket"}`

// socket reads the messages of a WebSocket.
type socket struct {
	t    testing.TB
	conn *websocket.Conn
	end  error // of next
}

// socketMessage is one of them.
type socketMessage struct {
	Event, ID string
	Data      json.RawMessage
}

// open asks for a WebSocket; raw is the token in Authorization, or empty for none.
func (s *harness) open(ctx context.Context, raw, path string, header http.Header, subprotocols ...string) (*websocket.Conn, *http.Response, error) {
	if header == nil {
		header = http.Header{}
	}
	if raw != "" {
		header.Set("Authorization", "Bearer "+raw)
	}
	return websocket.Dial(ctx, s.url+path, &websocket.DialOptions{HTTPClient: s.client, HTTPHeader: header, Subprotocols: subprotocols})
}

// dial follows a ticket as a web page does; last is the id of the last event, or empty.
func (s *harness) dial(ctx context.Context, player, id, last string) *socket {
	s.t.Helper()
	path := "/v1/tickets/" + id + "/websocket"
	if last != "" {
		path += "?last_event_id=" + url.QueryEscape(last)
	}
	conn, _, err := s.open(ctx, "", path, nil, "torikumi.v1", "torikumi.bearer."+s.token(player))
	if err != nil {
		s.t.Fatal(err)
	}
	if conn.Subprotocol() != "torikumi.v1" {
		s.t.Errorf("subprotocol %q", conn.Subprotocol())
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{t: s.t, conn: conn}
}

// next returns a message; false at the end.
func (s *socket) next() (socketMessage, bool) {
	s.t.Helper()
	kind, text, err := s.conn.Read(s.t.Context())
	if err != nil {
		s.end = err
		return socketMessage{}, false
	}
	var m socketMessage
	if err := json.Unmarshal(text, &m); err != nil || kind != websocket.MessageText || m.Event == "" || (m.ID == "") != (m.Event != "ticket") {
		s.t.Fatalf("message %v %s: %v", kind, text, err)
	}
	return m, true
}

// closed expects no more messages, and the code of the end.
func (s *socket) closed(want websocket.StatusCode) websocket.CloseError {
	s.t.Helper()
	if m, ok := s.next(); ok {
		s.t.Errorf("after the end: %+v", m)
	}
	var end websocket.CloseError
	if !errors.As(s.end, &end) || end.Code != want {
		s.t.Errorf("closed by %v, want %v", s.end, want)
	}
	return end
}

// TestWebSocketResume: a client that comes back, at another frontend, is told what is
// new and nothing else.
func TestWebSocketResume(t *testing.T) {
	a, b, _ := replicas(t)
	made := a.gather(`{"size":2}`)
	first, _ := a.dial(t.Context(), "alice", made.ID, "").next()
	if got := a.events(t.Context(), "alice", made.ID).next(); got["id"] != first.ID {
		t.Errorf("the event has another id than the message: %v, %v", got["id"], first.ID)
	}
	again := b.dial(t.Context(), "alice", made.ID, first.ID)
	a.join("bob", made.Party.Code)
	joined, _ := again.next()
	if !strings.Contains(string(joined.Data), "SEARCHING") {
		t.Errorf("bob has joined: %+v", joined)
	}
	a.director.announce(announcement(nil, a.om.one(t, made.ID).GetId()))
	last, _ := again.next()
	if !strings.Contains(string(last.Data), "ASSIGNED") {
		t.Errorf("assigned: %+v", last)
	}
	again.closed(websocket.StatusNormalClosure)
	const minted = "torikumi_frontend_join_tokens_minted_total"
	eventually.True(t, "those who follow have their tokens", func() bool { return a.metric(minted) == "2" })
	for range 2 * api.MintBurst { // a token for nobody would be made each time
		a.dial(t.Context(), "alice", made.ID, last.ID).closed(websocket.StatusNormalClosure)
	}
	if got := a.metric(minted); got != "2" {
		t.Errorf("%s join tokens were made, 2 before", got)
	}
	for _, stale := range []string{first.ID, joined.ID, "7", strings.Repeat("x", 1000), "ü&=\x00"} {
		late := a.dial(t.Context(), "alice", made.ID, stale)
		if m, _ := late.next(); !strings.Contains(string(m.Data), "ASSIGNED") {
			t.Errorf("who knows less: %+v", m)
		}
		late.closed(websocket.StatusNormalClosure)
	}
}

// TestWebSocketRefusals: what is wrong before the handshake is a problem.
func TestWebSocketRefusals(t *testing.T) {
	s := start(t, func(c *settings) { c.CORSOrigins = []string{"https://play.example.com"} })
	made := s.create("alice")
	path, raw := "/v1/tickets/"+made.ID+"/websocket", s.token("alice")
	bearer := "torikumi.bearer." + raw
	origin := func(o string) http.Header { return http.Header{"Origin": {o}} }
	reasoned := func(p problem.Problem, reason string) problem.Problem { p.Reason = reason; return p }
	wrong := func(field, rule string) problem.Problem {
		return problem.New(400, "the handshake of the WebSocket is wrong", problem.Field{Field: field, Rule: rule})
	}
	foreign := reasoned(problem.New(403, "pages of this origin may not call"), "foreign_origin")
	for name, c := range map[string]struct {
		raw, path string
		header    http.Header
		protocols []string
		want      problem.Problem
	}{
		"no token":        {"", path, nil, []string{"torikumi.v1"}, reasoned(problem.New(401, "a player token is needed: Authorization: Bearer <token>"), "missing_token")},
		"empty token":     {"", path, nil, []string{"torikumi.v1", "torikumi.bearer."}, reasoned(problem.New(401, "the Authorization header must be: Bearer <token>"), "bad_authorization")},
		"two tokens":      {raw, path, nil, []string{"torikumi.v1", bearer}, reasoned(problem.New(401, "there must be one Authorization header"), "bad_authorization")},
		"forged token":    {"", path, nil, []string{"torikumi.v1", bearer[:len(bearer)-8] + "AAAAAAAA"}, reasoned(problem.New(401, "player token refused: bad_signature"), "bad_signature")},
		"shared token":    {playToken, path, nil, nil, reasoned(problem.New(401, "player token refused: malformed"), "malformed")},
		"token in URL":    {raw, path + "?access_token=x", nil, nil, problem.New(400, "the request cannot be read", problem.Field{Field: "access_token", Rule: "unknown parameter"})},
		"id twice":        {raw, path + "?last_event_id=a&last_event_id=b", nil, nil, problem.New(400, "the request cannot be read", problem.Field{Field: "last_event_id", Rule: "must be given once"})},
		"no ticket":       {raw, "/v1/tickets/none/websocket", nil, nil, problem.New(404, "no such ticket")},
		"another's":       {s.token("eve"), path, nil, nil, problem.New(404, "no such ticket")},
		"no subprotocol":  {"", path, nil, []string{bearer}, wrong("Sec-WebSocket-Protocol", "must have torikumi.v1, if any")},
		"foreign page":    {raw, path, origin("https://evil.example"), nil, foreign},
		"page of a file":  {raw, path, origin("null"), nil, foreign},
		"other port":      {raw, path, origin("http://127.0.0.1:1"), nil, foreign},
		"scheme":          {raw, path, origin("http://play.example.com"), nil, foreign},
		"foreign and bad": {"", path, origin("https://evil.example"), nil, reasoned(problem.New(401, "a player token is needed: Authorization: Bearer <token>"), "missing_token")},
	} {
		conn, resp, err := s.open(t.Context(), c.raw, c.path, c.header, c.protocols...)
		if err == nil {
			_ = conn.CloseNow()
			t.Errorf("%s: taken", name)
			continue
		}
		var got problem.Problem
		if e := json.NewDecoder(resp.Body).Decode(&got); e != nil {
			t.Errorf("%s: %v", name, e)
		}
		resp.Body.Close()
		c.want.RetryAfter = 0
		if fmt.Sprint(got) != fmt.Sprint(c.want) || resp.StatusCode != c.want.Status || resp.Header.Get("Content-Type") != problem.ContentType {
			t.Errorf("%s: %s %+v, want %+v", name, resp.Status, got, c.want)
		}
	}
	for _, o := range []string{"https://play.example.com", s.url} {
		conn, _, err := s.open(t.Context(), raw, path, origin(o))
		if err != nil {
			t.Errorf("page of %s: %v", o, err)
			continue
		}
		_ = conn.CloseNow()
	}
	// What no client of a library sends.
	for header, want := range map[string]problem.Problem{
		"": problem.New(426, "this path is a WebSocket: use its protocol, over HTTP/1.1"),
		"Connection: Upgrade\r\nUpgrade: h2c\r\n": problem.New(426, "this path is a WebSocket: use its protocol, over HTTP/1.1"),
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyEhIQ==\r\n": wrong("Sec-WebSocket-Version", "must be 13"),
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n":                                               wrong("Sec-WebSocket-Key", "must be 16 bytes in base64"),
		rightHandshake + "Sec-WebSocket-Version: 8\r\n":                                                                            wrong("Sec-WebSocket-Version", "must be 13"),
		rightHandshake + "Origin: https://play.example.com\r\nOrigin: https://evil.example\r\n":                                    foreign,
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=\r\n":                wrong("Sec-WebSocket-Key", "must be 16 bytes in base64"),
	} {
		_, r := s.handshake(t, raw, path, header)
		checkProblem(t, r, want)
		if want.Status == 426 && r.header.Get("Upgrade") != "websocket" || strings.Contains(header, "Version: 8") && r.header.Get("Sec-WebSocket-Version") != "13" {
			t.Errorf("%q: %v", header, r.header)
		}
	}
	eventually.True(t, "nothing is left", func() bool { return s.metric(socketsInFlight) == "0" })
}

// handshake sends headers as they stand, and returns the connection and the answer, of
// which the body is there unless it is a WebSocket.
func (s *harness) handshake(t testing.TB, raw, path, header string) (net.Conn, reply) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addrs.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\n%s\r\n", path, raw, header); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	out := reply{code: resp.StatusCode, header: resp.Header}
	if out.code != http.StatusSwitchingProtocols {
		var b strings.Builder
		if err := resp.Write(&b); err != nil {
			t.Fatal(err)
		}
		_, out.body, _ = strings.Cut(b.String(), "\r\n\r\n")
	}
	return conn, out
}

const rightHandshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2l4dGVlbiBieXRlcyEhIQ==\r\n"

// TestWebSocketEnds: each end has its code, and leaves nothing behind.
func TestWebSocketEnds(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	// One who leaves, one who says so, and one who speaks.
	gone, polite, talks := s.dial(t.Context(), "alice", made.ID, ""), s.dial(t.Context(), "alice", made.ID, ""), s.dial(t.Context(), "alice", made.ID, "")
	for _, c := range []*socket{gone, polite, talks} {
		if m, ok := c.next(); !ok || m.Event != "ticket" {
			t.Fatalf("first: %+v", m)
		}
	}
	_ = gone.conn.CloseNow()
	if err := polite.conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := talks.conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Error(err)
	}
	talks.closed(websocket.StatusPolicyViolation)
	eventually.True(t, "all have ended", func() bool { return s.metric(socketsInFlight) == "0" })
	if got := s.get("alice", made.ID); got.State != "SEARCHING" {
		t.Errorf("the ticket: %+v", got)
	}

	// One more than a player may have, of whichever kind.
	first := s.dial(t.Context(), "alice", made.ID, "")
	first.next()
	for range api.MaxStreams {
		s.events(t.Context(), "alice", made.ID).ticket()
	}
	if m, _ := first.next(); m.Event != "problem" || !strings.Contains(string(m.Data), "too_many_streams") {
		t.Errorf("replaced: %+v", m)
	}
	if end := first.closed(websocket.StatusPolicyViolation); end.Reason != "too_many_streams" {
		t.Errorf("replaced: %v", end)
	}

	last := s.dial(t.Context(), "alice", made.ID, "")
	last.next()
	stopped := make(chan struct{})
	go func() { s.stop(); close(stopped) }()
	if m, _ := last.next(); m.Event != "problem" || !strings.Contains(string(m.Data), "stopping") {
		t.Errorf("stopping: %+v", m)
	}
	last.closed(websocket.StatusServiceRestart)
	<-stopped
}

// TestWebSocketOfBadFrames: what a client sends ends it, with the code that docs/api.md names;
// zero: none.
func TestWebSocketOfBadFrames(t *testing.T) {
	s := start(t, nil)
	made := s.create("alice")
	raw := s.token("alice")
	for name, c := range map[string]struct {
		frames string
		want   int
	}{
		"message":                {"\x81\x80\x00\x00\x00\x00", 1008},
		"long message":           {"\x81\xff\x00\x00\x00\x00\x00\x01\x11\x70\x00\x00\x00\x00" + strings.Repeat("x", 70_000), 1008},
		"reserved bits":          {"\xf1\x80\x00\x00\x00\x00", 1002},
		"unknown kind":           {"\x83\x80\x00\x00\x00\x00", 1002},
		"continues nothing":      {"\x80\x80\x00\x00\x00\x00", 1002},
		"ping in parts":          {"\x09\x80\x00\x00\x00\x00", 1002},
		"ping that is too long":  {"\x89\xfe\x00\x7e\x00\x00\x00\x00", 1002},
		"close with a bad code":  {"\x88\x82\x00\x00\x00\x00\x00\x01", 1002},
		"not masked":             {"\x81\x05hello", 0},
		"length of 64 bits":      {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 0},
		"ping of such a length":  {"\x89\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 0},
		"close that is not said": {"\x88\x80\x00\x00\x00\x00", 1005},
	} {
		t.Run(name, func(t *testing.T) {
			conn, r := s.handshake(t, raw, "/v1/tickets/"+made.ID+"/websocket", rightHandshake)
			if r.code != http.StatusSwitchingProtocols || r.header.Get("Date") == "" {
				t.Fatalf("handshake: %d %v %s", r.code, r.header, r.body)
			}
			if _, err := conn.Write([]byte(c.frames)); err != nil {
				t.Fatal(err)
			}
			if got := closeCode(conn); got != c.want {
				t.Errorf("closed by %d, want %d", got, c.want)
			}
		})
	}
}

// closeCode reads frames to the end, and returns the code of the close frame: 1005 if that has
// none, zero if there is no such frame.
func closeCode(conn net.Conn) int {
	read := bufio.NewReader(conn)
	for {
		head := make([]byte, 2)
		if _, err := io.ReadFull(read, head); err != nil {
			return 0
		}
		size := int(head[1])
		if size == 126 {
			long := make([]byte, 2)
			if _, err := io.ReadFull(read, long); err != nil {
				return 0
			}
			size = int(binary.BigEndian.Uint16(long))
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(read, payload); err != nil {
			return 0
		}
		switch {
		case head[0] != 0x88:
		case size < 2:
			return 1005
		default:
			return int(binary.BigEndian.Uint16(payload))
		}
	}
}

// FuzzWebSocket sends rubbish after the handshake: the frontend ends it, and nothing
// else.
func FuzzWebSocket(f *testing.F) {
	f.Add([]byte("\x81\x80\x00\x00\x00\x00"))                         // an empty message
	f.Add([]byte("\x88\x82\x00\x00\x00\x00\x03\xe8"))                 // close
	f.Add([]byte("\x88\x81\x00\x00\x00\x00\x03"))                     // close, cut
	f.Add([]byte("\x89\xff\xff\xff\xff\xff\xff\xff\xff\xff"))         // a ping that is too long
	f.Add([]byte("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00")) // 8 EiB
	f.Add([]byte("\x81\x05hello"))                                    // not masked
	f.Add([]byte("\xf1\x80\x00\x00\x00\x00"))                         // reserved bits
	f.Add([]byte("\x80\x80\x00\x00\x00\x00\x00"))                     // continues nothing
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	s := start(f, nil)
	made := s.create("alice")
	raw := s.token("alice")
	f.Fuzz(func(t *testing.T, frames []byte) {
		conn, r := s.handshake(t, raw, "/v1/tickets/"+made.ID+"/websocket", rightHandshake)
		if r.code != http.StatusSwitchingProtocols {
			t.Fatalf("handshake: %d %s", r.code, r.body)
		}
		_, _ = conn.Write(frames) // it may have been ended in the middle
		conn.Close()
		s := s.with(t)
		eventually.True(t, "the stream has ended", func() bool { return s.metric(socketsInFlight) == "0" })
		if got := s.get("alice", made.ID); got.State != "SEARCHING" {
			t.Fatalf("the ticket: %+v", got)
		}
	})
}
