package frontend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/frontend/frontend"
	"torikumi/frontend/signing"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(childVar); settings != "" {
		if err := runChild(settings); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// The client of Redis ends its last try to connect within a second.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

const (
	playToken   = "shared-by-all-clients"
	playersURL  = "https://players.example"
	frontendURL = "https://frontend.example"
)

// harness is a frontend with all that it needs.
type harness struct {
	t        testing.TB
	om       *openMatch
	director *director
	issuer   *signing.PlayerMinter
	services *signing.PlayerMinter
	claims   map[string]any // besides, in player tokens
	players  *signing.Keys  // sign player tokens
	jwks     *httptest.Server
	keysDir  string
	client   *http.Client
	cfg      frontend.Config
	addrs    service.Addrs
	url      string
	stop     func()
}

// start runs a frontend until the test ends; change may alter its settings.
func start(t testing.TB, change func(*frontend.Config)) *harness {
	t.Helper()
	s := prepare(t, change)
	s.run()
	return s
}

// prepare is start without a frontend that runs.
func prepare(t testing.TB, change func(*frontend.Config)) *harness {
	t.Helper()
	s := &harness{t: t, om: newOpenMatch(t), director: newDirector(t), keysDir: t.TempDir()}
	s.players = makeKeys(t, t.TempDir())
	s.jwks = httptest.NewServer(signing.JWKSHandler(s.players))
	t.Cleanup(s.jwks.Close)
	makeKeys(t, s.keysDir)
	var err error
	s.issuer, err = signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: s.players, Issuer: playersURL, Audience: "game"})
	if err != nil {
		t.Fatal(err)
	}
	s.services, err = signing.NewPlayerMinter(signing.PlayerMinterOptions{Keys: s.players, Issuer: playersURL, Audience: "backends"})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	s.client = &http.Client{Transport: transport}
	t.Cleanup(transport.CloseIdleConnections)

	config.Default(&s.cfg)
	s.cfg.LogLevel = 12
	s.cfg.GRPCListen, s.cfg.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
	s.cfg.OpenMatch, s.cfg.Directors = s.om.addr, []string{s.director.addr}
	s.cfg.PlayerIssuer, s.cfg.PlayerAudience, s.cfg.PlayerJWKSURL = playersURL, "game", s.jwks.URL
	s.cfg.KeysDir, s.cfg.Issuer, s.cfg.Algorithm = s.keysDir, frontendURL, "ES256"
	s.cfg.PlayToken, s.cfg.ServiceAudience = playToken, "backends"
	s.cfg.CreateBurst = 1 << 20      // whoever tests the limit sets it
	s.cfg.ReconcileEvery = time.Hour // only when something happens
	s.cfg.BePatient()
	if change != nil {
		change(&s.cfg)
	}
	return s
}

// with returns the harness for a test inside the test that started it.
func (s *harness) with(t testing.TB) *harness {
	inner := *s
	inner.t = t
	return &inner
}

// run starts the frontend, and waits until it hears the director.
func (s *harness) run() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	up, ended := make(chan service.Addrs, 1), make(chan error, 1)
	go func() { ended <- frontend.Run(ctx, &s.cfg, func(a service.Addrs) { up <- a }) }()
	select {
	case s.addrs = <-up:
	case err := <-ended:
		cancel()
		s.t.Fatalf("frontend did not start: %v", err)
	}
	s.url = "http://" + s.addrs.HTTP
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("frontend ended: %v", err)
		}
	})
	s.t.Cleanup(s.stop)
	if len(s.cfg.Directors) > 0 && s.cfg.Directors[0] == s.director.addr {
		eventually.True(s.t, "the frontend hears the director, and can ask it", func() bool { return s.metric("torikumi_frontend_directors_subscribed") == "1" })
	}
}

