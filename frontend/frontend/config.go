package frontend

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"torikumi/frontend/internal/api"
	"torikumi/frontend/internal/https"
	"torikumi/frontend/internal/regions"
	"torikumi/frontend/playertoken"
	"torikumi/pkg/config"
	"torikumi/pkg/cors"
	"torikumi/pkg/queues"
	"torikumi/pkg/redisclient"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
)

// minPlayToken is the least length of the shared token: it has to be impossible
// to guess.
const minPlayToken = 16

// Config holds the frontend's settings. The zero value is not valid:
// config.Default fills in what has a default.
type Config struct {
	service.Config
	redisclient.Settings
	rpc.GRPCTLS
	rpc.PeerTLS
	rpc.OpenMatchTLS
	GRPCListen string `flag:"grpc-listen" default:"127.0.0.1:50600" required:"an address to listen on" rule:"listen" help:"Address of the gRPC server. Port 0 is any free one."`
	HTTPListen string `flag:"http-listen" default:"127.0.0.1:8080" required:"an address to listen on" rule:"listen" help:"Address of the HTTP server: API, key set, health and metrics. Port 0 is any free one."`
	https.TLSConfig

	OpenMatch string   `flag:"open-match" default:"127.0.0.1:50504" required:"tickets are made there" help:"Open Match's frontend service, host:port or a gRPC target."`
	Directors []string `flag:"directors" default:"127.0.0.1:50520" rule:"host:port" help:"Directors that announce assignments, with commas between; a name is subscribed to at all its addresses, which are looked up every second."`
	Queues    string   `flag:"queues" help:"File with the queues (queues.yaml); the built-in ones when not given. A change of it, or of a rule set that it names, is in force within 2s."`

	Regions string `flag:"regions" help:"File with the regions and their latency beacons (regions.yaml), which GET /v1/regions lists; none when not given. A change of it is in force within 2s."`

	MatchFunctions         []string      `flag:"matchfunctions" rule:"host:port" help:"Match functions that say why tickets wait, with commas between; a name is asked at all its addresses. Players are not told when not given."`
	MatchFunctionsInsecure bool          `flag:"matchfunctions-insecure" default:"false" help:"Call match functions in plain text even with --peer-ca, as they listen where Open Match calls them so."`
	ReasonInterval         time.Duration `flag:"reason-interval" default:"2s" rule:"from 100ms to 5s" help:"Time between two calls of a match function, each for at most 100 tickets whose players want to know why they wait."`

	PlayerIssuers    string   `flag:"player-issuers" help:"File with any number of issuers of player tokens, in place of the settings of one: --player-issuer, --player-audience, --service-audience, --player-jwks-url, --player-jwks-allow-http and --player-algorithms."`
	PlayerIssuer     string   `flag:"player-issuer" help:"Issuer of the player tokens, as in their claim iss. Required without --player-issuers."`
	PlayerAudience   string   `flag:"player-audience" help:"Audience of the player tokens, as in their claim aud. Required without --player-issuers."`
	ServiceAudience  string   `flag:"service-audience" help:"Audience, in the claim aud, of tokens of the studio's own backends: they may post whole parties, and see and end all tickets. Nobody may when not given."`
	PlayerJWKSURL    string   `flag:"player-jwks-url" help:"Where the issuer publishes its keys: https, or http on this machine. It says so itself, by OpenID Connect Discovery, when not given."`
	PlayerAllowHTTP  bool     `flag:"player-jwks-allow-http" help:"Fetch the issuer's keys over plain http from elsewhere too: whoever controls the network between can then make player tokens."`
	PlayerAlgorithms []string `flag:"player-algorithms" rule:"RS256, ES256 or EdDSA" help:"Algorithms that player tokens may be signed with, with commas between: RS256, ES256 and EdDSA; the first two when not given."`

	KeysDir           string        `flag:"keys-dir" required:"join tokens cannot be signed without keys" help:"Directory with the private keys that sign join tokens, one file *.pem each."`
	KeysReload        time.Duration `flag:"keys-reload" default:"30s" rule:"positive" help:"Time between two readings of the key directory."`
	KeysPublishBefore time.Duration `flag:"keys-publish-before" default:"15m" rule:"positive" help:"How long a new key is published before it signs."`
	Issuer            string        `flag:"issuer" required:"gates refuse join tokens of any other issuer" rule:"url" help:"This frontend's URL as in the join tokens' claim iss; gates compare it letter for letter."`
	Algorithm         string        `flag:"algorithm" default:"RS256" rule:"RS256 or ES256" help:"Algorithm of the join tokens."`
	JoinTokenLifetime time.Duration `flag:"join-token-lifetime" default:"120s" help:"How long a join token is good for; whole seconds, at most 5m."`

	TicketTimeout  time.Duration `flag:"ticket-timeout" default:"10m" rule:"positive" help:"How long a ticket waits for a match, unless its queue says less (time_limits.search)."`
	PartyTimeout   time.Duration `flag:"party-timeout" default:"2m" rule:"positive" help:"How long a ticket waits for the players of its party to join."`
	GoneAfter      time.Duration `flag:"gone-after" default:"60s" rule:"not negative" help:"A ticket that nobody has followed, waited for or read for this long is cancelled: its players have gone. At least 1s, or 0: it is not."`
	Retention      time.Duration `flag:"retention" default:"1h" rule:"at least 1s" help:"How long an assigned ticket can be read, so that its players can connect again; longer while its match lives, if directors know that."`
	EndedRetention time.Duration `flag:"ended-retention" default:"1m" rule:"positive" help:"How long a ticket can be read that was cancelled or has expired."`
	MaxTickets     int           `flag:"max-tickets" default:"500000" rule:"at least 1" help:"Most tickets that are kept; the oldest ended ones are forgotten first."`

	CreateInterval   time.Duration `flag:"create-interval" default:"1s" rule:"positive" help:"How often a player may make a ticket, after --create-burst at once."`
	CreateBurst      int           `flag:"create-burst" default:"3" rule:"at least 1" help:"How many tickets a player may make at once."`
	AddressPerSecond float64       `flag:"creates-per-address" default:"0" help:"How many tickets a second may be made from one address (of IPv6 one /64), and ten times as many at once; any number when 0. Behind load balancers set --trusted-proxies too."`
	CORSOrigins      []string      `flag:"cors-origins" help:"Origins of web pages that may call the API, as https://play.example.com, with commas between, or * for any. No page of another origin may when not given."`
	TrustedProxies   []string      `flag:"trusted-proxies" help:"Addresses and networks of load balancers, with commas between: they say in X-Forwarded-For from where a call comes."`

	ReconcileRate  float64       `flag:"reconcile-rate" default:"100" rule:"from 0.1 to 10000" help:"Most tickets a second that are read from Open Match to catch missed assignments."`
	ReconcileEvery time.Duration `flag:"reconcile-interval" default:"15s" rule:"positive" help:"Pause between two readings of all waiting tickets."`

	PlayToken   string        `flag:"play-token" secret:"true" help:"Token that the clients of GET /play/{region} share, at least 16 characters; only player tokens when not given."`
	PlayQueue   string        `flag:"play-queue" default:"session" required:"one of the queues" help:"Queue of the tickets of GET /play/{region}."`
	PlayTimeout time.Duration `flag:"play-timeout" default:"60s" rule:"positive" help:"How long GET /play/{region} waits for a match."`

	// patience is how long directors, match functions and a Redis that counts are waited for,
	// without which players are served too; zero: as briefly as is right for players.
	patience time.Duration
}

