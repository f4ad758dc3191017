package frontend

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"torikumi/pkg/config"
	"torikumi/pkg/queues"
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
	GRPCListen string `flag:"grpc-listen" default:"127.0.0.1:50600" help:"Address of the gRPC server. Port 0 is any free one."`
	HTTPListen string `flag:"http-listen" default:"127.0.0.1:8080" help:"Address of the HTTP server: API, key set, health and metrics. Port 0 is any free one."`

	OpenMatch string   `flag:"open-match" default:"127.0.0.1:50504" help:"Open Match's frontend service, host:port or a gRPC target."`
	Directors []string `flag:"directors" default:"127.0.0.1:50520" help:"Directors that announce assignments, host:port or gRPC targets, with commas between."`
	Queues    string   `flag:"queues" help:"File with the queues (queues.yaml); the built-in ones when not given."`

	MatchFunctions []string      `flag:"matchfunctions" help:"Match functions that say why tickets wait, host:port with commas between; a name is asked at all its addresses. Players are not told when not given."`
	ReasonInterval time.Duration `flag:"reason-interval" default:"2s" help:"Time between two calls of a match function, each for at most 100 tickets whose players want to know why they wait; from 100ms to 5s."`

	PlayerIssuer     string   `flag:"player-issuer" help:"Required: issuer of the player tokens, as in their claim iss."`
	PlayerAudience   string   `flag:"player-audience" help:"Required: audience of the player tokens, as in their claim aud."`
	PlayerJWKSURL    string   `flag:"player-jwks-url" help:"Required: where the issuer publishes its keys. https, or http on this machine."`
	PlayerAllowHTTP  bool     `flag:"player-jwks-allow-http" help:"Fetch the issuer's keys over plain http from elsewhere too: whoever controls the network between can then make player tokens."`
	PlayerAlgorithms []string `flag:"player-algorithms" default:"RS256,ES256" help:"Algorithms that player tokens may be signed with, of RS256 and ES256."`

	KeysDir           string        `flag:"keys-dir" help:"Required: directory with the private keys that sign join tokens, one file *.pem each."`
	KeysReload        time.Duration `flag:"keys-reload" default:"30s" help:"Time between two readings of the key directory."`
	KeysPublishBefore time.Duration `flag:"keys-publish-before" default:"15m" help:"How long a new key is published before it signs."`
	Issuer            string        `flag:"issuer" help:"Required: this frontend's URL as in the join tokens' claim iss; gates compare it letter for letter."`
	Algorithm         string        `flag:"algorithm" default:"RS256" help:"Algorithm of the join tokens: RS256 or ES256."`
	JoinTokenLifetime time.Duration `flag:"join-token-lifetime" default:"120s" help:"How long a join token is good for; whole seconds, at most 5m."`

	TicketTimeout  time.Duration `flag:"ticket-timeout" default:"10m" help:"How long a ticket waits for a match."`
	Retention      time.Duration `flag:"retention" default:"1h" help:"How long an assigned ticket can be read, so that its players can connect again."`
	EndedRetention time.Duration `flag:"ended-retention" default:"1m" help:"How long a ticket can be read that was cancelled or has expired."`
	MaxTickets     int           `flag:"max-tickets" default:"500000" help:"Most tickets that are kept; the oldest ended ones are forgotten first."`

	ReconcileRate  float64       `flag:"reconcile-rate" default:"100" help:"Most tickets a second that are read from Open Match to catch missed assignments."`
	ReconcileEvery time.Duration `flag:"reconcile-interval" default:"15s" help:"Pause between two readings of all waiting tickets."`

	PlayToken   string        `flag:"play-token" secret:"true" help:"Token that the clients of GET /play/{region} share, at least 16 characters; only player tokens when not given."`
	PlayQueue   string        `flag:"play-queue" default:"session" help:"Queue of the tickets of GET /play/{region}."`
	PlayTimeout time.Duration `flag:"play-timeout" default:"60s" help:"How long GET /play/{region} waits for a match."`
}

// Validate tells which of the frontend's own settings are wrong.
func (c *Config) Validate() error {
	return errors.Join(c.validateTokens(), c.validateTimes(), c.validateReasons(), c.validateRest(), c.validateQueues())
}

