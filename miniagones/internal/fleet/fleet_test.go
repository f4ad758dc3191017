package fleet_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/internal/counts"
	"torikumi/miniagones/internal/fleet"
	"torikumi/miniagones/internal/process"
	"torikumi/miniagones/internal/virtual"
)

func TestMain(m *testing.M) {
	if code, child := conformance.Child(); child {
		os.Exit(code)
	}
	goleak.VerifyTestMain(m)
}

// children is a backend whose servers are this test binary.
func children(t testing.TB, mode string) *process.Backend {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := process.New(process.Options{
		Args: []string{self},
		// With the race detector a program would take a second to exit.
		Env:    append(os.Environ(), conformance.ModeVariable+"="+mode, "GORACE=atexit_sleep_ms=0"),
		Output: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// harness is a fleet that runs until stop, or the end of the test.
type harness struct {
	*fleet.Fleet
	conn *grpc.ClientConn
	stop func()
}

func run(t testing.TB, opts fleet.Options) *harness {
	t.Helper()
	if opts.Name == "" {
		opts.Name = "local"
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	f, err := fleet.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- f.Run(ctx) }()

	lis := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	f.Register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	conn, err := grpc.NewClient("passthrough:///fleet",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	t.Cleanup(stop)
	return &harness{Fleet: f, conn: conn, stop: stop}
}

func TestConformanceProcesses(t *testing.T) {
	has := counts.Set{Counters: map[string]counts.Counter{"rooms": {Capacity: 4}}, Lists: map[string]counts.List{"ids": {Capacity: 2}}}
	r := run(t, fleet.Options{Ready: 2, Max: 8, Backend: children(t, conformance.ModeServe), Counts: has})
	conformance.Run(t, conformance.Target{Conn: r.conn, Namespace: "default", Fleet: "local", Ready: 2, Counted: true})
}

func TestConformanceVirtual(t *testing.T) {
	r := run(t, fleet.Options{Ready: 3, Max: 12, Backend: new(virtual.Backend)})
	conformance.Run(t, conformance.Target{Conn: r.conn, Namespace: "default", Fleet: "local", Ready: 3, Silent: true})
}
