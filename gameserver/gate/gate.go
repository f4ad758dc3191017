// Package gate starts the gate, the sidecar of a dedicated game server. The
// server hands it each player's join token; the gate says who comes in, and asks
// Agones to end the server when its last player has left.
//
// Its HTTP API on localhost, which package gateapi describes, has no
// authentication: the pod is its boundary, so that the gate
// refuses to listen on anything but the loopback interface. It holds no
// credentials but a token that says, to directors alone, which game server it belongs to. Used tokens and who is present are remembered in the journal, which
// belongs on a volume that lives as long as the pod. Without a journal a gate that is restarted knows neither: it refuses the tokens from
// before its start, and ends the server after the no-show time unless somebody
// comes.
package gate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"torikumi/gameserver/internal/admission"
	"torikumi/gameserver/internal/director"
	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/journal"
	"torikumi/gameserver/internal/sdkproxy"
	"torikumi/gameserver/internal/watch"
	"torikumi/pkg/config"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
	"torikumi/proto/agones/sdk"
	"torikumi/proto/agones/sdk/alpha"
	"torikumi/proto/agones/sdk/beta"
)

// Config holds the settings; config.Default fills it as far as there are
// defaults.
type Config struct {
	service.Config

	HTTPListen      string          `flag:"http-listen" default:"127.0.0.1:8085" help:"Address of the API, host:port on the loopback interface; port 0 is any free one."`
	SDKPort         int             `flag:"sdk-grpc-port" default:"9357" rule:"from 1 to 65535" help:"Port of the Agones SDK's gRPC server on localhost; AGONES_SDK_GRPC_PORT sets it too."`
	SDKHTTPPort     int             `flag:"sdk-http-port" default:"9358" rule:"from 1 to 65535" help:"Port of its REST server on localhost, to which the gate passes the SDK on; AGONES_SDK_HTTP_PORT sets it too."`
	JWKSURL         string          `flag:"jwks-url" required:"no token can be checked without the frontend's keys" help:"Where the frontend publishes its keys: https, or http on this machine."`
	AllowHTTPKeys   bool            `flag:"allow-http-jwks" default:"false" help:"Take the keys over plain HTTP from another machine. Whoever can change that traffic can let anyone in."`
	Issuer          string          `flag:"issuer" required:"a token of somebody else could not be told apart" help:"The frontend's issuer, letter for letter as it stands in its tokens."`
	Algorithm       token.Algorithm `flag:"algorithm" default:"RS256" rule:"RS256 or ES256" help:"Algorithm of join tokens."`
	Journal         string          `flag:"journal" help:"File for used tokens and who is here, with FILE.lock beside it. Must live as long as the pod. Empty: memory only."`
	Capacity        int             `flag:"capacity" default:"0" rule:"not negative" help:"Most players at a time; 0: as many as the roster has, any number without one."`
	NoShowTimeout   time.Duration   `flag:"no-show-timeout" default:"2m" rule:"positive" help:"The server ends if nobody has come so long after its allocation."`
	EmptyTimeout    time.Duration   `flag:"empty-timeout" default:"0s" rule:"not negative" help:"How long the server stays after its last player has left."`
	PresenceTimeout time.Duration   `flag:"presence-timeout" default:"30s" rule:"positive" help:"A player who has been missing for so long from what the server reports of who is there is taken for gone."`
	LongestMatch    time.Duration   `flag:"longest-match" default:"24h" rule:"not negative" help:"The server ends so long after its allocation, whoever is there; 0s: never. It bounds servers that neither report who is there nor who leaves."`

	Director          string `flag:"director" rule:"host:port" help:"Address of the directors for gates (their --gate-listen), which find players for a running match; none: matches are not filled up."`
	DirectorCA        string `flag:"director-ca" help:"PEM file with the authorities of the directors' certificate; read again for each new connection."`
	DirectorInsecure  bool   `flag:"director-insecure" default:"false" help:"Call the directors in plain text. For one machine only: whoever sees that traffic can take the gate's token."`
	DirectorTokenFile string `flag:"director-token-file" help:"File with the token that proves to directors which game server this is: in a pod a projected service-account token for the audience torikumi-director, mounted into the gate's container alone. Read for each call."`
}

// Validate tells which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	if !loopback(c.HTTPListen) {
		errs = append(errs, config.Invalid("http-listen", "must be host:port on the loopback interface, because the API has no authentication", c.HTTPListen))
	}
	if c.LongestMatch > 0 && c.LongestMatch <= c.NoShowTimeout {
		errs = append(errs, config.Invalid("longest-match", "must be longer than --no-show-timeout, or 0s", c.LongestMatch))
	}
	if c.JWKSURL != "" && c.Algorithm.Validate() == nil {
		if _, err := token.NewRemoteKeys(c.keyOptions()); err != nil {
			rule := err.Error()
			if errors.Is(err, token.ErrPlainHTTP) {
				rule = token.ErrPlainHTTP.Error() + "; --allow-http-jwks takes plain HTTP too"
			}
			errs = append(errs, config.Invalid("jwks-url", rule, c.JWKSURL))
		}
	}
	return errors.Join(append(errs, c.checkDirector())...)
}