// Validate tells which of the frontend's own settings are wrong.
func (c *Config) Validate() error {
	return errors.Join(c.CheckRedis(), c.CheckGRPCTLS(), c.CheckPeerTLS(), c.CheckTLS(), c.validateTokens(), c.validateLimits(), c.validateMatchFunctions(), c.validateQueues(), c.validateRegions())
}

func (c *Config) validateTokens() error {
	var errs []error
	if d := c.JoinTokenLifetime; d < time.Second || d > token.MaxLifetime || d%time.Second != 0 {
		errs = append(errs, config.Invalid("join-token-lifetime", "must be whole seconds from 1s to 5m", d))
	}
	if _, err := c.issuers(); err != nil {
		errs = append(errs, err)
	}
	if c.PlayToken != "" && len(c.PlayToken) < minPlayToken {
		errs = append(errs, &config.Error{Setting: "--play-token", Rule: "must have at least 16 characters"})
	}
	return errors.Join(errs...)
}

// issuers are those of the player tokens: of the file, or the one of the settings.
func (c *Config) issuers() ([]playertoken.Issuer, error) {
	one := []struct{ name, value string }{
		{"player-issuer", c.PlayerIssuer}, {"player-audience", c.PlayerAudience}, {"player-jwks-url", c.PlayerJWKSURL}, {"service-audience", c.ServiceAudience},
		{"player-algorithms", strings.Join(c.PlayerAlgorithms, ",")},
	}
	var errs []error
	if c.PlayerIssuers != "" {
		for _, s := range one {
			if s.value != "" {
				errs = append(errs, config.Invalid(s.name, "must not be there beside --player-issuers, which says it", s.value))
			}
		}
		if c.PlayerAllowHTTP {
			errs = append(errs, config.Invalid("player-jwks-allow-http", "must not be there beside --player-issuers, which says it", true))
		}
		all, err := playertoken.LoadIssuers(c.PlayerIssuers)
		if err != nil {
			errs = append(errs, config.Within("--player-issuers", err))
		}
		return all, errors.Join(errs...)
	}
	for _, s := range one[:2] {
		if s.value == "" {
			errs = append(errs, config.Missing(s.name, "player tokens of any other issuer, or for another service, are refused"))
		}
	}
	if c.ServiceAudience != "" && c.ServiceAudience == c.PlayerAudience {
		errs = append(errs, config.Invalid("service-audience", "must not be that of the players, who could then speak for each other", c.ServiceAudience))
	}
	issuer := playertoken.Issuer{
		Issuer: c.PlayerIssuer, Audience: c.PlayerAudience, ServiceAudience: c.ServiceAudience, JWKSURL: c.PlayerJWKSURL, AllowHTTP: c.PlayerAllowHTTP,
	}
	algorithms := c.PlayerAlgorithms
	if len(algorithms) == 0 {
		algorithms = []string{string(token.RS256), string(token.ES256)}
	}
	for _, a := range algorithms {
		issuer.Algorithms = append(issuer.Algorithms, token.Algorithm(a))
	}
	return []playertoken.Issuer{issuer}, errors.Join(errs...)
}

