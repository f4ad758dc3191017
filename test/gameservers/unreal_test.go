//go:build unix

package gameservers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/gameserver/client"
	"torikumi/local/issuer"
	"torikumi/local/suite"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	"torikumi/pkg/service"
)

const unreal = "../../clients/unreal"

// core compiles a program of the plugin's tests with all of its Core, without what the
// engine switches off, and with sanitizers.
func core(t *testing.T, name string) string {
	t.Helper()
	needCurl(t)
	sources, err := filepath.Glob(filepath.Join(unreal, "Torikumi", "Source", "Torikumi", "Private", "Core", "*.cpp"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no sources: %v", err)
	}
	program := filepath.Join(built, "unreal-"+name)
	if _, err := os.Stat(program); err == nil {
		return program
	}
	args := append([]string{"-fno-exceptions", "-fno-rtti", "-Wconversion", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"}, warnings...)
	args = append(append(args, sources...), filepath.Join(unreal, "test", name+".cpp"), "-lcurl", "-o", program)
	build(t, "g++", args...)
	return program
}

// TestUnrealServer: players and intruders of the demo on the plugin's server side.
func TestUnrealServer(t *testing.T) { play(t, core(t, "server")) }

// TestUnrealScripted: the plugin's server side on a clock that is turned. A server that
// loads a level for minutes does not take its own silence for the gate's, and players of
// one match do not stay for the next. Besides, how far away regions are, and a game that accepts a
// match as soon as it hears of it.
func TestUnrealScripted(t *testing.T) {
	for _, name := range []string{"stall", "match", "beacons", "offer"} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), core(t, name))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// unrealHarness is a suite whose game servers are the plugin's server side.
type unrealHarness struct {
	t       *testing.T
	suite   *suite.Suite
	program string // the player's side
	printed *output
}

func newUnrealHarness(t *testing.T, queues ...string) *unrealHarness {
	t.Helper()
	file := ""
	if len(queues) > 0 {
		file = filepath.Join(t.TempDir(), "queues.yaml")
		if err := os.WriteFile(file, []byte(queues[0]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := &unrealHarness{t: t, program: core(t, "client"), printed: new(output)}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	logs := new(output)
	s, err := suite.Start(ctx, suite.Options{
		HTTPListen: "127.0.0.1:0", GRPCListen: "127.0.0.1:0", IssuerListen: "127.0.0.1:0", Ready: 2, Max: 8, Queues: file,
		ServerArgs: []string{core(t, "server")}, RegistrationInterval: 20 * time.Millisecond,
		Log:       service.Config{LogLevel: slog.LevelWarn, LogFormat: "text", ShutdownTimeout: 5 * time.Second},
		LogOutput: logs, ServerOutput: h.printed,
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, logs)
	}
	h.suite = s
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("%s\n%s", logs, h.printed)
		}
	})
	return h
}

// player is a running client program.
type player struct {
	t    *testing.T
	name string
	in   io.Writer
	stop func()

	mu    sync.Mutex
	lines []string
	read  int
}

func (h *unrealHarness) player(name string) *player { return h.playerAt(h.suite.URL(), name) }

// playerAt is a player whose client finds the frontend elsewhere.
func (h *unrealHarness) playerAt(frontend, name string) *player {
	h.t.Helper()
	resp, err := http.Post(h.suite.IssuerURL()+issuer.TokenPath, "application/json", strings.NewReader(fmt.Sprintf(`{"player":%q}`, name)))
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		h.t.Fatal(err)
	}
	return h.signedIn(frontend, name, answer.Token)
}

func (h *unrealHarness) signedIn(frontend, name, bearer string) *player {
	h.t.Helper()
	cmd := exec.Command(h.program, frontend, bearer)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	p := &player{t: h.t, name: name, in: in}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := bufio.NewScanner(out); s.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, s.Text())
			p.mu.Unlock()
		}
	}()
	p.stop = sync.OnceFunc(func() { _ = cmd.Process.Kill(); <-done; _ = cmd.Wait() })
	h.t.Cleanup(func() { // the end of its input ends it; the sanitizers have their word then
		in.Close()
		<-done
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "killed") && !strings.Contains(err.Error(), "Wait was already called") {
			h.t.Errorf("%s: %v", name, err)
		}
	})
	return p
}

func (p *player) say(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
}

// hear waits for the next line that begins so, and returns its words.
func (p *player) hear(begin string) []string {
	p.t.Helper()
	var found []string
	eventually.True(p.t, p.name+" hears "+begin, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		for ; p.read < len(p.lines); p.read++ {
			if line := p.lines[p.read]; strings.HasPrefix(line, begin) {
				p.read++
				found = strings.Split(line, " ")
				return true
			}
		}
		return false
	})
	return found
}

