package matchmaker

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/rpc"
)

// said is a log.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

// lines are how many of its lines have all of some texts.
func (s *said) lines(texts ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for line := range strings.Lines(s.text.String()) {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				n--
				break
			}
		}
		n++
	}
	return n
}

// TestConnectionIsLogged: operators read where Open Match was looked for, also if it was never
// there, once for each time that it is away.
func TestConnectionIsLogged(t *testing.T) {
	address := porttest.Hold(t).String()
	conn, err := rpc.Dial(address, grpc.WithConnectParams(grpc.ConnectParams{
		Backoff: backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1, MaxDelay: time.Millisecond}, MinConnectTimeout: time.Second,
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	log := new(said)
	c := New(Options{OpenMatch: conn, Logger: slog.New(slog.NewTextHandler(log, nil)), Metrics: NewMetrics(prometheus.NewRegistry())})
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { c.watchConnection(ctx) })
	defer watching.Wait()
	defer cancel()
	where := []string{"setting=--open-match", "address=", address}
	await := func(n int, message string) {
		t.Helper()
		eventually.True(t, message, func() bool { return log.lines(append(where, message)...) == n })
	}
	await(1, "Open Match cannot be reached")
	for i := range 2 {
		lis, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		server, served := grpc.NewServer(), make(chan struct{})
		go func() { defer close(served); _ = server.Serve(lis) }()
		await(i+1, "connected to Open Match")
		server.Stop()
		<-served
		await(i+1, "connection to Open Match lost")
	}
	if n := log.lines(); n != 5 {
		t.Errorf("%d lines, want 5:\n%s", n, log.text.String())
	}
}