func (c *Config) validateLimits() error {
	var errs []error
	if n := c.AddressPerSecond; n != 0 && !(n >= 0.01 && n <= 1e6) {
		errs = append(errs, config.Invalid("creates-per-address", "must be 0, or from 0.01 to 1000000", n))
	}
	if d := c.GoneAfter; d > 0 && d < time.Second {
		errs = append(errs, config.Invalid("gone-after", "must be 0, or at least 1s", d))
	}
	if err := cors.Check(c.CORSOrigins); err != nil {
		errs = append(errs, &config.Error{Setting: "--cors-origins", Rule: err.Error()})
	}
	if _, err := api.ParseProxies(c.TrustedProxies); err != nil {
		errs = append(errs, &config.Error{Setting: "--trusted-proxies", Rule: err.Error()})
	}
	return errors.Join(errs...)
}

func (c *Config) validateQueues() error {
	set, err := queues.Load(c.Queues)
	if err != nil {
		return config.Within("--queues", err)
	}
	err = c.acceptQueues(set)
	if _, ok := set.Get(c.PlayQueue); c.PlayQueue != "" && !ok {
		err = errors.Join(err, config.Invalid("play-queue", "must be one of the queues, which are "+strings.Join(set.Names(), ", "), c.PlayQueue))
	}
	return err
}

func (c *Config) validateRegions() error {
	if c.Regions == "" {
		return nil
	}
	if _, err := regions.Load(c.Regions); err != nil {
		return config.Within("--regions", err)
	}
	return nil
}

// acceptQueues refuses queues in which tickets are to wait for longer than they are kept, or
// players be asked of whom nobody tells. That the one of GET /play/{region} is removed is no
// mistake: directors remove it too.
func (c *Config) acceptQueues(set *queues.Set) error {
	for i, q := range set.Queues {
		if d := q.TimeLimits.Search.Duration; d > c.TicketTimeout {
			return fmt.Errorf("queues[%d].time_limits.search: must be at most --ticket-timeout (%v), got %v", i, c.TicketTimeout, d)
		}
		if q.Acceptance != nil && len(c.Directors) == 0 {
			return fmt.Errorf("queues[%d].acceptance: must not be there without --directors, which tell that players are to be asked", i)
		}
	}
	return nil
}

func (c *Config) validateMatchFunctions() error {
	var errs []error
	seen := make(map[string]bool)
	for _, target := range c.MatchFunctions {
		if seen[target] {
			errs = append(errs, config.Invalid("matchfunctions", "must each be given once", target))
		}
		seen[target] = true
	}
	return errors.Join(errs...)
}