func makeKeys(t testing.TB, dir string) *signing.Keys {
	t.Helper()
	if _, err := signing.GenerateKey(dir, token.ES256, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	keys, err := signing.LoadKeys(dir, signing.KeyOptions{Algorithm: token.ES256})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func (s *harness) token(player string) string {
	s.t.Helper()
	raw, err := s.issuer.MintPlayer(player, time.Hour, s.claims)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// serviceToken is one of the studio's own backends.
func (s *harness) serviceToken() string {
	s.t.Helper()
	raw, err := s.services.MintPlayer("lobby", time.Hour, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// backend sends a request of the studio's own backend.
func (s *harness) backend(method, path, body string) reply {
	s.t.Helper()
	return s.send(context.Background(), s.serviceToken(), method, path, strings.NewReader(body))
}

// reply is an HTTP answer.
type reply struct {
	code   int
	header http.Header
	body   string
}

func (r reply) ticket(t testing.TB) ticket {
	t.Helper()
	if r.code != http.StatusOK {
		t.Fatalf("status %d: %s", r.code, r.body)
	}
	var out ticket
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatalf("%v: %s", err, r.body)
	}
	return out
}

// ticket is a ticket as clients read it.
type ticket struct {
	ID, Queue, State, Region, Reason string
	Players                          []struct{ ID string }
	Server                           *struct {
		IP, Connection, Team string
		MatchID              string `json:"match_id"`
		Port                 int
		Ports                map[string]int
	}
	JoinToken *struct{ JWT string } `json:"join_token"`
	Estimate  int                   `json:"estimated_wait_ms"`
	// Acceptance is what players are asked.
	Acceptance *struct {
		ProposalID string `json:"proposal_id"`
		ExpireTime string `json:"expire_time"`
		Players    int
		Accepted   []string
	}
	Party *struct {
		Leader, Code string
		Size         int
		Missing      []string
		ExpireTime   string `json:"expire_time"`
	}
}

// do sends a request; player is a player's id, or "" for no token.
func (s *harness) do(player, method, path, body string) reply {
	s.t.Helper()
	raw := ""
	if player != "" {
		raw = s.token(player)
	}
	return s.send(context.Background(), raw, method, path, strings.NewReader(body))
}

func (s *harness) send(ctx context.Context, raw, method, path string, body io.Reader) reply {
	s.t.Helper()
	out, err := s.try(ctx, raw, method, path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *harness) try(ctx context.Context, raw, method, path string, body io.Reader) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, body)
	if err != nil {
		return reply{}, err
	}
	if raw != "" {
		req.Header.Set("Authorization", "Bearer "+raw)
	}
	return s.read(req)
}

// request sends a request as it is.
func (s *harness) request(req *http.Request) reply {
	s.t.Helper()
	out, err := s.read(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *harness) read(req *http.Request) (reply, error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return reply{resp.StatusCode, resp.Header, b.String()}, err
}

// create makes a ticket of one player in queue session.
func (s *harness) create(player string) ticket {
	s.t.Helper()
	return s.do(player, "POST", "/v1/tickets", `{"queue":"session","region":"eu"}`).ticket(s.t)
}

func (s *harness) get(player, id string) ticket {
	s.t.Helper()
	return s.do(player, "GET", "/v1/tickets/"+id, "").ticket(s.t)
}

// await returns a ticket when it has a state, as it is delivered.
func (s *harness) await(player, id, state string) ticket {
	s.t.Helper()
	eventually.True(s.t, id+" is "+state, func() bool { return s.get(player, id).State == state })
	return s.delivered(player, id)
}

// delivered returns a ticket that has ended, as it is delivered.
func (s *harness) delivered(player, id string) ticket {
	s.t.Helper()
	return s.do(player, "GET", "/v1/tickets/"+id+"/wait?timeout=10ms", "").ticket(s.t)
}

// metric returns the sum of a metric's samples.
func (s *harness) metric(prefix string) string {
	s.t.Helper()
	for line := range strings.SplitSeq(s.do("", "GET", "/metrics", "").body, "\n") {
		if value, ok := strings.CutPrefix(line, prefix+" "); ok {
			return value
		}
	}
	return ""
}
