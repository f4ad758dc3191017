package web

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"torikumi/frontend/internal/api"
	"torikumi/frontend/internal/ticket"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHeartbeats(t *testing.T) {
	store := ticket.NewMemory(ticket.Limits{Tickets: 1})
	if _, err := store.Create(t.Context(), ticket.Ticket{ID: "t", Players: []*torikumiv1.Player{{Id: "alice"}}}); err != nil {
		t.Fatal(err)
	}
	var streams sync.WaitGroup
	s := newServer(Options{
		Service: api.New(api.Options{Store: store}), Auth: &api.Authenticator{}, Registry: prometheus.NewRegistry(),
		Streams: &streams,
	})
	s.heartbeat = time.Millisecond
	client, conn := net.Pipe()
	streams.Go(func() { s.stream(conn, http.Header{}, "alice", "t") })
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