// enter joins the game server of a match with a token.
func (h *unrealHarness) enter(connection, token string) (*client.Client, error) {
	h.t.Helper()
	c, err := client.Dial(connection)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	_, err = client.Enter(ctx, c, token, nil)
	return c, err
}

// TestUnrealAcceptance: the players of a match are asked, once, and it is played when both
// have accepted; who declines is out, and the other searches on.
func TestUnrealAcceptance(t *testing.T) {
	h := newUnrealHarness(t, `queues: [{name: duel, acceptance: {time_limit: 15s}, regions: [eu], skill: {attribute: skill, window: 200},
  teams: [{name: east, players: 1}, {name: west, players: 1}]}]`)
	ann, bob := h.player("ann"), h.player("bob")
	for _, p := range []*player{ann, bob} {
		p.say("accept") // nothing is proposed
		p.hear("refused accept")
		p.say("find duel eu")
	}
	for _, p := range []*player{ann, bob} {
		p.hear("progress accepting")
		if said := p.hear("proposed"); said[1] != "2" || said[2] != "accepted=" || !strings.HasPrefix(said[3], "until=2") {
			t.Errorf("%s is asked: %v", p.name, said)
		}
	}
	ann.say("accept")
	if said := ann.hear("proposed"); said[2] != "accepted=ann" {
		t.Errorf("ann has accepted: %v", said)
	}
	bob.say("decline")
	bob.hear("ended cancelled")
	ann.hear("progress searching")
	bob.say("find duel eu")
	for _, p := range []*player{ann, bob} {
		p.hear("proposed")
		p.say("accept")
	}
	matched := ann.hear("matched")
	if other := bob.hear("matched"); other[1] != matched[1] {
		t.Errorf("ann: %v, bob: %v", matched, other)
	}
	if _, err := h.enter(matched[1], matched[2]); err != nil {
		t.Error(err)
	}
}

// TestUnrealClient goes through all that a player's client does.
func TestUnrealClient(t *testing.T) {
	h := newUnrealHarness(t)
	t.Run("match, travel and return", func(t *testing.T) {
		ann, bob := h.player("ann"), h.player("bob")
		ann.say("find session eu")
		ann.hear("progress searching")
		ann.say("find session eu") // while it searches
		ann.hear("refused find")
		bob.say("find session eu")
		matched := ann.hear("matched")
		if other := bob.hear("matched"); other[1] != matched[1] || other[3] != matched[3] || other[2] == matched[2] || other[4] == matched[4] {
			t.Errorf("ann: %v, bob: %v", matched, other)
		}
		if _, err := h.enter(matched[1], matched[2]); err != nil {
			t.Fatal(err)
		}
		if _, err := h.enter(matched[1], matched[2]); err == nil {
			t.Error("the token has let somebody in twice")
		}
		ann.say("kicked replayed new")
		ann.hear("return new_token")
		ann.say("renew")
		token := ann.hear("token")
		c, err := h.enter(matched[1], token[1])
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := c.Ping(ctx); err != nil {
			t.Error(err)
		}
		ann.say("kicked replayed new")
		ann.hear("return give_up")
	})
	t.Run("cancel", func(t *testing.T) {
		cid := h.player("cid")
		cid.say("find session eu")
		cid.say("cancel")
		cid.hear("ended cancelled")
		cid.say("find session eu")
		cid.hear("progress searching")
		cid.say("cancel")
		cid.hear("ended cancelled")
		cid.say("cancel")
		cid.hear("refused cancel")
	})
	t.Run("started anew while it searches", func(t *testing.T) {
		dan := h.player("dan")
		dan.say("find session eu")
		dan.hear("progress searching")
		dan.stop()
		again := h.player("dan")
		again.say("find session eu")
		again.hear("progress searching")
		again.say("cancel")
		again.hear("ended cancelled")
	})
	t.Run("party", func(t *testing.T) {
		eva, fay := h.player("eva"), h.player("fay")
		eva.say("party squad 2")
		party := eva.hear("party")
		code := strings.TrimPrefix(party[2], "code=")
		if party[1] != "eva" || code == "" {
			t.Fatalf("party: %v", party)
		}
		fay.say("join WRONGCODE999")
		fay.hear("ended")
		fay.say("join %s", code)
		fay.hear("progress searching")
		eva.hear("progress searching")
		eva.say("cancel")
		eva.hear("ended cancelled")
		fay.hear("ended cancelled")
	})
	t.Run("a party that starts without all", func(t *testing.T) {
		gil := h.player("gil")
		gil.say("party squad 2")
		gil.hear("progress gathering")
		gil.say("start")
		gil.hear("progress searching")
		gil.say("cancel")
		gil.hear("ended cancelled")
	})
	t.Run("refusals", func(t *testing.T) {
		p := h.player("hal")
		p.say("find nosuchqueue eu")
		if got := strings.Join(p.hear("ended"), " "); !strings.Contains(got, "ended refused") || !strings.Contains(got, "queue:") {
			t.Errorf("%s", got)
		}
		stranger := h.signedIn(h.suite.URL(), "stranger", "rubbish")
		stranger.say("find session eu")
		stranger.hear("ended")
	})
}