func (c *Config) checkDirector() error {
	if c.Director == "" {
		var errs []error
		for name, given := range map[string]bool{
			"director-ca": c.DirectorCA != "", "director-insecure": c.DirectorInsecure, "director-token-file": c.DirectorTokenFile != "",
		} {
			if given {
				errs = append(errs, &config.Error{Setting: "--" + name, Rule: "must not be given without --director"})
			}
		}
		return errors.Join(errs...)
	}
	var errs []error
	if (c.DirectorCA == "") == !c.DirectorInsecure {
		errs = append(errs, &config.Error{Setting: "--director-ca", Rule: "must be given with --director, or --director-insecure, and not both"})
	}
	if c.DirectorTokenFile == "" {
		errs = append(errs, config.Missing("director-token-file", "a director has to know which game server asks"))
	}
	return errors.Join(errs...)
}

func (c *Config) keyOptions() token.RemoteOptions {
	return token.RemoteOptions{URL: c.JWKSURL, AllowHTTP: c.AllowHTTPKeys, Algorithms: []token.Algorithm{c.Algorithm}}
}

func loopback(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Main is the gate's main function without the process around it; it returns
// the exit code of service.StartProcess.
func Main(ctx context.Context, p service.Process) int {
	getenv := p.Getenv
	env := func(name string) string {
		v := getenv(name)
		switch {
		case v == "" && name == "GATE_SDK_GRPC_PORT":
			return getenv("AGONES_SDK_GRPC_PORT")
		case v == "" && name == "GATE_SDK_HTTP_PORT":
			return getenv("AGONES_SDK_HTTP_PORT")
		}
		return v
	}
	p.Getenv = env
	return service.StartProcess(ctx, "gate", Run, p)
}

// Run serves until ctx ends, and calls started once with the addresses.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) (err error) {
	if err := config.Validate(cfg); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	log := cfg.Logger(os.Stderr, "gate")
	conn, err := rpc.Dial("passthrough:///"+net.JoinHostPort("localhost", strconv.Itoa(cfg.SDKPort)), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	keyOptions := cfg.keyOptions()
	keyOptions.Logger = log
	keys, err := token.NewRemoteKeys(keyOptions)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	verifier, err := token.NewVerifier(token.VerifierOptions{Keys: keys, Algorithm: cfg.Algorithm, Issuer: cfg.Issuer})
	if err != nil {
		return fmt.Errorf("verifier: %w", err)
	}
	memory, err := journal.Open(cfg.Journal, nil)
	if err != nil {
		return fmt.Errorf("--journal: %w", err)
	}
	defer func() { err = errors.Join(err, memory.Close()) }()

	registry := service.NewRegistry()
	var finder admission.Director // not a nil *director.Client
	if cfg.Director != "" {
		client, err := director.Dial(director.Options{
			Address: cfg.Director, CAFile: cfg.DirectorCA, Insecure: cfg.DirectorInsecure, TokenFile: cfg.DirectorTokenFile, Registry: registry,
		})
		if err != nil {
			return fmt.Errorf("director: %w", err)
		}
		defer func() { err = errors.Join(err, client.Close()) }()
		finder = client
	}

	var controller *admission.Controller
	watcher := watch.New(watch.Options{
		SDK: sdk.NewSDKClient(conn), Beta: beta.NewSDKClient(conn), Alpha: alpha.NewSDKClient(conn), Observe: func(v watch.View) { controller.Observe(v) }, Logger: log,
	})
	controller = admission.New(admission.Options{
		Verifier: verifier, Journal: memory, Server: watcher, Director: finder, Capacity: cfg.Capacity, Logger: log,
		Policy: admission.Policy{NoShow: cfg.NoShowTimeout, Empty: cfg.EmptyTimeout, Presence: cfg.PresenceTimeout, Longest: cfg.LongestMatch},
	})
	return serve(ctx, cfg, log, registry, controller, watcher, keys, started)
}

func serve(
	ctx context.Context, cfg *Config, log *slog.Logger, registry *prometheus.Registry, controller *admission.Controller,
	watcher *watch.Watcher, keys *token.RemoteKeys, started func(service.Addrs),
) error {
	handler := gateapi.NewHandler(controller, registry)
	proxy := sdkproxy.New(sdkproxy.Options{GRPCPort: cfg.SDKPort, HTTPPort: cfg.SDKHTTPPort, Logger: log})
	return service.Run(ctx, service.Options{
		Name: "gate", Config: cfg.Config, Logger: log, Registry: registry, HTTPListen: []string{cfg.HTTPListen}, Started: started,
		HTTP2: true,
		// Both guard their routes; probes and metrics are for others too, who come to the
		// pod's address.
		HTTP: func(mux *http.ServeMux, _ *grpc.ClientConn) error {
			handler.Routes(mux)
			proxy.Routes(mux)
			return nil
		},
		Ready: map[string]func(context.Context) error{
			"keys": func(context.Context) error {
				if len(keys.Status().KeyIDs) == 0 {
					return token.ErrKeysUnavailable
				}
				return nil
			},
			"sdk": func(context.Context) error {
				if lost := watcher.Lost(); lost > 0 {
					return fmt.Errorf("%w for %v", watch.ErrUnavailable, lost.Round(time.Second))
				}
				return nil
			},
			"server": func(context.Context) error {
				if view, seen := watcher.Current(); seen && view.Starting() {
					return errors.New("the game server has not said Ready")
				}
				return nil
			},
		},
		Background: []func(context.Context) error{keys.Run, watcher.Run, controller.Run, controller.Tell, controller.Track, controller.Backfill, proxy.Run},
	})
}
