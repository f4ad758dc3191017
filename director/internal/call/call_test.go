package call_test

import (
	"context"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"torikumi/director/internal/call"
	"torikumi/pkg/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering is a server that gives one answer, and can drop the connection.
type answering struct {
	grpc_health_v1.UnimplementedHealthServer
	err error
}

func (a *answering) Check(context.Context, *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return new(grpc_health_v1.HealthCheckResponse), a.err
}

func TestEffect(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, a := grpc.NewServer(), new(answering)
	grpc_health_v1.RegisterHealthServer(srv, a)
	go func() { _ = srv.Serve(lis) }()
	defer srv.Stop()
	conn, err := rpc.Dial(lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	client := grpc_health_v1.NewHealthClient(conn)
	try := func(ctx context.Context) call.Effect {
		var sent call.Sent
		_, err := client.Check(ctx, new(grpc_health_v1.HealthCheckRequest), sent.Option())
		return sent.Effect(err)
	}

	for code, want := range map[codes.Code]call.Effect{
		codes.OK: call.Done, codes.ResourceExhausted: call.Busy, codes.Aborted: call.Busy, codes.NotFound: call.Busy,
		codes.InvalidArgument: call.Refused, codes.PermissionDenied: call.Refused, codes.Unauthenticated: call.Refused,
		codes.Unimplemented: call.Refused, codes.FailedPrecondition: call.Refused, codes.OutOfRange: call.Refused,
		codes.AlreadyExists: call.Refused,
		codes.Unavailable:   call.Unknown, codes.DeadlineExceeded: call.Unknown, codes.Canceled: call.Unknown,
		codes.Unknown: call.Unknown, codes.Internal: call.Unknown, codes.DataLoss: call.Unknown,
		// HTTP's, as Agones sends them.
		400: call.Refused, 403: call.Refused, 422: call.Refused, 409: call.Busy, 429: call.Busy,
		99: call.Unknown, 200: call.Unknown, 408: call.Unknown, 500: call.Unknown, 504: call.Unknown, 600: call.Unknown,
	} {
		if a.err = status.Error(code, "so"); code == codes.OK {
			a.err = nil
		}
		if got := try(t.Context()); got != want {
			t.Errorf("%v: %v, want %v", code, got, want)
		}
	}

	ended, end := context.WithCancel(t.Context())
	end()
	if got := try(ended); got != call.NotSent {
		t.Errorf("call of a context that has ended: %v", got)
	}
	srv.Stop()
	for got := try(t.Context()); got != call.NotSent; got = try(t.Context()) {
		if got != call.Unknown { // the connection has yet to see the end
			t.Fatalf("server that is gone: %v", got)
		}
	}
}

// TestConnectionLost: the server ends while it has the call.
func TestConnectionLost(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived := make(chan struct{})
	srv := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
		close(arrived)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	grpc_health_v1.RegisterHealthServer(srv, new(answering))
	go func() { _ = srv.Serve(lis) }()
	conn, err := rpc.Dial(lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() { <-arrived; srv.Stop() }()
	var sent call.Sent
	_, err = grpc_health_v1.NewHealthClient(conn).Check(t.Context(), new(grpc_health_v1.HealthCheckRequest), sent.Option())
	if got := sent.Effect(err); got != call.Unknown {
		t.Errorf("%v, %v", got, err)
	}
}
