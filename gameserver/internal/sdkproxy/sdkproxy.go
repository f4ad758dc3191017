// Package sdkproxy passes the Agones SDK on to the game server's own SDK server, so
// that a dedicated server has one address for gate and SDK: gRPC, REST, and the watch
// of REST as a stream of lines or as a WebSocket, as Agones's plugin for Unreal Engine
// speaks it. It knows nothing of what it passes on, and adds no right: the game server
// can reach the SDK server itself. A web page gets none either: who calls has to name this
// machine as the host.
package sdkproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"torikumi/pkg/problem"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
)

const (
	// dialTimeout bounds how long the SDK server, which is on this machine, may take
	// to accept a connection, and answerTimeout to begin its answer over REST. A watch has no
	// such time: some SDK servers say nothing before the game server changes.
	dialTimeout   = 2 * time.Second
	answerTimeout = 15 * time.Second
	watchPath     = "/watch/gameserver"
)

// restPaths are those of the SDK over REST, and rpcPaths over gRPC.
var (
	restPaths = []string{
		"/ready", "/health", "/allocate", "/reserve", "/shutdown", "/gameserver", watchPath,
		"/metadata/label", "/metadata/annotation", "/v1beta1/", "/alpha/",
	}
	rpcPaths = []string{"/agones.dev.sdk.SDK/", "/agones.dev.sdk.beta.SDK/", "/agones.dev.sdk.alpha.SDK/"}
)

// Options are what a [Proxy] needs.
type Options struct {
	// GRPCPort and HTTPPort are those of the SDK server on localhost.
	GRPCPort, HTTPPort int
	// AnswerTimeout is how long the SDK server may take to begin an answer over REST that is
	// no watch; zero means 15 s.
	AnswerTimeout time.Duration
	// Logger must not be nil.
	Logger *slog.Logger
}

// Proxy passes calls on. Make it with New, and end its streams with Run.
type Proxy struct {
	rest, watch, rpc *httputil.ReverseProxy
	close            func()

	// ending is the end of all streams.
	ending context.Context
	end    context.CancelFunc

	mu      sync.Mutex
	over    bool
	streams sync.WaitGroup
}

// New makes a Proxy.
func New(o Options) *Proxy {
	p := &Proxy{}
	p.ending, p.end = context.WithCancel(context.Background())
	// No proxy of the environment: the SDK server is on this machine.
	dial := (&net.Dialer{Timeout: dialTimeout}).DialContext
	var h2c http.Protocols
	h2c.SetUnencryptedHTTP2(true)
	rest := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, DisableCompression: true, ResponseHeaderTimeout: cmp.Or(o.AnswerTimeout, answerTimeout)}
	watch := rest.Clone()
	watch.ResponseHeaderTimeout = 0
	grpc := &http.Transport{DialContext: dial, IdleConnTimeout: time.Minute, DisableCompression: true, Protocols: &h2c}
	overREST, overRPC := newUpstream(o.HTTPPort, "--sdk-http-port", o.Logger), newUpstream(o.GRPCPort, "--sdk-grpc-port", o.Logger)
	unavailable := func(w http.ResponseWriter, detail string) {
		answer := problem.New(http.StatusServiceUnavailable, detail)
		answer.Reason = "sdk_unavailable"
		answer.Write(w)
	}
	p.rest, p.watch = overREST.reverse(rest, unavailable), overREST.reverse(watch, unavailable)
	p.rpc = overRPC.reverse(grpc, func(w http.ResponseWriter, detail string) {
		h := w.Header()
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", "14") // Unavailable
		h.Set("Grpc-Message", detail)
	})
	p.close = func() { rest.CloseIdleConnections(); watch.CloseIdleConnections(); grpc.CloseIdleConnections() }
	return p
}

// upstream is one of the servers that the SDK server has.
type upstream struct {
	host, detail string
	logger       *slog.Logger
	works        *rpc.Health
}

// newUpstream is the server at a port of this machine, which the setting names. The log has a line
// when calls to it begin to fail, and one when they work again.
func newUpstream(port int, setting string, logger *slog.Logger) *upstream {
	host := net.JoinHostPort("localhost", strconv.Itoa(port))
	return &upstream{
		host: host, logger: logger, detail: fmt.Sprintf("the Agones SDK cannot be reached at %s, which is the gate's %s", host, setting),
		works: rpc.NewHealth(logger.With("address", host, "setting", setting),
			"the game server cannot reach the Agones SDK through the gate: its signs of life get lost if it gives them there", "the game server can reach the Agones SDK through the gate"),
	}
}

