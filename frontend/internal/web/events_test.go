package web

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"torikumi/frontend/internal/api"
	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/queues"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitingServer has a ticket t of alice's, which waits.
func waitingServer(t *testing.T) *server {
	t.Helper()
	store := ticket.NewMemory(ticket.Limits{Tickets: 1})
	if _, err := store.Create(t.Context(), ticket.Ticket{ID: "t", Players: []*torikumiv1.Player{{Id: "alice"}}}); err != nil {
		t.Fatal(err)
	}
	return newServer(Options{
		Service: api.New(api.Options{Store: store, Queues: queues.Default()}), Auth: &api.Authenticator{}, Registry: prometheus.NewRegistry(),
		Streams: new(sync.WaitGroup),
	})
}

func TestHeartbeats(t *testing.T) {
	s := waitingServer(t)
	streams := s.o.Streams
	s.heartbeat = time.Millisecond
	client, conn := net.Pipe()
	streams.Go(func() { s.stream(conn, http.Header{}, api.Caller{Player: "alice"}, "t", "") })
	beats, scan := 0, bufio.NewScanner(client)
	for beats < 3 && scan.Scan() {
		if scan.Text() == ": still searching" {
			beats++
		}
	}
	if beats != 3 {
		t.Errorf("%d heartbeats, then %v", beats, scan.Err())
	}
	// A client that has gone takes its stream with it.
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	streams.Wait()
}

// recordedConn keeps what was written to it.
type recordedConn struct{ text bytes.Buffer }

func (c *recordedConn) begin(text *bytes.Buffer) { text.WriteString("head\n") }

func (c *recordedConn) write(b []byte) error {
	_, err := c.text.Write(b)
	return err
}

// Whether a client that has half-closed its connection still listens is asked after its
// ticket, which is the first event of every stream.
func TestTicketBeforeHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := new(recordedConn)
		out := newEventWriter(conn, "")
		heard := make(chan bool)
		go func() { heard <- out.heard(t.Context()) }()
		synctest.Wait()
		if err := out.send(&torikumiv1.Ticket{}); err != nil {
			t.Fatal(err)
		}
		if !<-heard {
			t.Error("not heard")
		}
		text := conn.text.String()
		if !strings.HasPrefix(text, "head\nid: ") || strings.Count(text, ": still searching\n\n") != 2 {
			t.Errorf("%q", text)
		}
	})
}

// A browser follows a ticket over HTTP/2, where no connection can be taken over.
func TestEventsOverHTTP2(t *testing.T) {
	s := waitingServer(t)
	s.heartbeat = time.Millisecond
	mux := http.NewServeMux()
	mux.Handle(eventsRoute, s.handler(route{method: "GET", path: "/v1/tickets/{id}/events", handle: s.events,
		authenticate: func(context.Context, []string) (api.Caller, error) { return api.Caller{Player: "alice"}, nil }}))
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/v1/tickets/t/events")
	if err != nil {
		t.Fatal(err)
	}
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%s %s %v", resp.Proto, resp.Status, resp.Header)
	}
	beats, tickets, scan := 0, 0, bufio.NewScanner(resp.Body)
	for (beats < 3 || tickets < 1) && scan.Scan() {
		switch scan.Text() {
		case ": still searching":
			beats++
		case "event: ticket":
			tickets++
		}
	}
	if beats < 3 || tickets != 1 {
		t.Errorf("%d heartbeats, %d tickets, then %v", beats, tickets, scan.Err())
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}
