// Package service starts and stops a service the same way everywhere: alone
// as a pod, with all others in one process, and in tests. It serves gRPC and
// HTTP with health, readiness and metrics, and stops gracefully.
package service

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"torikumi/pkg/rpc"
	"torikumi/pkg/version"
)

// Config holds the settings that all services share; each service embeds it.
type Config struct {
	LogLevel        slog.Level    `flag:"log-level" default:"INFO" help:"Least level to log: DEBUG, INFO, WARN or ERROR."`
	LogFormat       string        `flag:"log-format" default:"text" rule:"text or json" help:"Format of the log."`
	ShutdownTimeout time.Duration `flag:"shutdown-timeout" default:"10s" rule:"positive" help:"Longest time for calls under way to end once the service has been told to stop."`
	AdminListen     string        `flag:"admin-listen" rule:"listen" help:"Address of /livez, /readyz, /metrics and /debug/pprof, for probes and operators alone: they are then nowhere else. None: the first three are at the HTTP address."`
}

// Logger makes the log that the settings ask for.
func (c *Config) Logger(w io.Writer, name string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.LogLevel}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if c.LogFormat == "json" {
		h = slog.NewJSONHandler(w, opts)
	}
	return slog.New(h).With("service", name)
}

// Addrs are the addresses that a service really listens on, as host:port.
type Addrs struct {
	// GRPC, HTTP and Admin are the first address of each; empty if not served.
	GRPC, HTTP, Admin string
	// GRPCAll and HTTPAll are all of them, in the order of Options.
	GRPCAll, HTTPAll []string
	// UDPAll are those where the service answers datagrams.
	UDPAll []string
}

// Options say what a service serves.
type Options struct {
	Name   string
	Config Config
	Logger *slog.Logger

	// GRPCListen are the addresses of the gRPC server. Port 0 is any free one.
	GRPCListen []string
	// GRPCTLS are the settings of TLS of GRPCListen.
	GRPCTLS rpc.GRPCTLS
	// HTTPListen are the addresses of the HTTP server; empty ones are passed over.
	HTTPListen []string
	// HTTPSListen are addresses where the HTTP server speaks TLS, by the settings
	// of TLS. They come behind those of HTTPListen in Addrs.
	HTTPSListen []string
	// TLS has to be given with HTTPSListen.
	TLS *tls.Config

	// Register adds the gRPC services.
	Register func(grpc.ServiceRegistrar)
	// HTTP adds the HTTP routes. self is a connection to the service's own
	// gRPC server that stays in memory, for grpc-gateway: calls pass the real
	// interceptors. Taken, unless Config.AdminListen has them: /livez, /readyz,
	// /metrics.
	HTTP func(mux *http.ServeMux, self *grpc.ClientConn) error
	// WrapHTTP stands around all HTTP routes.
	WrapHTTP func(http.Handler) http.Handler
	// HTTP2 has HTTPListen speak HTTP/2 without TLS too, as gRPC needs it.
	HTTP2 bool
	// BodyTimeout is how long a client may take to send the body of a request; zero
	// means 10 s.
	BodyTimeout time.Duration
	// Ready says, by name, what has to work for the service to be useful. Each
	// check has to answer soon.
	Ready map[string]func(context.Context) error
	// Background runs while the service does. Its context ends as the first
	// thing of a stop, so that it can end the long streams that calls are in;
	// calls under way still get their time. An error stops the service.
	Background []func(context.Context) error
	// Registry collects the metrics; nil makes one, with those of the process.
	Registry *prometheus.Registry
	// ServerOptions come after those of rpc.ServerOptions.
	ServerOptions []grpc.ServerOption
	// Started is called once, when everything listens.
	Started func(Addrs)
}

// NewRegistry makes a metrics registry with those of the Go process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Run serves until ctx ends, and then stops: readiness turns false, calls
// under way get ShutdownTimeout to end, the background is waited for last. It
// returns nil after such a stop, and otherwise what went wrong. Nothing it has
// started is left when it returns.
func Run(ctx context.Context, o Options) error {
	s, err := open(ctx, o)
	if err != nil {
		return fmt.Errorf("start %s: %w", o.Name, err)
	}
	return s.run(ctx)
}

// server is a service whose listeners are open.
type server struct {
	Options
	lis      []net.Listener
	memory   *bufconn.Listener
	httpLis  []net.Listener
	adminLis []net.Listener
	grpc     *grpc.Server
	http     *web
	admin    *web
	self     *grpc.ClientConn
	health   *health.Server
	state    *readiness
	// requests is the parent of every HTTP request, ended when the grace is over.
	endRequests context.CancelFunc
}

