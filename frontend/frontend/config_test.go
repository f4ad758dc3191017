package frontend_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"torikumi/frontend/frontend"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
)

func complete(t *testing.T) *settings {
	t.Helper()
	c := new(settings)
	config.Default(c)
	c.GRPCListen, c.HTTPListen = "127.0.0.1:0", "127.0.0.1:0"
	c.PlayerIssuer, c.PlayerAudience, c.PlayerJWKSURL = playersURL, "game", "https://players.example/jwks"
	c.KeysDir, c.Issuer, c.Algorithm = t.TempDir(), frontendURL, "ES256"
	makeKeys(t, c.KeysDir)
	return c
}

func TestWrongSettingsStopTheStart(t *testing.T) {
	for want, change := range map[string]func(*settings){
		"--player-issuer: required":                      func(c *settings) { c.PlayerIssuer = "" },
		"--player-audience: required":                    func(c *settings) { c.PlayerAudience = "" },
		"has to say where its keys are":                  func(c *settings) { c.PlayerIssuer, c.PlayerJWKSURL = "http://players.example", "" },
		"--player-issuer: must not be there beside":      func(c *settings) { c.PlayerIssuers = "issuers.yaml" },
		"--player-issuers: read issuers":                 func(c *settings) { c.PlayerIssuers = filepath.Join(t.TempDir(), "none.yaml") },
		"; --player-jwks-allow-http takes plain HTTP":    func(c *settings) { c.PlayerJWKSURL = "http://players.example/jwks" },
		"--player-algorithms: must be RS256, ES256 or E": func(c *settings) { c.PlayerAlgorithms = []string{"HS256"} },
		"--player-algorithms: must not be there beside":  func(c *settings) { c.PlayerIssuers, c.PlayerAlgorithms = "issuers.yaml", []string{"EdDSA"} },
		"--player-jwks-allow-http: must not be there be": func(c *settings) { c.PlayerIssuers, c.PlayerAllowHTTP = "issuers.yaml", true },
		"--keys-dir: required":                           func(c *settings) { c.KeysDir = "" },
		"--keys-dir: key directory":                      func(c *settings) { c.KeysDir = t.TempDir() },
		"--issuer: required":                             func(c *settings) { c.Issuer = "" },
		"--issuer: must be an absolute":                  func(c *settings) { c.Issuer = "frontend" },
		"--algorithm: must be":                           func(c *settings) { c.Algorithm = "none" },
		"does not fit algorithm RS256":                   func(c *settings) { c.Algorithm = "RS256" },
		"--join-token-lifetime: must be whole seconds":   func(c *settings) { c.JoinTokenLifetime = 1500 * time.Millisecond },
		"--service-audience: must not be that":           func(c *settings) { c.ServiceAudience = c.PlayerAudience },
		"--peer-cert: required: --peer-key needs it":     func(c *settings) { c.PeerCA, c.PeerKey = "ca.pem", "key.pem" },
		"--peer-ca, --peer-cert, --peer-key: read cert":  func(c *settings) { c.PeerCA = filepath.Join(t.TempDir(), "none.pem") },
		"--open-match-ca: read certificate authorities":  func(c *settings) { c.OpenMatchCA = filepath.Join(t.TempDir(), "none.pem") },
		"--create-interval: must be positive":            func(c *settings) { c.CreateInterval = 0 },
		"--create-burst: must be at least 1":             func(c *settings) { c.CreateBurst = 0 },
		"--creates-per-address: must be 0, or":           func(c *settings) { c.AddressPerSecond = -1 },
		"--trusted-proxies: must be addresses":           func(c *settings) { c.TrustedProxies = []string{"10.0.0.0/8", "lb"} },
		"--cors-origins: must be * or origins":           func(c *settings) { c.CORSOrigins = []string{"https://a.example/"} },
		"got \"a.example\"":                              func(c *settings) { c.CORSOrigins = []string{"*", "a.example"} },
		"got \"null\"":                                   func(c *settings) { c.CORSOrigins = []string{"null"} },
		"--gone-after: must not be negative":             func(c *settings) { c.GoneAfter = -1 },
		"--gone-after: must be 0, or at least 1s":        func(c *settings) { c.GoneAfter = 5 },
		"--party-timeout: must be positive":              func(c *settings) { c.PartyTimeout = 0 },
		"--play-token: must have at least 16":            func(c *settings) { c.PlayToken = "tooshort-secret" },
		"--play-queue: must be one of the queues":        func(c *settings) { c.PlayQueue = "nope" },
		"queues[0].time_limits.search: must be at most --ticket-timeout (10m0s), got 11m0s": func(c *settings) {
			c.Queues, c.PlayQueue = filepath.Join(t.TempDir(), "queues.yaml"), "duel"
			text := "queues: [{name: duel, teams: [{name: a, players: 2}], skill: {attribute: elo, window: 1}, time_limits: {search: 11m}}]"
			if err := os.WriteFile(c.Queues, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"--play-timeout: must be positive": func(c *settings) { c.PlayTimeout = 0 },
		"queues[0].acceptance: must not be there without --directors": func(c *settings) {
			c.Directors = nil
			c.Queues = filepath.Join(t.TempDir(), "queues.yaml")
			text := "queues: [{name: duel, teams: [{name: a, players: 2}], skill: {attribute: elo, window: 1}, acceptance: {time_limit: 15s}}]"
			if err := os.WriteFile(c.Queues, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"--ticket-timeout: must be positive":            func(c *settings) { c.TicketTimeout = -1 },
		"--retention: must be at least 1s":              func(c *settings) { c.Retention = 999 * time.Millisecond },
		"--reconcile-rate: must be":                     func(c *settings) { c.ReconcileRate = 0 },
		"--max-tickets: must be":                        func(c *settings) { c.MaxTickets = 0 },
		"--open-match: required":                        func(c *settings) { c.OpenMatch = "" },
		"--matchfunctions: must be host:port":           func(c *settings) { c.MatchFunctions = []string{"matchfunction"} },
		"must be host:port, got \":50502\"":             func(c *settings) { c.MatchFunctions = []string{"a:1", ":50502"} },
		"must be host:port, got \"a:0\"":                func(c *settings) { c.MatchFunctions = []string{"a:0"} },
		"--matchfunctions: must each be given once":     func(c *settings) { c.MatchFunctions = []string{"a:1", "b:1", "a:1"} },
		"--reason-interval: must be from 100ms to 5s":   func(c *settings) { c.ReasonInterval = 99 * time.Millisecond },
		"to 5s, got \"6s\"":                             func(c *settings) { c.ReasonInterval = 6 * time.Second },
		"--log-format: must be":                         func(c *settings) { c.LogFormat = "xml" },
		"read queues":                                   func(c *settings) { c.Queues = filepath.Join(t.TempDir(), "none.yaml") },
		"--grpc-listen: required: an address to listen": func(c *settings) { c.GRPCListen = "" },
		"--queues: read queues":                         func(c *settings) { c.Issuer, c.Queues = "", filepath.Join(t.TempDir(), "none.yaml") },
	} {
		c := complete(t)
		change(c)
		err := frontend.Run(t.Context(), c, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if err != nil && c.PlayToken != "" && strings.Contains(err.Error(), c.PlayToken) {
			t.Error("the error shows the shared token")
		}
	}
}

func TestStopsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := frontend.Run(ctx, complete(t), nil); err != nil {
		t.Error(err)
	}
}

// TestQueueWithTimeLimit: a ticket of a queue with a limit ends by it and says why, is
// taken out of Open Match, and lets its player search on. One of another queue waits.
func TestQueueWithTimeLimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(file, []byte(`queues:
- {name: quick, teams: [{name: a, players: 2}], skill: {attribute: elo, window: 100}, time_limits: {search: 1s}}
- {name: slow, teams: [{name: a, players: 2}], skill: {attribute: elo, window: 100}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{"memory", "Redis"} {
		t.Run(store, func(t *testing.T) {
			s := start(t, func(c *settings) {
				c.Queues, c.PlayQueue = file, "slow"
				if store == "Redis" {
					c.Redis = "redis://" + miniredis.RunT(t).Addr()
				}
			})
			slow := s.do("a", "POST", "/v1/tickets", `{"queue":"slow"}`).ticket(t)
			quick := s.do("a", "POST", "/v1/tickets", `{"queue":"quick"}`).ticket(t)
			if got := s.await("a", quick.ID, "EXPIRED"); got.Reason != "no match was found in time" {
				t.Errorf("expired: %+v", got)
			}
			eventually.True(t, "it is taken out of Open Match", func() bool { return len(s.om.find(quick.ID)) == 0 })
			if got := s.get("a", slow.ID); got.State != "SEARCHING" {
				t.Errorf("of the other queue: %+v", got)
			}
			if again := s.do("a", "POST", "/v1/tickets", `{"queue":"quick"}`).ticket(t); again.State != "SEARCHING" {
				t.Errorf("again: %+v", again)
			}
		})
	}
}

// TestQueuesFile: the regions of a queue bind the players.
func TestQueuesFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "queues.yaml")
	if err := os.WriteFile(file, []byte(`queues:
- name: duel
  regions: [eu, us]
  teams: [{name: a, players: 1}, {name: b, players: 1}]
  skill: {attribute: elo, window: 100}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, func(c *settings) { c.Queues, c.PlayQueue = file, "duel" })
	checkProblem(t, s.do("a", "POST", "/v1/tickets", `{"queue":"duel","region":"mars"}`), bad("region", "must be one of eu, us"))
	checkProblem(t, s.play(playToken, "/play/mars"), bad("region", "must be one of eu, us"))
	if made := s.do("a", "POST", "/v1/tickets", `{"queue":"duel","region":"us"}`).ticket(t); made.Region != "us" {
		t.Errorf("ticket: %+v", made)
	}
}

// TestRuleSetFile: the rule set of a queue binds the players too, in all ways in.
func TestRuleSetFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "queues.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("queues.yaml", "queues: [{name: duel, rule_set: duel.json}]")
	write("duel.json", `{"ruleLanguageVersion": "1.0", "playerAttributes": [{"name": "elo", "type": "number"}],
		"teams": [{"name": "a", "minPlayers": 1, "maxPlayers": 1, "quantity": 2}],
		"rules": [{"name": "Close", "type": "batchDistance", "batchAttribute": "elo", "maxDistance": 80}, {"name": "Fast", "type": "latency", "maxLatency": 100}]}`)
	s := start(t, func(c *settings) { c.Queues, c.PlayQueue = file, "duel" })
	lacking := bad("players[0].attributes.elo", `required in queue "duel": a number`)
	checkProblem(t, s.do("a", "POST", "/v1/tickets", `{"queue":"duel","region":"eu"}`), lacking)
	checkProblem(t, s.play(playToken, "/play/eu"), lacking)
	elo := `"players":[{"attributes":{"elo":{"number":1500}}}]`
	checkProblem(t, s.do("a", "POST", "/v1/tickets", `{"queue":"duel",`+elo+`}`), bad("region", `required in queue "duel", unless there are latencies`))
	if made := s.do("a", "POST", "/v1/tickets", `{"queue":"duel","region":"eu",`+elo+`}`).ticket(t); made.Queue != "duel" {
		t.Errorf("ticket: %+v", made)
	}

	write("duel.json", `{"ruleLanguageVersion": "2.0"}`)
	c := complete(t)
	c.Queues, c.PlayQueue = file, "duel"
	if err := frontend.Run(t.Context(), c, nil); err == nil || !strings.Contains(err.Error(), "queues[0].rule_set: duel.json: line 1, column 25: ruleLanguageVersion: ") {
		t.Errorf("a rule set with a mistake: %v", err)
	}
}

// TestKeyRotation: a key that comes into the directory is published, and one that
// is taken away is not.
func TestKeyRotation(t *testing.T) {
	s := start(t, func(c *settings) { c.KeysReload = 5 * time.Millisecond })
	first := s.do("", "GET", "/.well-known/jwks.json", "")
	makeKeys(t, s.keysDir)
	eventually.True(t, "two keys are published", func() bool {
		return strings.Count(s.do("", "GET", "/.well-known/jwks.json", "").body, `"kid"`) == 2
	})
	if first.header.Get("Content-Type") != "application/jwk-set+json" || first.header.Get("ETag") == "" {
		t.Errorf("headers: %v", first.header)
	}
}