// reverse passes calls on, and has those that fail answered by unavailable.
func (u *upstream) reverse(transport http.RoundTripper, unavailable func(w http.ResponseWriter, detail string)) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: transport, ErrorLog: slog.NewLogLogger(u.logger.Handler(), slog.LevelDebug),
		FlushInterval: -1, // what is watched comes at once
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", u.host, ""
		},
		ModifyResponse: func(answer *http.Response) error {
			u.works.Up()
			trailersOnly(answer)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if call, _ := r.Context().Value(bodyKey{}).(*body); call != nil && call.failed.Load() {
				problem.Write(w, http.StatusRequestTimeout, "the body did not come, or not in time")
				return
			}
			if !errors.Is(err, context.Canceled) { // else the caller is gone, or the gate ends
				u.works.Down(err)
			}
			unavailable(w, u.detail)
		},
	}
}

// trailersOnly makes trailers of what a gRPC server says of an error, where it has answered
// with nothing else. Such an answer is one frame, which tells the caller by its end that it is
// both; a proxy may send the frame before it knows of the end.
func trailersOnly(answer *http.Response) {
	if answer.Header.Get("Grpc-Status") == "" {
		return
	}
	if answer.Trailer == nil {
		answer.Trailer = make(http.Header)
	}
	for name, values := range answer.Header {
		if strings.HasPrefix(name, "Grpc-") {
			answer.Trailer[name] = values
			delete(answer.Header, name)
		}
	}
}

// body is that of a call. It notes that the caller has not sent all of it, which is no
// failure of the SDK server.
type body struct {
	io.ReadCloser
	failed, closed atomic.Bool
}

// bodyKey is where the context of a call holds its body.
type bodyKey struct{}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !b.closed.Load() {
		b.failed.Store(true)
	}
	return n, err
}

// Close is the transport's, which ends a call that has failed otherwise.
func (b *body) Close() error {
	b.closed.Store(true)
	return b.ReadCloser.Close()
}

// watched is a route whose calls have their bodies noted.
func watched(pass http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		of := &body{ReadCloser: r.Body}
		r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, of))
		r.Body = of
		pass(w, r)
	})
}

// Routes adds the SDK's paths to a mux, whose server has to speak HTTP/2 without TLS
// for gRPC. What a browser on this machine can be made to send is refused (service.LocalOnly).
func (p *Proxy) Routes(mux *http.ServeMux) {
	for _, path := range restPaths {
		mux.Handle(path, service.LocalOnly(watched(p.passREST)))
	}
	for _, path := range rpcPaths {
		mux.Handle(path, service.LocalOnly(watched(p.passRPC)))
	}
}

func (p *Proxy) passREST(w http.ResponseWriter, r *http.Request) {
	upgrade := r.Header.Get("Upgrade") != ""
	switch {
	case upgrade && r.URL.Path != watchPath:
		problem.Write(w, http.StatusBadRequest, "a WebSocket is at "+watchPath+" alone")
	case upgrade && !service.LocalOrigin(r):
		problem.Write(w, http.StatusForbidden, "pages of other origins may not use this API")
	case r.URL.Path == watchPath:
		p.stream(w, r, p.watch)
	default:
		p.rest.ServeHTTP(w, r)
	}
}

func (p *Proxy) passRPC(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		problem.Write(w, http.StatusUpgradeRequired, "gRPC needs HTTP/2")
		return
	}
	// A call may last: signs of life are one call for the life of the server.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // HTTP/2 can
	p.stream(w, r, p.rpc)
}

// stream passes on a call that may last, until Run ends.
func (p *Proxy) stream(w http.ResponseWriter, r *http.Request, through *httputil.ReverseProxy) {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		through.ErrorHandler(w, r, context.Canceled)
		return
	}
	p.streams.Add(1)
	p.mu.Unlock()
	defer p.streams.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(p.ending, cancel)()
	through.ServeHTTP(w, r.WithContext(ctx))
}

// Run ends all streams when ctx ends, and returns nil when none is left.
func (p *Proxy) Run(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.end()
	p.streams.Wait()
	p.close()
	return nil
}