func open(ctx context.Context, o Options) (*server, error) {
	o.Logger = cmp.Or(o.Logger, o.Config.Logger(os.Stderr, o.Name))
	o.Registry = cmp.Or(o.Registry, NewRegistry())
	o.Config.ShutdownTimeout = cmp.Or(o.Config.ShutdownTimeout, 10*time.Second)
	s := &server{Options: o, state: &readiness{checks: o.Ready}, endRequests: func() {}}
	s.openGRPC()
	err := s.listen(ctx)
	if err == nil {
		err = s.openHTTP()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *server) listen(ctx context.Context) error {
	if err := s.listenGRPC(ctx); err != nil {
		return err
	}
	for _, addr := range s.HTTPListen {
		if addr == "" {
			continue
		}
		l, err := Listen(ctx, addr)
		if err != nil {
			return fmt.Errorf("listen for HTTP: %w", err)
		}
		s.httpLis = append(s.httpLis, l)
	}
	for _, addr := range s.HTTPSListen {
		if addr == "" {
			continue
		}
		if s.TLS == nil {
			return errors.New("listen for HTTPS: no settings of TLS")
		}
		l, err := Listen(ctx, addr)
		if err != nil {
			return fmt.Errorf("listen for HTTPS: %w", err)
		}
		s.httpLis = append(s.httpLis, tls.NewListener(l, s.TLS))
	}
	if addr := s.Config.AdminListen; addr != "" {
		l, err := Listen(ctx, addr)
		if err != nil {
			return fmt.Errorf("listen for --admin-listen: %w", err)
		}
		s.adminLis = []net.Listener{l}
	}
	return nil
}

func (s *server) listenGRPC(ctx context.Context) error {
	secured, err := s.GRPCTLS.ServerTLS()
	if err != nil {
		return err
	}
	for _, addr := range s.GRPCListen {
		l, err := Listen(ctx, addr)
		if err != nil {
			return fmt.Errorf("listen for gRPC: %w", err)
		}
		if secured != nil {
			l = tls.NewListener(l, secured)
		}
		s.lis = append(s.lis, l)
	}
	return nil
}

func (s *server) openGRPC() {
	s.grpc = grpc.NewServer(append(rpc.ServerOptions(s.Registry, s.Logger), s.ServerOptions...)...)
	s.health = health.NewServer()
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	if s.Register != nil {
		s.Register(s.grpc)
	}
	s.memory = bufconn.Listen(1 << 20)
}

// run serves, waits for the end and stops in reverse order.
func (s *server) run(ctx context.Context) error {
	serving, serveErr := errgroup.WithContext(ctx)
	for _, l := range append([]net.Listener{s.memory}, s.lis...) {
		serving.Go(func() error { return s.grpc.Serve(l) })
	}
	s.http.serve(serving)
	s.admin.serve(serving)

	backCtx, stopBack := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBack()
	back, backErr := errgroup.WithContext(backCtx)
	for _, f := range s.Background {
		back.Go(func() error {
			if err := f(backErr); err != nil && backErr.Err() == nil {
				return err
			}
			return nil
		})
	}

	s.state.set(true)
	s.Logger.Info("started", "version", version.String())
	if s.Started != nil {
		s.Started(s.addrs())
	}
	select {
	case <-ctx.Done():
	case <-serveErr.Done():
	case <-backErr.Done():
	}

	s.state.set(false)
	s.health.Shutdown()
	stopBack()
	s.stop()
	return errors.Join(unlessCancelled(serving.Wait()), unlessCancelled(back.Wait()))
}

func unlessCancelled(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// stop ends the servers: no new calls, then a limit for those under way.
func (s *server) stop() {
	limit, cancel := context.WithTimeout(context.Background(), s.Config.ShutdownTimeout)
	defer cancel()
	s.http.stop(limit)
	s.endRequests()
	if s.self != nil {
		_ = s.self.Close() // in memory
	}
	graceful := make(chan struct{})
	go func() { s.grpc.GracefulStop(); close(graceful) }()
	select {
	case <-graceful:
	case <-limit.Done():
		s.grpc.Stop()
		<-graceful
	}
	// Last, so that a probe sees that it is not ready any more.
	s.admin.stop(limit)
}

// close undoes a start that failed half-way.
func (s *server) close() {
	for _, l := range slices.Concat(s.lis, s.httpLis, s.adminLis) {
		_ = l.Close() // never served
	}
	if s.self != nil {
		_ = s.self.Close() // in memory
	}
	_ = s.memory.Close() // in memory
	s.grpc.Stop()
	s.endRequests()
}

func (s *server) addrs() Addrs {
	var a Addrs
	for _, l := range s.lis {
		a.GRPCAll = append(a.GRPCAll, l.Addr().String())
		a.GRPC = a.GRPCAll[0]
	}
	for _, l := range s.httpLis {
		a.HTTPAll = append(a.HTTPAll, l.Addr().String())
		a.HTTP = a.HTTPAll[0]
	}
	for _, l := range s.adminLis {
		a.Admin = l.Addr().String()
	}
	return a
}
