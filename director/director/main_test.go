package director_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"torikumi/director/director"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a gRPC server on a loopback port until the test ends.
func serve(t *testing.T, addr string, register func(*grpc.Server), opts ...grpc.ServerOption) (string, *grpc.Server) {
	t.Helper()
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(opts...)
	register(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serve: %v", err)
		}
	}()
	t.Cleanup(func() { s.Stop(); <-done })
	return lis.Addr().String(), s
}

// instance is a director that runs in this process.
type instance struct {
	addrs service.Addrs
	stop  context.CancelFunc
	done  chan error
	once  sync.Once
	err   error
}

// wait returns what Run returned.
func (i *instance) wait() error {
	i.once.Do(func() { i.err = <-i.done })
	return i.err
}

// start runs a director against the harness; change adapts its settings.
func start(t *testing.T, h *harness, change func(*director.Config)) *instance {
	t.Helper()
	cfg := new(director.Config)
	config.Default(cfg)
	cfg.LogLevel = slog.LevelError + 1
	cfg.GRPCListen, cfg.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
	cfg.OpenMatch, cfg.Frontend = h.omAddr, h.omAddr
	cfg.Allocator, cfg.AllocatorInsecure, cfg.GameServers = []string{h.fleetAddr}, true, h.fleetAddr
	cfg.IdleInterval = 5 * time.Millisecond
	if change != nil {
		change(cfg)
	}
	if err := config.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	i := &instance{stop: stop, done: make(chan error, 1)}
	up := make(chan service.Addrs, 1)
	go func() { i.done <- director.Run(ctx, cfg, func(a service.Addrs) { up <- a }) }()
	select {
	case i.addrs = <-up:
	case err := <-i.done:
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() {
		stop()
		if err := i.wait(); err != nil {
			t.Errorf("director: %v", err)
		}
	})
	return i
}
