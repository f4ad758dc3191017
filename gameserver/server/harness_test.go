package server_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/eventually"

	"go.uber.org/goleak"

	"torikumi/gameserver/client"
	"torikumi/gameserver/gate"
	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/harness"
	"torikumi/gameserver/internal/wire"
	"torikumi/gameserver/server"
	"torikumi/pkg/config"
	"torikumi/pkg/porttest"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

func TestMain(m *testing.M) {
	if os.Getenv("GAMESERVER_TEST_GATE") != "" {
		service.Exit(func(ctx context.Context, p service.Process) int { return gate.Main(ctx, p) })
	}
	goleak.VerifyTestMain(m)
}

const match = "m-0123456789abcdef"

// gameHarness is an SDK, an issuer, a gate and a dedicated server, over real sockets.
type gameHarness struct {
	t      *testing.T
	sdk    *harness.SDK
	issuer *harness.Issuer
	gate   gate.Config
	server server.Config

	stopGate, stopServer func() error
	udp                  string
	// api is a client of the gate, anew with each of its starts.
	api *gateapi.Client
}

// start makes a gameHarness whose server is Ready; options change the settings.
func start(t *testing.T, options ...func(*gameHarness)) *gameHarness {
	t.Helper()
	s := &gameHarness{t: t, sdk: harness.StartSDK(t), issuer: harness.StartIssuer(t)}
	config.Default(&s.gate)
	config.Default(&s.server)
	s.gate.HTTPListen, s.gate.SDKPort = porttest.Hold(t).String(), s.sdk.Port()
	s.gate.JWKSURL, s.gate.Issuer = s.issuer.URL(), harness.IssuerName
	s.gate.Journal = filepath.Join(t.TempDir(), "used")
	s.server.UDPListen, s.server.SDKPort = "127.0.0.1:0", s.sdk.Port()
	s.server.HealthInterval, s.server.StrangerRate = 20*time.Millisecond, 10000
	// Nobody is silent or kept waiting because the machine is busy.
	s.server.IdleTimeout, s.server.GateTimeout = time.Minute, 20*time.Second
	s.gate.LogLevel, s.server.LogLevel = slog.LevelError, slog.LevelError
	for _, o := range options {
		o(s)
	}
	s.startGate()
	s.startServer()
	s.until("the server is Ready", func() bool { return s.sdk.State() == "Ready" })
	return s
}

func (s *gameHarness) until(what string, holds func() bool) {
	s.t.Helper()
	eventually.True(s.t, what, holds)
}

// runner starts f and returns what stops it, which the test's end calls too.
func runner[A any](t *testing.T, f func(context.Context, func(A)) error) (started A, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan A, 1), make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = f(ctx, func(a A) { ready <- a })
	}()
	stop = func() error { cancel(); <-done; return err }
	t.Cleanup(func() { _ = stop() })
	select {
	case started = <-ready:
	case <-done:
		t.Fatalf("did not start: %v", err)
	}
	return started, stop
}

// startGate starts the gate where it was before.
func (s *gameHarness) startGate() {
	s.t.Helper()
	s.startBlindGate()
	s.until("the gate follows its server", func() bool { r, err := s.api.Roster(s.t.Context()); return err == nil && r.State != "" })
}

// startBlindGate does not wait until the gate knows its server.
func (s *gameHarness) startBlindGate() {
	s.t.Helper()
	var addrs service.Addrs
	addrs, s.stopGate = runner(s.t, func(ctx context.Context, started func(service.Addrs)) error { return gate.Run(ctx, &s.gate, started) })
	s.server.Gate = "http://" + addrs.HTTP
	s.api = gateapi.NewClient(s.server.Gate)
	s.t.Cleanup(s.api.Close)
}

func (s *gameHarness) startServer() {
	s.t.Helper()
	s.udp, s.stopServer = runner(s.t, func(ctx context.Context, started func(string)) error { return server.Run(ctx, &s.server, started) })
}

// give allocates the server and waits for the gate to know.
func (s *gameHarness) give(match string, players ...string) {
	s.t.Helper()
	if len(players) == 0 {
		s.sdk.Give(match, nil)
	} else {
		s.sdk.Give(match, harness.Roster(players...))
	}
	s.until("the gate knows the match", func() bool { return s.roster().MatchID == match })
}

func (s *gameHarness) roster() gateapi.Roster {
	s.t.Helper()
	r, err := s.api.Roster(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *gameHarness) token(player string) string { return s.issuer.Mint(player, "red", match) }

func (s *gameHarness) player() *client.Client { return dial(s.t, s.udp) }

func dial(t *testing.T, addr string) *client.Client {
	t.Helper()
	c, err := client.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *gameHarness) join(c *client.Client, raw string) client.Welcome {
	s.t.Helper()
	w, err := c.Join(limited(s.t), raw)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// limited is a context that ends long after everything should have worked.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func refusal(err error) token.Reason {
	var r *client.RefusedError
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

func kick(err error) string {
	var k *client.KickedError
	if errors.As(err, &k) {
		return k.Reason
	}
	return ""
}

// raw is a socket without any manners.
func raw(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// exchange sends a datagram until there is an answer with the verb.
func exchange(t *testing.T, c net.Conn, datagram, verb string) string {
	t.Helper()
	buf := make([]byte, 65536)
	for range 100 {
		if _, err := c.Write([]byte(datagram)); err != nil {
			t.Fatal(err)
		}
		for {
			if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			if got, _, _ := wire.Parse(buf[:n]); got == verb {
				return string(buf[:n])
			}
		}
	}
	t.Fatalf("no %s for %.40q", verb, datagram)
	return ""
}

func reasonOf(t *testing.T, datagram string) token.Reason {
	t.Helper()
	var body wire.RefusedBody
	if err := wire.Decode(strings.TrimPrefix(datagram, wire.Refused+" "), &body); err != nil {
		t.Fatal(err)
	}
	return body.Reason
}
