package rpc_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"torikumi/pkg/porttest"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBackoffGrowsToMaxAndResets(t *testing.T) {
	b := rpc.Backoff{Min: 10 * time.Millisecond, Max: 80 * time.Millisecond}
	for i, ms := range []int{10, 20, 40, 80, 80, 80} {
		limit := time.Duration(ms) * time.Millisecond
		if d := b.Next(); d < limit/2 || d > limit {
			t.Errorf("wait %d: %v is not in [%v, %v]", i, d, limit/2, limit)
		}
	}
	b.Reset()
	if d := b.Next(); d > 10*time.Millisecond {
		t.Errorf("after reset: %v", d)
	}
}

func TestBackoffWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := rpc.Backoff{Min: time.Hour, Max: time.Hour}
	if err := b.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// frontend reports whether calls come with a deadline, and takes large tickets.
type frontend struct {
	openmatch.UnimplementedFrontendServiceServer
	remaining chan time.Duration
}

func (f *frontend) DeleteTicket(ctx context.Context, _ *openmatch.DeleteTicketRequest) (*emptypb.Empty, error) {
	d, ok := ctx.Deadline()
	if !ok {
		f.remaining <- 0
	} else {
		f.remaining <- time.Until(d)
	}
	return &emptypb.Empty{}, nil
}

func (f *frontend) GetTicket(_ context.Context, r *openmatch.GetTicketRequest) (*openmatch.Ticket, error) {
	return &openmatch.Ticket{Id: r.TicketId, SearchFields: &openmatch.SearchFields{Tags: []string{string(make([]byte, 8<<20))}}}, nil
}

func serve(t *testing.T, l net.Listener, f *frontend) func() {
	t.Helper()
	s := grpc.NewServer(rpc.ServerOptions(prometheus.NewRegistry(), slog.New(slog.NewTextHandler(io.Discard, nil)))...)
	openmatch.RegisterFrontendServiceServer(s, f)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	return func() {
		s.Stop()
		<-done
	}
}

func TestDialSetsADeadlineAndTakesLargeMessagesAndComesBack(t *testing.T) {
	addr := porttest.Hold(t).String()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	f := &frontend{remaining: make(chan time.Duration, 1)}
	stop := serve(t, l, f)
	conn, err := rpc.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := openmatch.NewFrontendServiceClient(conn)

	if _, err := client.DeleteTicket(t.Context(), &openmatch.DeleteTicketRequest{}); err != nil {
		t.Fatal(err)
	}
	if d := <-f.remaining; d <= 0 || d > rpc.DefaultDeadline {
		t.Errorf("deadline in %v", d)
	}
	if _, err := client.GetTicket(t.Context(), &openmatch.GetTicketRequest{TicketId: "t"}); err != nil {
		t.Errorf("8 MiB message: %v", err)
	}

	stop()
	l, err = net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer serve(t, l, f)()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// A call that was on its way over the old connection may still fail.
	for {
		_, err := client.DeleteTicket(ctx, &openmatch.DeleteTicketRequest{}, grpc.WaitForReady(true))
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("after the server's restart: %v", err)
		}
	}
	<-f.remaining
}
