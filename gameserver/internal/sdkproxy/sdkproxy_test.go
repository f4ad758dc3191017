package sdkproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/sdkproxy"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/service"
	"torikumi/proto/agones/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream stands for the REST server of the SDK: it tells what it was asked, and
// streams lines, or messages, until it is released.
func upstream(t *testing.T) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Host, body)
	})
	mux.HandleFunc("GET /watch/gameserver", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
			if err != nil {
				return
			}
			ctx := conn.CloseRead(r.Context())
			_ = conn.Write(ctx, websocket.MessageText, []byte(`{"result":1}`))
			<-ctx.Done()
			return
		}
		fmt.Fprintln(w, `{"result":1}`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// serve runs a proxy as the gate does, and returns its address and what stops it.
func serve(t *testing.T, grpcPort, httpPort int) (addr string, stop func() error) {
	t.Helper()
	return serveWith(t, sdkproxy.Options{GRPCPort: grpcPort, HTTPPort: httpPort, Logger: slog.New(slog.DiscardHandler)})
}

func serveLogging(t *testing.T, grpcPort, httpPort int, log slog.Handler) (addr string, stop func() error) {
	t.Helper()
	return serveWith(t, sdkproxy.Options{GRPCPort: grpcPort, HTTPPort: httpPort, Logger: slog.New(log)})
}

func serveWith(t *testing.T, o sdkproxy.Options) (addr string, stop func() error) {
	t.Helper()
	p := sdkproxy.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	started, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- service.Run(ctx, service.Options{
			Name: "test", HTTPListen: []string{"127.0.0.1:0"}, HTTP2: true, BodyTimeout: 2 * time.Second,
			Config:     service.Config{ShutdownTimeout: 30 * time.Second},
			Logger:     slog.New(slog.DiscardHandler),
			HTTP:       func(mux *http.ServeMux, _ *grpc.ClientConn) error { p.Routes(mux); return nil },
			Background: []func(context.Context) error{p.Run},
			Started:    func(a service.Addrs) { started <- a.HTTP },
		})
	}()
	var once error
	stopped := false
	stop = func() error {
		if cancel(); !stopped {
			once, stopped = <-done, true
		}
		return once
	}
	t.Cleanup(func() { _ = stop() })
	select {
	case addr = <-started:
	case err := <-done:
		t.Fatal(err)
	}
	return addr, stop
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func call(t *testing.T, method, url, body string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(limited(t), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// TestREST: method, path, query and body arrive as they are, answers come back as they
// are, and the Host is that of the SDK server, which serves its own machine alone.
func TestREST(t *testing.T) {
	rest := upstream(t)
	port := portOf(t, rest.Listener.Addr().String())
	addr, _ := serve(t, 1, port)
	for _, c := range []struct{ method, path, body string }{
		{"POST", "/ready", `{}`}, {"POST", "/health", `{}`}, {"POST", "/allocate", `{}`}, {"POST", "/shutdown", `{}`},
		{"POST", "/reserve", `{"seconds":"5"}`}, {"GET", "/gameserver", ``}, {"PUT", "/metadata/label", `{"key":"a","value":"b"}`},
		{"PUT", "/metadata/annotation", `{}`}, {"GET", "/v1beta1/counters/rooms", ``}, {"PATCH", "/v1beta1/counters/rooms", `{"countDiff":"1"}`},
		{"POST", "/v1beta1/lists/ids:addValue", `{}`}, {"PATCH", "/v1beta1/lists/ids?update_mask=capacity", `{}`},
		{"POST", "/alpha/player/connect", `{"playerID":"ann"}`}, {"GET", "/alpha/player/connected/{0}", ``},
	} {
		want := fmt.Sprintf("%s %s localhost:%d %s", c.method, strings.NewReplacer("{", "%7B", "}", "%7D").Replace(c.path), port, c.body)
		if code, got := call(t, c.method, "http://"+addr+c.path, c.body, nil); code != http.StatusAccepted || got != want {
			t.Errorf("%s %s: %d %s, want %s", c.method, c.path, code, got, want)
		}
	}
	// What is not the SDK's is not passed on.
	for _, path := range []string{"/", "/ready/", "/readyz", "/watch/other", "/v1/admissions", "/agones.dev.sdk.other/X"} {
		if code, got := call(t, "GET", "http://"+addr+path, "", nil); code == http.StatusAccepted || strings.Contains(got, "localhost:"+strconv.Itoa(port)) {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
}

// TestUpgradeElsewhere: nothing but the watch becomes a WebSocket, and that not for
// pages of other origins, which browsers do not keep from it.
func TestUpgradeElsewhere(t *testing.T) {
	addr, _ := serve(t, 1, portOf(t, upstream(t).Listener.Addr().String()))
	upgrade := http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	if code, _ := call(t, "GET", "http://"+addr+"/gameserver", "", upgrade); code != http.StatusBadRequest {
		t.Errorf("a WebSocket elsewhere: %d", code)
	}
	upgrade.Set("Origin", "http://evil.example")
	if code, _ := call(t, "GET", "http://"+addr+"/watch/gameserver", "", upgrade); code != http.StatusForbidden {
		t.Errorf("a page of another origin: %d", code)
	}
}

// TestForeignHosts: the SDK server hears nothing of what a web page sends, whatever name the
// page has for this machine.
func TestForeignHosts(t *testing.T) {
	var heard atomic.Int32
	rest := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { heard.Add(1) }))
	t.Cleanup(rest.Close)
	game := harness.StartSDK(t)
	addr, _ := serve(t, game.Port(), portOf(t, rest.Listener.Addr().String()))
	for _, path := range []string{
		"/ready", "/health", "/allocate", "/reserve", "/shutdown", "/gameserver", "/watch/gameserver", "/metadata/label", "/metadata/annotation",
		"/v1beta1/counters/rooms", "/alpha/player/connect", "/agones.dev.sdk.SDK/Shutdown", "/agones.dev.sdk.beta.SDK/UpdateList", "/agones.dev.sdk.alpha.SDK/PlayerConnect",
	} {
		for _, from := range []struct {
			host, origin string
			want         int
		}{{"evil.example", "", 421}, {"evil.example:8085", "http://evil.example:8085", 421}, {"", "http://evil.example", 403}} {
			r := httptest.NewRequest(http.MethodPost, "http://"+addr+path, strings.NewReader("{}"))
			if r.RequestURI = ""; from.host != "" {
				r.Host = from.host
			}
			if from.origin != "" {
				r.Header.Set("Origin", from.origin)
			}
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != from.want {
				t.Errorf("%s at %q from %q: %d, want %d", path, from.host, from.origin, resp.StatusCode, from.want)
			}
		}
	}
	if _, err := dial(t, addr, grpc.WithAuthority("evil.example")).Ready(limited(t), &sdk.Empty{}); err == nil {
		t.Error("gRPC at a foreign name is passed on")
	}
	if readies, _, shutdowns, _ := game.Calls(); readies+shutdowns > 0 || heard.Load() > 0 {
		t.Errorf("the SDK server heard %d and %d calls over gRPC, %d over REST", readies, shutdowns, heard.Load())
	}
	if _, err := dial(t, addr).Ready(limited(t), &sdk.Empty{}); err != nil { // it would have heard
		t.Error(err)
	}
}

// recorder keeps what is logged.
type recorder struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *recorder) lines(with string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(r.text.String()) {
		if strings.Contains(line, with) {
			n++
		}
	}
	return n
}

// TestUnreachable: without an SDK server REST and gRPC say so in their own ways, where it was
// looked for, and by which setting. The log says it once, and once that it works again.
func TestUnreachable(t *testing.T) {
	at := porttest.Hold(t).String()
	nobody := portOf(t, at)
	log := new(recorder)
	addr, _ := serveLogging(t, nobody, nobody, slog.NewTextHandler(log, nil))
	restAt, grpcAt := fmt.Sprintf("localhost:%d, which is the gate's --sdk-http-port", nobody), fmt.Sprintf("localhost:%d, which is the gate's --sdk-grpc-port", nobody)
	for range 3 {
		if code, got := call(t, "POST", "http://"+addr+"/ready", "{}", nil); code != http.StatusServiceUnavailable || !strings.Contains(got, `"reason":"sdk_unavailable"`) || !strings.Contains(got, restAt) {
			t.Errorf("REST: %d %s", code, got)
		}
		if _, err := dial(t, addr).Ready(limited(t), &sdk.Empty{}); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), grpcAt) {
			t.Errorf("gRPC: %v", err)
		}
	}
	if code, _ := call(t, "POST", "http://"+addr+"/agones.dev.sdk.SDK/Ready", "", nil); code != http.StatusUpgradeRequired {
		t.Errorf("gRPC over HTTP/1.1: %d", code)
	}
	for _, setting := range []string{"setting=--sdk-http-port", "setting=--sdk-grpc-port"} {
		if n := log.lines(setting); n != 1 {
			t.Errorf("%d lines of %s, want 1:\n%s", n, setting, &log.text)
		}
	}
	if n := log.lines("level=WARN"); n != 2 || log.lines("refused") != 2 {
		t.Errorf("%d warnings:\n%s", n, &log.text)
	}
	lis, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	back := &httptest.Server{Listener: lis, Config: &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}}
	back.Start()
	t.Cleanup(back.Close)
	for range 2 {
		if code, got := call(t, "POST", "http://"+addr+"/ready", "{}", nil); code != http.StatusNotFound {
			t.Errorf("REST, once there is a server: %d %s", code, got)
		}
	}
	if n := log.lines("level=INFO"); n != 1 {
		t.Errorf("%d lines say that it works again:\n%s", n, &log.text)
	}
}