// TestUnrealLostAnswers loses the answers that matter: that to the creation, and that
// with the match and its token.
func TestUnrealLostAnswers(t *testing.T) {
	h := newUnrealHarness(t)
	var mu sync.Mutex
	lost := map[string]int{}
	lose := func(what string, times int) bool {
		mu.Lock()
		defer mu.Unlock()
		lost[what]++
		return lost[what] <= times
	}
	target, err := url.Parse(h.suite.URL())
	if err != nil {
		t.Fatal(err)
	}
	errLost := errors.New("lost")
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			created := r.Request.Method == http.MethodPost && r.Request.URL.Path == "/v1/tickets" && r.StatusCode == http.StatusOK
			token := strings.HasSuffix(r.Request.URL.Path, "/join-token")
			if created && lose("creation", 1) || bytes.Contains(body, []byte("join_token")) && lose("match", 2) || token && lose("token", 1) {
				return errLost
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     log.New(io.Discard, "", 0),
	})
	t.Cleanup(proxy.Close)
	ann, bob := h.playerAt(proxy.URL, "ann"), h.player("bob")
	ann.say("find session eu")
	ann.hear("progress searching")
	bob.say("find session eu")
	matched := ann.hear("matched")
	if _, err := h.enter(matched[1], matched[2]); err != nil {
		t.Error(err)
	}
	bob.hear("matched")
	mu.Lock()
	defer mu.Unlock()
	if lost["creation"] == 0 || lost["match"] == 0 {
		t.Errorf("nothing was lost: %v", lost)
	}
}

// TestUnrealFrontendAway: a frontend that is started anew costs no search; one that
// stays away ends it.
func TestUnrealFrontendAway(t *testing.T) {
	h := newUnrealHarness(t)
	ann := h.player("ann")
	// Nobody listens: refused at once, and asked again.
	stay := suite.Frontend
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ann.say("patience 60") // a busy machine may take long to start it
	ann.say("find session eu")
	ann.hear("progress searching")
	if err := h.suite.Restart(ctx, stay); err != nil {
		t.Fatal(err)
	}
	// Its tickets were in memory: the frontend knows no such ticket any more.
	ann.hear("ended gone")
	bob := h.player("bob")
	bob.say("find session eu")
	bob.hear("progress searching")
	h.suite.Instance(stay).Stop()
	bob.hear("ended unreachable")
}

// TestUnrealTokenDeadline: who connects and brings no token is sent away.
func TestUnrealTokenDeadline(t *testing.T) {
	t.Setenv("TOKEN_DEADLINE", "0.2")
	h := newUnrealHarness(t)
	var port string
	eventually.True(t, "a server has said where it listens", func() bool {
		_, after, found := strings.Cut(h.printed.String(), "port: ")
		port, _, _ = strings.Cut(after, "\n")
		return found && strings.Contains(after, "\n")
	})
	c, err := net.Dial("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("HELLO")); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	if n, err := c.Read(buf); err != nil || !strings.Contains(string(buf[:n]), `"no_token"`) {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// TestUnrealBeacons: two addresses, of which one is far away and one does not answer.
func TestUnrealBeacons(t *testing.T) {
	h := newUnrealHarness(t)
	ann := h.player("ann")
	gone := "http://" + porttest.Hold(t).String()
	ann.say("measure %s/livez %s", h.suite.URL(), gone)
	if got := ann.hear("measured"); len(got) != 2 || !strings.HasPrefix(got[1], "near=") {
		t.Errorf("%v", got)
	}
	ann.say("measure %s %s/openapi.jsonx", h.suite.Regions()[0].GetHttp(), h.suite.URL())
	if got := ann.hear("measured"); len(got) != 2 || !strings.HasPrefix(got[1], "near=") {
		t.Errorf("something else than a beacon: %v", got)
	}
	// Whom the frontend lists, before anybody has signed in.
	stranger := h.signedIn(h.suite.URL(), "stranger", "none")
	stranger.say("measure")
	if got := stranger.hear("measured"); len(got) != 3 || !strings.HasPrefix(got[1], "eu=") || !strings.HasPrefix(got[2], "us=") {
		t.Errorf("%v", got)
	}
	lost := h.signedIn(gone, "lost", "none")
	lost.say("measure")
	if got := lost.hear("measured"); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
