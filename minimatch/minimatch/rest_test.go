package minimatch

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"torikumi/pkg/rpc"
)

// A service that stops lives and is not ready.
func TestHealthzWhileItStops(t *testing.T) {
	listener, server, state := bufconn.Listen(1<<16), grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, state)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	self, err := rpc.Dial("passthrough:///self", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return listener.DialContext(ctx)
	}))
	if err != nil {
		t.Fatal(err)
	}
	expect := func(path string, want int) {
		t.Helper()
		got := httptest.NewRecorder()
		healthz(self, got, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if got.Code != want {
			t.Errorf("%s: %d %s, want %d", path, got.Code, got.Body, want)
		}
	}
	expect("/healthz", 200)
	expect("/healthz?readiness=true", 200)
	state.Shutdown()
	expect("/healthz", 200)
	expect("/healthz?readiness=true", 503)
	if err := self.Close(); err != nil {
		t.Fatal(err)
	}
	expect("/healthz", 200)
	expect("/healthz?readiness=true", 503)
}

// A machine may have the name of one of gRPC's schemes.
func TestAMatchFunctionThatHasTheNameOfAScheme(t *testing.T) {
	for _, target := range []string{"dns:50502", "unix:50502", "passthrough:50502", "matchfunction:50502", "127.0.0.1:50502", "[::1]:50502"} {
		conn, err := new(Config).dialFunction(target)
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.CanonicalTarget(); got != "dns:///"+target {
			t.Errorf("%s is called at %s", target, got)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}
