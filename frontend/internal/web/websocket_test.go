package web

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/problem"
)

// piped is an answer over a connection in memory, which keeps nothing that is not read.
type piped struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (p piped) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return p.conn, bufio.NewReadWriter(bufio.NewReader(p.conn), bufio.NewWriter(p.conn)), nil
}

// openPipe follows a ticket by a WebSocket of which the client holds the connection.
func openPipe(t *testing.T, s *server) (client net.Conn) {
	t.Helper()
	client, conn := net.Pipe()
	r := httptest.NewRequest("GET", "/v1/tickets/t/websocket", http.NoBody)
	for name, value := range map[string]string{
		"Connection": "keep-alive, Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "c2l4dGVlbiBieXRlcyEhIQ==",
	} {
		r.Header.Set(name, value)
	}
	r.SetPathValue("id", "t")
	s.handler(route{method: "GET", path: "/v1/tickets/{id}/websocket", handle: s.webSocket,
		authenticate: func(context.Context, []string) (api.Caller, error) { return api.Caller{Player: "alice"}, nil }}).
		ServeHTTP(piped{httptest.NewRecorder(), conn}, r)
	return client
}

// TestWebSocketOfSlowReader: a client that does not read is ended after writeTimeout,
// and one that does not answer pings after a heartbeat and that time.
func TestWebSocketOfSlowReader(t *testing.T) {
	for name, c := range map[string]struct {
		read bool
		want time.Duration
	}{
		"reads nothing": {false, writeTimeout}, "answers nothing": {true, heartbeat + writeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := waitingServer(t)
				begin := time.Now()
				client := openPipe(t, s)
				if c.read {
					go func() { _, _ = io.Copy(io.Discard, client) }()
				}
				s.o.Streams.Wait()
				if took := time.Since(begin); took != c.want {
					t.Errorf("ended after %v, want %v", took, c.want)
				}
				client.Close()
			})
		})
	}
}

// TestWebSocketHeartbeats: one who answers stays, however long nothing happens.
func TestWebSocketHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := waitingServer(t)
		client := openPipe(t, s)
		// A pipe has no buffer: the answer to a ping is written beside the next read.
		pongs := make(chan []byte)
		go func() {
			for p := range pongs {
				_, _ = client.Write(p)
			}
		}()
		read := bufio.NewReader(client)
		for pings := 0; pings < 100; {
			header := make([]byte, 2)
			if _, err := io.ReadFull(read, header); err != nil {
				t.Fatalf("after %d pings: %v", pings, err)
			}
			size := int(header[1])
			if size == 126 {
				long := make([]byte, 2)
				if _, err := io.ReadFull(read, long); err != nil {
					t.Fatal(err)
				}
				size = int(long[0])<<8 | int(long[1])
			}
			payload := make([]byte, size)
			if _, err := io.ReadFull(read, payload); err != nil {
				t.Fatal(err)
			}
			if header[0] == 0x89 { // a ping
				pings++
				pongs <- append([]byte{0x8a, 0x80 | byte(size), 0, 0, 0, 0}, payload...)
			}
		}
		close(pongs)
		client.Close()
		s.o.Streams.Wait()
	})
}

// TestWebSocketOverTLS: where others speak HTTP/2, a WebSocket gets a connection of its
// own, and what asks over HTTP/2 is told so.
func TestWebSocketOverTLS(t *testing.T) {
	s := waitingServer(t)
	mux := http.NewServeMux()
	mux.Handle(webSocketRoute, s.handler(route{method: "GET", path: "/v1/tickets/{id}/websocket", handle: s.webSocket,
		authenticate: func(context.Context, []string) (api.Caller, error) { return api.Caller{Player: "alice"}, nil }}))
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/v1/tickets/t/websocket")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusUpgradeRequired || resp.Header.Get("Content-Type") != problem.ContentType {
		t.Errorf("over HTTP/2: %s %s %v", resp.Proto, resp.Status, resp.Header)
	}
	for _, name := range []string{"Connection", "Upgrade", "Keep-Alive", "Transfer-Encoding", "Proxy-Connection"} { // RFC 9113, 8.2.2
		if got := resp.Header.Get(name); got != "" {
			t.Errorf("over HTTP/2: %s: %s", name, got)
		}
	}
	conn, _, err := websocket.Dial(t.Context(), server.URL+"/v1/tickets/t/websocket", &websocket.DialOptions{HTTPClient: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if _, text, err := conn.Read(t.Context()); err != nil || !strings.Contains(string(text), `"event":"ticket"`) {
		t.Errorf("message: %s %v", text, err)
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	s.o.Streams.Wait()
}

func TestCloseCodes(t *testing.T) {
	for want, p := range map[websocket.StatusCode]problem.Problem{
		websocket.StatusServiceRestart:  {Status: 503, Reason: "stopping"},
		websocket.StatusTryAgainLater:   {Status: 503, Reason: "ticket_store_unavailable"},
		websocket.StatusInternalError:   {Status: 500},
		websocket.StatusPolicyViolation: {Status: 429, Reason: "too_many_streams"},
	} {
		if got := closeCode(p); got != want {
			t.Errorf("%+v: %v, want %v", p, got, want)
		}
	}
}
