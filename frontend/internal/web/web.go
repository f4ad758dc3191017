// Package web puts the player API over HTTP: JSON, server-sent events for those
// who wait, the key set for gates, and the one route that clients of before
// already use. All routes stand in routes.go. Every error is an RFC 9457
// problem. On the player's path it is what the game client talks to.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"torikumi/frontend/internal/api"
	"torikumi/frontend/signing"
	"torikumi/pkg/cors"
	"torikumi/pkg/problem"
	"torikumi/pkg/token"
)

const (
	// MaxBody is the largest body of a request in bytes.
	MaxBody = 16 << 10
	// heartbeat is the time between comments in an event stream; they keep
	// proxies from closing a quiet one.
	heartbeat = 15 * time.Second
	// writeTimeout is how long a client may leave an event unread.
	writeTimeout = 10 * time.Second
)

// Options are what the routes need; all are required but those that say so.
type Options struct {
	Service *api.Service
	Auth    *api.Authenticator
	Keys    *signing.Keys
	Logger  *slog.Logger
	// Registry gets the metrics.
	Registry prometheus.Registerer
	// PlayQueue is the queue of the play route's tickets.
	PlayQueue string
	// PlayTimeout is how long it waits for a match.
	PlayTimeout time.Duration
	// Origins are those of pages whose scripts may call; none: only the frontend's
	// own.
	Origins []string
	// Streams are the event streams and WebSockets, and long polls of clients that send nothing more. They end when the service stops, and are to
	// be waited for after the HTTP server has ended.
	Streams *sync.WaitGroup
}

// server serves the routes.
type server struct {
	o         Options
	mux       *http.ServeMux
	browsers  *cors.Policy
	heartbeat time.Duration
	inFlight  *prometheus.GaugeVec
	requests  *prometheus.CounterVec
}

// NewHandler makes the handler of all routes.
func NewHandler(o Options) http.Handler {
	s := newServer(o)
	return s.forBrowsers(s.mux)
}

func newServer(o Options) *server {
	s := &server{
		o: o, mux: http.NewServeMux(), browsers: browsers(o.Origins), heartbeat: heartbeat,
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "torikumi", Subsystem: "frontend", Name: "http_requests_in_flight", Help: "Requests of players that are being answered, event streams, WebSockets and long polls among them.",
		}, []string{"route"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "torikumi", Subsystem: "frontend", Name: "http_requests_total", Help: "Requests of players that have been answered.",
		}, []string{"route", "code"}),
	}
	o.Registry.MustRegister(s.inFlight, s.requests)
	for _, rt := range s.routes() {
		s.mux.Handle(rt.String(), s.handler(rt))
	}
	s.mux.Handle(token.JWKSPath, signing.JWKSHandler(o.Keys))
	s.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI(s.routes())) // with queues as they are now // the client is gone if this fails
	})
	s.mux.HandleFunc(anyPath, s.noRoute)
	return s
}

// anyPath matches what no route does.
const anyPath = "/"

// handler is the middleware of every route: it counts, reads the body, finds out
// who calls, and answers errors.
func (s *server) handler(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.inFlight.WithLabelValues(rt.String()).Inc()
		out := &answer{ResponseWriter: w, code: http.StatusOK}
		err := errPanicked
		defer func() {
			if errors.Is(err, errPanicked) {
				s.o.Logger.Error("request panicked", "route", rt.String(), "panic", recover(), "stack", string(debug.Stack()))
			}
			if errors.Is(err, errTaken) {
				return // it goes on
			}
			if err != nil {
				asProblem(err).Write(out)
			}
			out.close()
			s.finish(rt.String(), out.code)
		}()
		err = s.serve(rt, out, r)
	})
}

var (
	// errTaken means that a handler has taken the connection over, and finishes
	// the request itself.
	errTaken = errors.New("connection taken over")
	// errPanicked ends the request with a problem, and not the process.
	errPanicked = errors.New("request panicked")
)

// finish counts a request.
func (s *server) finish(route string, code int) {
	s.requests.WithLabelValues(route, strconv.Itoa(code)).Inc()
	s.inFlight.WithLabelValues(route).Dec() // last: who sees none under way finds all counted
}

// answer remembers its status.
type answer struct {
	http.ResponseWriter
	code int
	// late is nil for a call that does not wait.
	late *late
}

func (a *answer) WriteHeader(code int) {
	a.code = code
	a.writer().WriteHeader(code)
}

func (a *answer) Write(b []byte) (int, error) { return a.writer().Write(b) }

// writer is where the answer is written to, from now on.
func (a *answer) writer() http.ResponseWriter {
	if a.late != nil && a.late.settle() {
		return a.late
	}
	return a.ResponseWriter
}

// close ends the answer; nothing is written then.
func (a *answer) close() {
	if a.late != nil {
		a.late.close()
	}
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (s *server) serve(rt route, w *answer, r *http.Request) error {
	if r.Method != rt.method { // HEAD, which ServeMux takes for GET
		s.noRoute(w, r)
		return nil
	}
	// Tickets and tokens are for the caller and for now.
	w.Header().Set("Cache-Control", "no-store")
	if err := readBody(w, r); err != nil {
		return err
	}
	switch {
	case r.ProtoMajor != 1 || rt.hangUp:
	case rt.waits:
		r = w.outlast(r, s.o.Streams, s.heartbeat)
	default:
		// Whoever closes their half of the connection would cancel the call, and may
		// still wait for its answer.
		r = r.WithContext(context.WithoutCancel(r.Context()))
	}
	if rt.public {
		return rt.handle(w, r, api.Caller{})
	}
	authenticate := rt.authenticate
	if authenticate == nil {
		authenticate = s.o.Auth.Caller
	}
	tokens := r.Header.Values("Authorization")
	if rt.tokens != nil {
		tokens = rt.tokens(r)
	}
	caller, err := authenticate(r.Context(), tokens)
	if err != nil {
		return err
	}
	caller.Address = s.o.Auth.Proxies.Client(r.RemoteAddr, r.Header.Values("X-Forwarded-For"))
	return rt.handle(w, r, caller)
}

// noRoute answers requests that no route takes.
func (s *server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch} {
		probe := *r
		probe.Method = method
		if _, pattern := s.mux.Handler(&probe); pattern != anyPath {
			allowed = append(allowed, method)
		}
	}
	// A path that is not clean is redirected for every method.
	if len(allowed) == 0 || slices.Contains(allowed, r.Method) {
		problem.Write(w, http.StatusNotFound, "there is nothing at this path")
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	problem.Write(w, http.StatusMethodNotAllowed, "use "+strings.Join(allowed, " or "))
}

// refuse answers a request that does not get as far as the service.
func refuse(httpStatus int, detail string, fields ...problem.Field) error {
	return &api.Error{Problem: problem.New(httpStatus, detail, fields...)}
}

// asProblem makes the problem of any error.
func asProblem(err error) problem.Problem {
	var failed *api.Error
	if errors.As(err, &failed) {
		return failed.Problem
	}
	return problem.New(http.StatusInternalServerError, "internal error")
}