// TestCallersWhoGo: who hangs up has not lost the SDK.
func TestCallersWhoGo(t *testing.T) {
	arrived := make(chan struct{})
	rest := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(arrived)
		<-r.Context().Done()
	}))
	t.Cleanup(rest.Close)
	log := new(recorder)
	addr, stop := serveLogging(t, 1, portOf(t, rest.Listener.Addr().String()), slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/gameserver", nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 1)
	go func() {
		_, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req) //nolint:bodyclose // there is no answer
		gone <- err
	}()
	<-arrived
	cancel()
	if err := <-gone; err == nil {
		t.Fatal("there is an answer")
	}
	if err := stop(); err != nil { // waits for the call
		t.Error(err)
	}
	if n := log.lines(""); n != 0 {
		t.Errorf("logged:\n%s", &log.text)
	}
}

// TestErrors: what the SDK server refuses arrives with its code, each time. Such an answer is
// trailers alone.
func TestErrors(t *testing.T) {
	addr, _ := serve(t, harness.StartSDK(t).Port(), 1)
	client := dial(t, addr)
	for i := range 500 {
		if _, err := client.Reserve(limited(t), &sdk.Duration{}); status.Code(err) != codes.Unimplemented {
			t.Fatalf("call %d: %v", i, err)
		}
	}
}

