package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"torikumi/pkg/rpc"
)

// web is an HTTP server with its listeners; nil is none.
type web struct {
	http     *http.Server
	lis      []net.Listener
	arrivals *arrivals
}

func (s *server) openHTTP() error {
	requests, cancel := context.WithCancel(context.Background())
	s.endRequests = cancel
	mux := http.NewServeMux()
	if len(s.adminLis) > 0 {
		admin := http.NewServeMux()
		s.state.routes(admin, s.Registry)
		profiles(admin)
		s.admin = s.newWeb(requests, withProblems(admin), s.adminLis)
	} else {
		s.state.routes(mux, s.Registry)
	}
	if len(s.httpLis) == 0 {
		return nil
	}
	self, err := rpc.Dial("passthrough:///self", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return s.memory.DialContext(ctx)
	}))
	if err != nil {
		return err
	}
	s.self = self
	if s.HTTP != nil {
		if err := s.HTTP(mux, self); err != nil {
			return fmt.Errorf("set up HTTP: %w", err)
		}
	}
	h := withProblems(mux)
	if s.WrapHTTP != nil {
		h = s.WrapHTTP(h)
	}
	s.http = s.newWeb(requests, h, s.httpLis)
	return nil
}

// newWeb makes a server whose requests end with a context.
func (s *server) newWeb(requests context.Context, h http.Handler, lis []net.Listener) *web {
	w := &web{
		http: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: 10 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
			BaseContext:       func(net.Listener) context.Context { return requests },
		},
		lis:      lis,
		arrivals: newArrivals(cmp.Or(s.BodyTimeout, bodyTimeout)),
	}
	if s.HTTP2 {
		w.http.Protocols = new(http.Protocols)
		w.http.Protocols.SetHTTP1(true)
		w.http.Protocols.SetUnencryptedHTTP2(true)
	}
	w.arrivals.attach(w.http)
	return w
}

// profiles adds the routes of runtime/pprof, but the command line, which may hold a secret.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// serve serves each listener in a goroutine of the group.
func (w *web) serve(group *errgroup.Group) {
	if w == nil {
		return
	}
	for _, l := range w.lis {
		group.Go(func() error {
			if err := w.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		})
	}
}

// stop lets requests come to their end, until the limit.
func (w *web) stop(limit context.Context) {
	if w == nil {
		return
	}
	missing := time.AfterFunc(stopPatience, w.arrivals.stop)
	defer missing.Stop()
	if err := w.http.Shutdown(limit); err != nil {
		_ = w.http.Close() // the limit is over: cut what is left
	}
}
