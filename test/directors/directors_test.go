//go:build linux

// Package directors_test runs several real directors behind one name of a real DNS
// server, whose answers change. The directors listen at addresses of their own on
// loopback, which Linux alone has by itself.
package directors_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/frontend/signing"
	"torikumi/local/issuer"
	"torikumi/local/suite"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/proxytest"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

// TestMain runs the tests, or a director: see directorCommand.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == directorCommand {
		os.Exit(runDirector(os.Args[2:]))
	}
	if err := resolver.open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // the DNS server goes on
}

// launcher starts the directors at addresses of the test's, and the frontend with
// their name.
type launcher struct {
	suite.InProcess
	port string
	// extra are more arguments, by service.
	extra map[string][]string

	mu   sync.Mutex
	args map[string][]string // of each service
}

func (l *launcher) Launch(ctx context.Context, service string, args []string) (suite.Instance, error) {
	switch service {
	case suite.Director:
		args = append(args, "--grpc-listen="+l.at(1))
	case suite.Frontend:
		// Hardly anything is found by reading.
		args = append(args, "--directors="+net.JoinHostPort(name, l.port), "--reconcile-interval=1h", "--reconcile-rate=0.1")
	}
	args = append(args, l.extra[service]...)
	l.mu.Lock()
	l.args[service] = args
	l.mu.Unlock()
	return l.InProcess.Launch(ctx, service, args)
}

// argument returns the value of a service's first argument of a name.
func (l *launcher) argument(service, name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.args[service] {
		if value, ok := strings.CutPrefix(a, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

// at is the n-th address of a director.
func (l *launcher) at(n int) string { return net.JoinHostPort(fmt.Sprint("127.0.0.", n+1), l.port) }

// another starts one more instance of a service, with other arguments.
func (l *launcher) another(t *testing.T, service string, args ...string) suite.Instance {
	t.Helper()
	i, err := l.InProcess.Launch(t.Context(), service, append(slices.Clone(l.args[service]), args...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Stop)
	return i
}

// more starts another director.
func (l *launcher) more(t *testing.T, listen string, args ...string) suite.Instance {
	t.Helper()
	// The gates are those of the first director.
	return l.another(t, suite.Director, append(args, "--grpc-listen="+listen, "--gate-listen=127.0.0.1:0")...)
}

// harness is a suite and its players.
type harness struct {
	*launcher
	t      *testing.T
	suite  *suite.Suite
	minter *signing.PlayerMinter
	next   int
}

func newHarness(t *testing.T, extra map[string][]string) *harness {
	t.Helper()
	h := &harness{t: t, launcher: &launcher{port: strconv.Itoa(int(porttest.Hold(t).Port())), extra: extra, args: make(map[string][]string)}}
	resolver.set(t, h.at(1))
	s, err := suite.Start(t.Context(), suite.Options{
		HTTPListen: "127.0.0.1:0", GRPCListen: "127.0.0.1:0", IssuerListen: "127.0.0.1:0", Launcher: h.launcher,
		Virtual: 500, VirtualSession: time.Hour, RegistrationInterval: 20 * time.Millisecond,
		Log: service.Config{LogLevel: slog.LevelError, LogFormat: "text", ShutdownTimeout: 5 * time.Second}, LogOutput: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.suite = s
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	keys, err := signing.LoadKeys(s.PlayerKeysDir(), signing.KeyOptions{Algorithm: token.RS256})
	if err != nil {
		t.Fatal(err)
	}
	if h.minter, err = signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: keys, Issuer: issuer.URL, Audience: issuer.Audience}); err != nil {
		t.Fatal(err)
	}
	return h
}

// play lets pairs of players ask for a match, and returns how many were told where
// it is; the channel is closed when all have been.
func (h *harness) play(pairs int) <-chan error {
	h.t.Helper()
	answers := make(chan error, 2*pairs)
	var players sync.WaitGroup
	for range 2 * pairs {
		h.next++
		bearer, err := h.minter.MintPlayer(fmt.Sprint("player-", h.next), time.Hour, nil)
		if err != nil {
			h.t.Fatal(err)
		}
		players.Go(func() { answers <- h.ask(bearer) })
	}
	go func() { players.Wait(); close(answers) }()
	return answers
}

// ask returns an error unless the player is told where to play.
func (h *harness) ask(bearer string) error {
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.suite.URL()+"/play/eu", http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return err
}

func (h *harness) assigned(answers <-chan error) {
	h.t.Helper()
	for err := range answers {
		if err != nil {
			h.t.Errorf("a player hears %v", err)
		}
	}
}

// metric sums up the samples of a metric, 0 if there is none.
func (h *harness) metric(addrs service.Addrs, metric string) float64 {
	h.t.Helper()
	resp, err := http.Get("http://" + addrs.HTTP + "/metrics")
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(metric)+` (.*)$`).FindAllStringSubmatch(string(text), -1) {
		v, err := strconv.ParseFloat(strings.TrimSpace(m[1]), 64)
		if err != nil {
			h.t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// subscribed waits until the frontend hears a number of directors.
func (h *harness) subscribed(n float64) {
	h.t.Helper()
	eventually.True(h.t, fmt.Sprintf("%v directors are heard", n), func() bool {
		return h.metric(h.suite.Addr(suite.Frontend), "torikumi_frontend_directors_subscribed") == n
	})
}

const matches = `torikumi_director_matches_total{outcome="assigned",queue="session"}`

// found is how many assignments the frontend had to read.
func (h *harness) found() float64 {
	return h.metric(h.suite.Addr(suite.Frontend), "torikumi_frontend_reconcile_found_total")
}

// TestDirectors: players are told of a match whichever director has placed it, while
// directors come and go.
func TestDirectors(t *testing.T) {
	h := newHarness(t, nil)
	first := h.suite.Instance(suite.Director)
	h.subscribed(1)
	second := h.more(t, h.at(2))
	resolver.set(t, h.at(1), h.at(2))
	h.subscribed(2)
	for _, d := range []suite.Instance{first, second} {
		for h.metric(d.Addrs(), matches) == 0 {
			h.assigned(h.play(5))
		}
	}
	third := h.more(t, h.at(3))
	resolver.set(t, h.at(2), h.at(3))
	h.subscribed(3) // the first is heard to its end
	first.Stop()
	h.subscribed(2)
	for h.metric(third.Addrs(), matches) == 0 {
		h.assigned(h.play(5))
	}
	if n := h.found(); n != 0 {
		t.Errorf("%v assignments were found by reading", n)
	}
}

// TestLostSubscription: what is announced while the subscription is lost is repeated
// when it is back, however many wait.
func TestLostSubscription(t *testing.T) {
	h := newHarness(t, nil)
	h.subscribed(1)
	network := proxytest.New(t, h.at(2), h.at(1))
	resolver.set(t, h.at(2))
	h.subscribed(2) // the director by both ways
	h.suite.Instance(suite.Director).Stop()
	director := h.more(t, h.at(1))
	h.subscribed(1) // by the proxy alone
	h.assigned(h.play(1))

	network.Refuse()
	h.subscribed(0)
	before := h.metric(director.Addrs(), matches)
	answers := h.play(20)
	eventually.True(t, "the matches are placed", func() bool { return h.metric(director.Addrs(), matches) == before+20 })
	network.Restore()
	h.assigned(answers)
	if n := h.found(); n > 1 {
		t.Errorf("%v assignments were found by reading", n)
	}
}
