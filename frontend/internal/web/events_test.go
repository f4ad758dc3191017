package web

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quiet sends one state and then nothing until the caller has gone.
type quiet struct {
	torikumiv1.UnimplementedFrontendServiceServer
	gone chan struct{}
}

func (q *quiet) WatchTicket(_ *torikumiv1.WatchTicketRequest, out grpc.ServerStreamingServer[torikumiv1.Ticket]) error {
	if err := out.Send(&torikumiv1.Ticket{Id: "t", State: torikumiv1.TicketState_SEARCHING}); err != nil {
		return err
	}
	<-out.Context().Done()
	close(q.gone)
	return nil
}

func TestHeartbeats(t *testing.T) {
	lis, server, q := bufconn.Listen(1<<16), grpc.NewServer(), &quiet{gone: make(chan struct{})}
	torikumiv1.RegisterFrontendServiceServer(server, q)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	defer func() { server.Stop(); <-served }()
	conn, err := rpc.Dial("passthrough:///x", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	web := httptest.NewServer(&events{torikumiv1.NewFrontendServiceClient(conn), time.Millisecond})
	defer web.Close()
	resp, err := http.Get(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	beats, scan := 0, bufio.NewScanner(resp.Body)
	for beats < 3 && scan.Scan() {
		if scan.Text() == ": still searching" {
			beats++
		}
	}
	if beats != 3 {
		t.Errorf("%d heartbeats, then %v", beats, scan.Err())
	}
	// A client that has gone takes its stream with it.
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	<-q.gone
}
