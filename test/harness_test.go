//go:build unix

package test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/frontend/signing"
	"torikumi/local/issuer"
	"torikumi/local/suite"
	"torikumi/pkg/rpc"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// patience bounds every wait for something that has to happen.
	patience = time.Minute
	// arrivals is the time between two players.
	arrivals = 15 * time.Millisecond
	// mostWaiting bounds how many players come while nobody is matched.
	mostWaiting = 60
	// virtualServers is more than any test has matches.
	virtualServers = 1000
	// released is how soon Open Match lets tickets be matched again that a dead
	// director has left behind; the default of a minute is long for a test. On
	// a busy machine a match has to be placed within it.
	released = "12s"
)

// harness is a suite of processes, over servers that are addresses only, and its
// players.
type harness struct {
	t        *testing.T
	launcher *launcher
	suite    *suite.Suite
	http     *http.Client
	frontend torikumiv1.FrontendServiceClient
	minter   *signing.PlayerMinter
	fleet    *rosters
	logs     *output

	mu       sync.Mutex
	next     int
	made     int // tickets, for one player each
	assigned map[string]*torikumiv1.Ticket
	failed   int
}

// newHarness starts everything, and stops it at the end of the test.
func newHarness(t *testing.T) *harness {
	t.Helper()
	w := &harness{
		t: t, logs: new(output), assigned: make(map[string]*torikumiv1.Ticket),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: patience},
		launcher: &launcher{t: t, extra: map[string][]string{
			suite.Minimatch: {"--pending-release-timeout=" + released},
			suite.Director:  {"--pending-release-timeout=" + released, "--match-timeout=11s"},
		}},
	}
	o := quiet(w.launcher, w.logs)
	o.Log.LogLevel = slog.LevelInfo // see said
	o.Virtual, o.VirtualSession = virtualServers, time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // for five processes, one after the other
	defer cancel()
	s, err := suite.Start(ctx, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, w.logs)
	}
	w.suite = s
	w.fleet = followFleet(s.Fleet())
	t.Cleanup(w.stop)
	keys, err := signing.LoadKeys(s.PlayerKeysDir(), signing.KeyOptions{Algorithm: token.RS256})
	if err != nil {
		t.Fatal(err)
	}
	w.minter, err = signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: keys, Issuer: issuer.URL, Audience: issuer.Audience})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := rpc.Dial(s.Addr(suite.Frontend).GRPC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	w.frontend = torikumiv1.NewFrontendServiceClient(conn)
	return w
}

// stop ends everything, which has to succeed, and shows the logs of a test
// that failed.
func (w *harness) stop() {
	w.http.CloseIdleConnections()
	w.fleet.close()
	if err := w.suite.Stop(); err != nil {
		w.t.Errorf("stop: %v", err)
	}
	if !w.t.Failed() {
		return
	}
	for _, p := range w.launcher.processes() {
		text := p.out.String()
		w.t.Logf("%s (pid %d):\n%s", p.name, p.cmd.Process.Pid, text[max(0, len(text)-3000):])
	}
}

// process is the running process of a service.
func (w *harness) process(name string) *process {
	p, ok := w.suite.Instance(name).(*process)
	if !ok {
		w.t.Fatalf("%s is no process", name)
	}
	return p
}

// restart starts a service again where it was.
func (w *harness) restart(name string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	before := w.suite.Addr(name)
	if err := w.suite.Restart(ctx, name); err != nil {
		w.t.Fatal(err)
	}
	if after := w.suite.Addr(name); after.GRPC != before.GRPC || after.HTTP != before.HTTP {
		w.t.Fatalf("%s listens on %+v, before on %+v", name, after, before)
	}
}

// until waits for a condition.
func (w *harness) until(what string, holds func() bool) {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case err := <-w.suite.Failed():
			w.t.Fatalf("waiting until %s: %v", what, err)
		case <-limit.C:
			made, assigned := w.count()
			w.t.Fatalf("never: %s (%d tickets made, %d assigned)", what, made, assigned)
		}
		w.mu.Lock()
		failed := w.failed
		w.mu.Unlock()
		if failed > 0 {
			w.t.Fatalf("waiting until %s: a player failed", what)
		}
	}
}

func (w *harness) count() (made, assigned int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.made, len(w.assigned)
}

// waiting is how many players wait for a match.
func (w *harness) waiting() int {
	made, assigned := w.count()
	return made - assigned
}

// name is a new player's.
func (w *harness) name() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return fmt.Sprintf("player-%04d", w.next)
}

// fault records what a player's goroutine has met.
func (w *harness) fault(format string, args ...any) {
	w.t.Errorf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed++
}

// said counts the lines of a service's log with the text, over all its
// processes.
func (w *harness) said(service, text string) int {
	n := 0
	for _, p := range w.launcher.processes() {
		if p.name == service {
			n += strings.Count(p.out.String(), text)
		}
	}
	return n
}

// code is the status of a service's HTTP path, 0 without an answer.
func (w *harness) code(service, path string) int {
	resp, err := w.http.Get("http://" + w.suite.Addr(service).HTTP + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
