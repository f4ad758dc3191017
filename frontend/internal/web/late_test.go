package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/eventually"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// asAlice serves a route of the server for alice.
func asAlice(t *testing.T, s *server, rt string, start func(*httptest.Server)) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		if r.String() == rt {
			r.authenticate = func(context.Context, []string) (api.Caller, error) { return api.Caller{Player: "alice"}, nil }
			mux.Handle(rt, s.handler(r))
		}
	}
	server := httptest.NewUnstartedServer(mux)
	start(server)
	t.Cleanup(server.Close)
	return server
}

const waitRoute = "GET /v1/tickets/{id}/wait"

// longPoll begins a long poll over a connection of its own, and returns what is below TLS, too.
func longPoll(t *testing.T, server *httptest.Server, secure bool, version, timeout string) (conn net.Conn, raw *net.TCPConn) {
	t.Helper()
	below, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { below.Close() })
	conn, raw = below, below.(*net.TCPConn)
	if secure {
		conn = tls.Client(below, &tls.Config{InsecureSkipVerify: true})
	}
	if _, err := fmt.Fprintf(conn, "GET /v1/tickets/t/wait?timeout=%s HTTP/%s\r\nHost: a\r\n\r\n", timeout, version); err != nil {
		t.Fatal(err)
	}
	return conn, raw
}

func startPlain(s *httptest.Server) { s.Start() }

func startTLS(s *httptest.Server) { s.StartTLS() }

// TestLongPollOfOneWhoHasGone: a long poll ends when its client has gone, in whatever way, and
// long before its timeout.
func TestLongPollOfOneWhoHasGone(t *testing.T) {
	for name, c := range map[string]struct {
		secure bool
		leave  func(conn net.Conn, raw *net.TCPConn)
	}{
		"reset":  {false, func(_ net.Conn, raw *net.TCPConn) { _ = raw.SetLinger(0); raw.Close() }},
		"closed": {false, func(_ net.Conn, raw *net.TCPConn) { raw.Close() }},
		"half-closed, then closed": {false, func(_ net.Conn, raw *net.TCPConn) {
			_ = raw.CloseWrite()
			_, _ = raw.Read(make([]byte, 1)) // the answer has begun
			raw.Close()
		}},
		"reset under TLS":          {true, func(_ net.Conn, raw *net.TCPConn) { _ = raw.SetLinger(0); raw.Close() }},
		"closed under TLS":         {true, func(conn net.Conn, _ *net.TCPConn) { conn.Close() }},
		"closed under TLS, unsaid": {true, func(_ net.Conn, raw *net.TCPConn) { raw.Close() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := waitingServer(t)
			s.heartbeat = 10 * time.Millisecond
			server := asAlice(t, s, waitRoute, map[bool]func(*httptest.Server){false: startPlain, true: startTLS}[c.secure])
			conn, raw := longPoll(t, server, c.secure, "1.1", "60s")
			running := func() float64 { return testutil.ToFloat64(s.inFlight.WithLabelValues(waitRoute)) }
			eventually.True(t, "the call is there", func() bool { return running() == 1 })
			begin := time.Now()
			c.leave(conn, raw)
			eventually.True(t, "the call has ended", func() bool { return running() == 0 })
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("ended after %v", took)
			}
			s.o.Streams.Wait()
		})
	}
}

// TestLongPollOfOneWhoOnlyListens: a client that sends nothing more gets its whole answer, be it a
// ticket or a problem.
func TestLongPollOfOneWhoOnlyListens(t *testing.T) {
	for name, c := range map[string]struct {
		secure                   bool
		version, timeout, lastly string
		code                     int
	}{
		"over HTTP/1.1": {false, "1.1", "1s", "", 200},
		"at once":       {false, "1.1", "1ms", "", 200},
		"over HTTP/1.0": {false, "1.0", "1s", "", 200},
		"over TLS":      {true, "1.1", "1s", "", 200},
		"cut under TLS": {true, "1.1", "1s", "cut", 200},
		"replaced":      {false, "1.1", "60s", "replaced", 429},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := waitingServer(t)
			s.heartbeat = 10 * time.Millisecond
			server := asAlice(t, s, waitRoute, map[bool]func(*httptest.Server){false: startPlain, true: startTLS}[c.secure])
			conn, raw := longPoll(t, server, c.secure, c.version, c.timeout)
			half := conn
			if c.lastly == "cut" {
				half = raw
			}
			if err := half.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			read := bufio.NewReader(conn)
			var others []net.Conn
			if c.lastly == "replaced" {
				if b, err := read.Peek(1); err != nil || b[0] != 'H' {
					t.Fatalf("begin: %q, %v", b, err)
				}
				for range api.MaxStreams {
					more, _ := longPoll(t, server, c.secure, "1.1", "2s")
					others = append(others, more)
				}
			}
			checkLate(t, read, c.code, c.version)
			if more, err := read.ReadByte(); err == nil {
				t.Errorf("after the answer: %q", more)
			}
			for _, other := range others {
				other.Close()
			}
			eventually.True(t, "all calls have ended", func() bool { return testutil.ToFloat64(s.inFlight.WithLabelValues(waitRoute)) == 0 })
			s.o.Streams.Wait()
		})
	}
}

// checkLate reads an answer, which has to be whole.
func checkLate(t *testing.T, read *bufio.Reader, code int, version string) {
	t.Helper()
	resp, err := http.ReadResponse(read, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != code || err != nil || resp.Header.Get("Date") == "" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v %s, %v", resp.Status, resp.Header, body, err)
	}
	if resp.Proto != "HTTP/"+version || int64(len(body)) != resp.ContentLength {
		t.Errorf("%s with %d of %d bytes", resp.Proto, len(body), resp.ContentLength)
	}
	if code == http.StatusOK {
		if err := protojson.Unmarshal(body, new(torikumiv1.Ticket)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestLongPollsOverOneConnection: who stays keeps their connection.
func TestLongPollsOverOneConnection(t *testing.T) {
	s := waitingServer(t)
	server := asAlice(t, s, waitRoute, startPlain)
	conn, _ := longPoll(t, server, false, "1.1", "1ms")
	read := bufio.NewReader(conn)
	for range 3 {
		resp, err := http.ReadResponse(read, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK || resp.Close {
			t.Errorf("%s %v, %v", resp.Status, resp.Header, err)
		}
		if _, err := io.WriteString(conn, "GET /v1/tickets/t/wait?timeout=1ms HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := http.ReadResponse(read, nil); err != nil {
		t.Error(err)
	}
}
