package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"torikumi/pkg/eventually"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// query is a service whose answers the test decides.
type query struct {
	openmatch.UnimplementedQueryServiceServer
	handle func(grpc.ServerStreamingServer[openmatch.QueryTicketsResponse]) error
}

func (q *query) QueryTickets(_ *openmatch.QueryTicketsRequest, s grpc.ServerStreamingServer[openmatch.QueryTicketsResponse]) error {
	return q.handle(s)
}

type running struct {
	addrs service.Addrs
	stop  context.CancelFunc
	done  chan error
}

func start(t *testing.T, o service.Options) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	started := make(chan service.Addrs, 1)
	o.Name, o.Logger = "test", slog.New(slog.NewTextHandler(io.Discard, nil))
	o.GRPCListen, o.HTTPListen = []string{"127.0.0.1:0", "127.0.0.1:0"}, []string{"127.0.0.1:0", "", "127.0.0.1:0"}
	o.Started = func(a service.Addrs) { started <- a }
	r := &running{stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- service.Run(ctx, o) }()
	t.Cleanup(cancel)
	select {
	case r.addrs = <-started:
	case err := <-r.done:
		t.Fatalf("did not start: %v", err)
	}
	return r
}

func dial(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestServesProbesMetricsAndSelf(t *testing.T) {
	broken := errors.New("no keys")
	ok := true
	// Each waits for the other: they run beside each other.
	meeting := make(chan struct{})
	meet := func(ctx context.Context) error {
		select {
		case meeting <- struct{}{}:
		case <-meeting:
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	r := start(t, service.Options{
		Ready: map[string]func(context.Context) error{"one": meet, "two": meet, "keys": func(context.Context) error {
			if ok {
				return nil
			}
			return broken
		}},
		HTTP: func(mux *http.ServeMux, self *grpc.ClientConn) error {
			mux.HandleFunc("GET /self", func(w http.ResponseWriter, req *http.Request) {
				h, err := grpc_health_v1.NewHealthClient(self).Check(req.Context(), &grpc_health_v1.HealthCheckRequest{})
				if err != nil {
					http.Error(w, err.Error(), 500)
					return
				}
				_, _ = io.WriteString(w, h.Status.String())
			})
			return nil
		},
	})
	if code, body := get(t, "http://"+r.addrs.HTTP+"/self"); code != 200 || body != "SERVING" {
		t.Errorf("self: %d %s", code, body)
	}
	if code, _ := get(t, "http://"+r.addrs.HTTP+"/livez"); code != 200 {
		t.Errorf("livez: %d", code)
	}
	if code, _ := get(t, "http://"+r.addrs.HTTP+"/readyz"); code != 200 {
		t.Errorf("readyz: %d", code)
	}
	ok = false
	code, body := get(t, "http://"+r.addrs.HTTP+"/readyz")
	var answer struct{ Checks map[string]string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 503 || answer.Checks["keys"] != "no keys" {
		t.Errorf("readyz: %d %s %v", code, body, err)
	}
	if _, body := get(t, "http://"+r.addrs.HTTP+"/metrics"); !strings.Contains(body, "grpc_server_handled_total") || !strings.Contains(body, "go_goroutines") {
		t.Errorf("metrics lack what they must have:\n%.300s", body)
	}
	if len(r.addrs.HTTPAll) != 2 || r.addrs.HTTP != r.addrs.HTTPAll[0] {
		t.Errorf("HTTP addresses: %v", r.addrs.HTTPAll)
	}
	if len(r.addrs.GRPCAll) != 2 || r.addrs.GRPCAll[0] == r.addrs.GRPCAll[1] {
		t.Errorf("addresses: %v", r.addrs)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	for _, a := range append(r.addrs.GRPCAll, r.addrs.HTTPAll...) {
		if c, err := net.Dial("tcp", a); err == nil {
			_ = c.Close()
			t.Errorf("%s still listens", a)
		}
	}
}

// TestAdminAddress: what operators ask is nowhere but there, and a probe hears of a stop
// while calls end.
func TestAdminAddress(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := start(t, service.Options{
		Config: service.Config{AdminListen: "127.0.0.1:0"},
		HTTP: func(mux *http.ServeMux, _ *grpc.ClientConn) error {
			mux.HandleFunc("GET /slow", func(http.ResponseWriter, *http.Request) { close(entered); <-leave })
			return nil
		},
	})
	for path, want := range map[string]string{
		"/livez": `"ok"`, "/readyz": `"ok"`, "/metrics": "go_goroutines", "/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile",
	} {
		if code, body := get(t, "http://"+r.addrs.Admin+path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.100s", path, code, body)
		}
		if code, _ := get(t, "http://"+r.addrs.HTTP+path); code != 404 {
			t.Errorf("%s at the other address: %d", path, code)
		}
	}
	for _, path := range []string{"/debug/pprof/cmdline", "/slow"} {
		if code, body := get(t, "http://"+r.addrs.Admin+path); code != 404 {
			t.Errorf("%s: %d %.100s", path, code, body)
		}
	}
	slow := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + r.addrs.HTTP + "/slow")
		if err == nil {
			err = resp.Body.Close()
		}
		slow <- err
	}()
	<-entered
	r.stop()
	eventually.True(t, "a probe hears of the stop", func() bool {
		code, body := get(t, "http://"+r.addrs.Admin+"/readyz")
		return code == 503 && strings.Contains(body, "stopping")
	})
	close(leave)
	if err := <-slow; err != nil {
		t.Errorf("the call under way: %v", err)
	}
	if err := <-r.done; err != nil {
		t.Errorf("stop: %v", err)
	}
	if c, err := net.Dial("tcp", r.addrs.Admin); err == nil {
		_ = c.Close()
		t.Error("the admin address still listens")
	}
}

func TestPanicEndsTheCallAlone(t *testing.T) {
	q := &query{handle: func(grpc.ServerStreamingServer[openmatch.QueryTicketsResponse]) error { panic("secret") }}
	r := start(t, service.Options{Register: func(s grpc.ServiceRegistrar) { openmatch.RegisterQueryServiceServer(s, q) }})
	client := openmatch.NewQueryServiceClient(dial(t, r.addrs.GRPC))
	for range 2 {
		stream, err := client.QueryTickets(t.Context(), &openmatch.QueryTicketsRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	}
	r.stop()
	<-r.done
}

func TestStopLetsCallsFinishAndCutsAfterTheLimit(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	q := &query{handle: func(s grpc.ServerStreamingServer[openmatch.QueryTicketsResponse]) error {
		entered <- struct{}{}
		select {
		case <-release:
			return nil
		case <-s.Context().Done():
			return status.Error(codes.Canceled, "cut")
		}
	}}
	for name, finish := range map[string]bool{"finishes": true, "is cut": false} {
		t.Run(name, func(t *testing.T) {
			r := start(t, service.Options{
				Config:   service.Config{ShutdownTimeout: map[bool]time.Duration{true: time.Minute, false: 50 * time.Millisecond}[finish]},
				Register: func(s grpc.ServiceRegistrar) { openmatch.RegisterQueryServiceServer(s, q) },
			})
			stream, err := openmatch.NewQueryServiceClient(dial(t, r.addrs.GRPC)).QueryTickets(t.Context(), &openmatch.QueryTicketsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			<-entered
			r.stop()
			if finish {
				release <- struct{}{}
			}
			_, err = stream.Recv()
			if finish != errors.Is(err, io.EOF) {
				t.Errorf("call ended with %v", err)
			}
			if err := <-r.done; err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
}

func TestBackgroundErrorStopsTheService(t *testing.T) {
	boom := errors.New("boom")
	fail := make(chan struct{})
	r := start(t, service.Options{Background: []func(context.Context) error{
		func(context.Context) error { <-fail; return boom },
		func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	}})
	close(fail)
	if err := <-r.done; !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}

func TestTakenPortFailsTheStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = service.Run(t.Context(), service.Options{Name: "test", GRPCListen: []string{"127.0.0.1:0"}, HTTPListen: []string{l.Addr().String()}})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

type settings struct {
	service.Config
	Level int `flag:"level" default:"1" rule:"not negative" help:"Level."`
}

func TestStartExitCodes(t *testing.T) {
	run := func(_ context.Context, c *settings, started func(service.Addrs)) error {
		if c.Level == 9 {
			return errors.New("no luck")
		}
		a := service.Addrs{GRPC: "a:1", GRPCAll: []string{"a:1"}, HTTP: "b:2"}
		switch c.Level {
		case 2:
			a.Admin, a.UDPAll = "c:3", []string{"d:4", "e:5"}
		case 3:
			a.GRPC, a.GRPCAll = "", nil
		case 4:
			a.HTTP, a.GRPCAll = "", []string{"a:1", "f:6"}
		}
		started(a)
		return nil
	}
	for _, tt := range []struct {
		args   []string
		code   int
		output string
	}{
		{nil, 0, "listening service=svc grpc=a:1 http=b:2\n"},
		{[]string{"--level=2"}, 0, "listening service=svc grpc=a:1 http=b:2 admin=c:3 udp=d:4,e:5\n"},
		{[]string{"--level=3"}, 0, "listening service=svc http=b:2\n"},
		{[]string{"--level=4"}, 0, "listening service=svc grpc=a:1,f:6\n"},
		{[]string{"--help"}, 0, "--shutdown-timeout"},
		{[]string{"--level=9"}, 1, "no luck"},
		{[]string{"--level=-1", "--log-format=xml"}, 2, "--level: must not be negative"},
		{[]string{"--level=-1", "--log-format=xml"}, 2, "--log-format: must be text or json"},
	} {
		var out bytes.Buffer
		code := service.Start(t.Context(), "svc", run, tt.args, func(string) string { return "" }, &out, &out)
		if code != tt.code || !strings.Contains(out.String(), tt.output) {
			t.Errorf("%v: exit %d, output %q", tt.args, code, out.String())
		}
	}
}

// TestMisspeltVariable: a variable that is no setting is named, with what was meant, and the
// service starts.
func TestMisspeltVariable(t *testing.T) {
	var stderr bytes.Buffer
	environ := []string{"SVC_LOG_FORMAT=json", "SVC_SHUTDOWN_TIMOUT=1s", "SVC_SERVICE_HOST=10.0.0.1", "OTHER=1"}
	p := service.Process{
		Getenv: func(name string) string {
			for _, e := range environ {
				if value, ok := strings.CutPrefix(e, name+"="); ok {
					return value
				}
			}
			return ""
		},
		Environ: func() []string { return environ }, Stdout: io.Discard, Stderr: &stderr,
	}
	run := func(context.Context, *service.Config, func(service.Addrs)) error { return nil }
	code := service.StartProcess(t.Context(), "svc", run, p)
	if text := stderr.String(); code != 0 || strings.Count(text, "\n") != 1 || !strings.Contains(text, `"variable":"SVC_SHUTDOWN_TIMOUT; did you mean SVC_SHUTDOWN_TIMEOUT?"`) {
		t.Errorf("exit %d, logged %s", code, text)
	}
	// It may be why a setting is missing.
	stderr.Reset()
	p.Args = []string{"--log-format=prose"}
	code = service.StartProcess(t.Context(), "svc", run, p)
	if text := stderr.String(); code != service.ExitUsage || !strings.Contains(text, "--log-format: ") ||
		!strings.HasSuffix(text, "\n  no such setting: $SVC_SHUTDOWN_TIMOUT; did you mean SVC_SHUTDOWN_TIMEOUT?\n") {
		t.Errorf("exit %d with wrong settings: %s", code, text)
	}
	stderr.Reset()
	p.Args = []string{"--help"}
	if code = service.StartProcess(t.Context(), "svc", run, p); code != 0 || stderr.Len() > 0 {
		t.Errorf("exit %d with --help: %s", code, stderr.String())
	}
}