func (c *Config) validateTokens() error {
	var errs []error
	for _, s := range []struct{ flag, value, why string }{
		{"player-issuer", c.PlayerIssuer, "player tokens of any other issuer are refused"},
		{"player-audience", c.PlayerAudience, "the issuer makes tokens for other services too"},
		{"player-jwks-url", c.PlayerJWKSURL, "player tokens cannot be checked without the issuer's keys"},
		{"keys-dir", c.KeysDir, "join tokens cannot be signed without keys"},
		{"issuer", c.Issuer, "gates refuse join tokens of any other issuer"},
	} {
		if s.value == "" {
			errs = append(errs, config.Missing(s.flag, s.why))
		}
	}
	if u, err := url.Parse(c.Issuer); c.Issuer != "" && (err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http")) {
		errs = append(errs, config.Invalid("issuer", "must be an absolute http or https URL", c.Issuer))
	}
	if token.Algorithm(c.Algorithm).Validate() != nil {
		errs = append(errs, config.Invalid("algorithm", "must be RS256 or ES256", c.Algorithm))
	}
	if len(c.PlayerAlgorithms) == 0 {
		errs = append(errs, config.Missing("player-algorithms", "at least one of RS256 and ES256"))
	}
	for _, a := range c.PlayerAlgorithms {
		if token.Algorithm(a).Validate() != nil {
			errs = append(errs, config.Invalid("player-algorithms", "must be RS256 or ES256", a))
		}
	}
	if d := c.JoinTokenLifetime; d < time.Second || d > token.MaxLifetime || d%time.Second != 0 {
		errs = append(errs, config.Invalid("join-token-lifetime", "must be whole seconds from 1s to 5m", d))
	}
	if c.PlayToken != "" && len(c.PlayToken) < minPlayToken {
		errs = append(errs, &config.Error{Setting: "--play-token", Rule: "must have at least 16 characters"})
	}
	return errors.Join(errs...)
}

func (c *Config) validateTimes() error {
	var errs []error
	for _, s := range []struct {
		flag  string
		value time.Duration
	}{
		{"keys-reload", c.KeysReload},
		{"keys-publish-before", c.KeysPublishBefore},
		{"ticket-timeout", c.TicketTimeout},
		{"retention", c.Retention},
		{"ended-retention", c.EndedRetention},
		{"reconcile-interval", c.ReconcileEvery},
		{"play-timeout", c.PlayTimeout},
	} {
		if s.value <= 0 {
			errs = append(errs, config.Invalid(s.flag, "must be positive", s.value))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateRest() error {
	var errs []error
	for _, s := range []struct{ flag, value, why string }{
		{"grpc-listen", c.GRPCListen, "an address to listen on"},
		{"http-listen", c.HTTPListen, "an address to listen on"},
		{"open-match", c.OpenMatch, "tickets are made there"},
		{"play-queue", c.PlayQueue, "one of the queues"},
	} {
		if s.value == "" {
			errs = append(errs, config.Missing(s.flag, s.why))
		}
	}
	// The comparison also catches NaN.
	if !(c.ReconcileRate >= 0.1 && c.ReconcileRate <= 10_000) {
		errs = append(errs, config.Invalid("reconcile-rate", "must be from 0.1 to 10000", c.ReconcileRate))
	}
	if c.MaxTickets < 1 {
		errs = append(errs, config.Invalid("max-tickets", "must be at least 1", c.MaxTickets))
	}
	return errors.Join(errs...)
}

func (c *Config) validateQueues() error {
	set, err := queues.Load(c.Queues)
	if err != nil {
		return fmt.Errorf("--queues: %w", err)
	}
	if _, ok := set.Get(c.PlayQueue); c.PlayQueue != "" && !ok {
		return config.Invalid("play-queue", "must be one of the queues, which are "+strings.Join(set.Names(), ", "), c.PlayQueue)
	}
	return nil
}

func (c *Config) validateReasons() error {
	var errs []error
	seen := make(map[string]bool)
	for _, target := range c.MatchFunctions {
		host, port, err := net.SplitHostPort(target)
		n, portErr := strconv.ParseUint(port, 10, 16)
		switch {
		case err != nil || host == "" || portErr != nil || n == 0:
			errs = append(errs, config.Invalid("matchfunctions", "must be host:port", target))
		case seen[target]:
			errs = append(errs, config.Invalid("matchfunctions", "must each be given once", target))
		}
		seen[target] = true
	}
	if c.ReasonInterval < 100*time.Millisecond || c.ReasonInterval > 5*time.Second {
		errs = append(errs, config.Invalid("reason-interval", "must be from 100ms to 5s", c.ReasonInterval))
	}
	return errors.Join(errs...)
}