// outlastBodies returns when a call whose body does not come has had all the time that bodies
// have, and how it was answered.
func outlastBodies(t *testing.T, addr string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /ready HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{", addr)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// TestLateBody: who does not send all of a body has not lost the SDK either.
func TestLateBody(t *testing.T) {
	log := new(recorder)
	addr, stop := serveLogging(t, 1, portOf(t, upstream(t).Listener.Addr().String()), slog.NewTextHandler(log, nil))
	if resp := outlastBodies(t, addr); resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %s", resp.Status)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := log.lines(""); n != 0 {
		t.Errorf("logged:\n%s", &log.text)
	}
}

func dial(t *testing.T, addr string, options ...grpc.DialOption) sdk.SDKClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return sdk.NewSDKClient(conn)
}

// TestGRPC: calls, both kinds of stream, and errors of the SDK server. Signs of life are
// one call that outlives the time that bodies have to arrive.
func TestGRPC(t *testing.T) {
	game := harness.StartSDK(t)
	addr, stop := serve(t, game.Port(), 1)
	client := dial(t, addr)
	health, err := client.Health(limited(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Ready(limited(t), &sdk.Empty{}); err != nil || game.State() != "Ready" {
		t.Errorf("Ready: %v, %s", err, game.State())
	}
	if _, err := client.Reserve(limited(t), &sdk.Duration{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("an error of the SDK server: %v", err)
	}
	watch, err := client.WatchGameServer(limited(t), &sdk.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the watch has begun", func() bool { return game.Watchers() == 1 })
	game.SetState("Reserved")
	for state := ""; state != "Reserved"; { // some SDK servers tell of the state before too
		gs, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		state = gs.GetStatus().GetState()
	}
	outlastBodies(t, addr)
	for range 6 {
		if err := health.Send(&sdk.Empty{}); err != nil {
			t.Fatalf("a sign of life: %v", err)
		}
	}
	eventually.True(t, "the signs of life arrive", func() bool { _, healths, _, _ := game.Calls(); return healths > 5 })
	if err := stop(); err != nil { // streams are open
		t.Error(err)
	}
	if _, err := watch.Recv(); err == nil {
		t.Error("a watch outlives the proxy")
	}
}

// TestWatch: the lines of the stream and the messages of the WebSocket come at once, and
// end with the proxy.
func TestWatch(t *testing.T) {
	addr, stop := serve(t, 1, portOf(t, upstream(t).Listener.Addr().String()))
	req, err := http.NewRequestWithContext(limited(t), http.MethodGet, "http://"+addr+"/watch/gameserver", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "{\"result\":1}\n" {
		t.Errorf("stream: %q, %v", line, err)
	}
	conn, _, err := websocket.Dial(limited(t), "ws://"+addr+"/watch/gameserver", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if _, message, err := conn.Read(limited(t)); err != nil || string(message) != `{"result":1}` {
		t.Errorf("WebSocket: %q, %v", message, err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, err := lines.ReadString('\n'); err == nil {
		t.Error("the stream outlives the proxy")
	}
	if _, _, err := conn.Read(limited(t)); err == nil {
		t.Error("the WebSocket outlives the proxy")
	}
}

// TestQuietWatch: a watch waits for as long as the SDK server has nothing to say, where other
// calls have their time.
func TestQuietWatch(t *testing.T) {
	arrived, change := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /watch/gameserver", func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-change
		fmt.Fprintln(w, `{"result":1}`)
	})
	mux.HandleFunc("GET /gameserver", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	rest := httptest.NewServer(mux)
	t.Cleanup(rest.Close)
	addr, _ := serveWith(t, sdkproxy.Options{
		GRPCPort: 1, HTTPPort: portOf(t, rest.Listener.Addr().String()), AnswerTimeout: 10 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	said := make(chan string, 1)
	go func() {
		code, body := call(t, "GET", "http://"+addr+"/watch/gameserver", "", nil)
		said <- fmt.Sprint(code, " ", body)
	}()
	<-arrived
	if code, body := call(t, "GET", "http://"+addr+"/gameserver", "", nil); code != http.StatusServiceUnavailable {
		t.Errorf("a call that is not answered: %d %s", code, body)
	}
	close(change)
	if got := <-said; got != "200 {\"result\":1}\n" {
		t.Errorf("watch: %s", got)
	}
}

// TestUnrealWatch: the opening handshake as libwebsockets, which Unreal Engine uses,
// writes it: an Origin without a port, an empty protocol, an extension.
func TestUnrealWatch(t *testing.T) {
	addr, _ := serve(t, 1, portOf(t, upstream(t).Listener.Addr().String()))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /watch/gameserver HTTP/1.1\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nHost: %s\r\nOrigin: http://127.0.0.1\r\n"+
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: \r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; client_max_window_bits\r\nSec-WebSocket-Version: 13\r\n\r\n", addr)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	frame := make([]byte, 2+len(`{"result":1}`))
	if _, err := io.ReadFull(in, frame); err != nil || string(frame[2:]) != `{"result":1}` {
		t.Errorf("message: %q, %v", frame, err)
	}
}
