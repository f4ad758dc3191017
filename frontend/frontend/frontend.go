// Package frontend starts the frontend service: the player API that takes a
// player from "Play" to a game server's address and the token that opens it. It
// is where the player's path begins and where it leaves for the game server.
//
// The tickets are in Redis, which any number of frontends share, or in the memory
// of one frontend that knows nothing of another's. Readiness asks for the keys of the player tokens' issuer, without which nobody
// can be served, and that Redis has been reached once. It asks neither for Open Match
// nor for Redis after that: without Open Match
// tickets can still be read, watched and cancelled and join tokens made, without
// Redis streams stay open and go on when it is back, and an answer that says what
// is wrong is better than no frontend. The metric torikumi_frontend_open_match_up and
// the log tell operators.
package frontend

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"torikumi/frontend/internal/api"
	"torikumi/frontend/internal/estimate"
	"torikumi/frontend/internal/explain"
	"torikumi/frontend/internal/https"
	"torikumi/frontend/internal/matchmaker"
	"torikumi/frontend/internal/ratelimit"
	"torikumi/frontend/internal/regions"
	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/internal/web"
	"torikumi/frontend/playertoken"
	"torikumi/frontend/signing"
	"torikumi/pkg/config"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// maxGRPCStreams is how many calls of one gRPC connection are answered at the same
// time. Proxies that bring many players together open another connection then.
const maxGRPCStreams = 1000

// name of the service in logs, metrics and subscriptions.
const name = "frontend"

// Run serves until ctx ends, and then takes its tickets out of Open Match. It
// calls started once, when everything listens; started may be nil. Several can
// run in one process.
func Run(ctx context.Context, cfg *Config, started func(service.Addrs)) error {
	if err := config.Validate(cfg); err != nil {
		return err
	}
	p := &parts{cfg: cfg, logger: cfg.Logger(os.Stderr, name), registry: service.NewRegistry()}
	defer p.close()
	defer p.streams.Wait()
	if err := p.open(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	return service.Run(ctx, service.Options{
		Name: name, Config: cfg.Config, Logger: p.logger, Registry: p.registry,
		GRPCListen: []string{cfg.GRPCListen}, GRPCTLS: cfg.GRPCTLS, HTTPListen: []string{cfg.HTTPListen},
		HTTPSListen: []string{cfg.HTTPSListen}, TLS: p.tls,
		Register: func(r grpc.ServiceRegistrar) {
			torikumiv1.RegisterFrontendServiceServer(r, &api.Server{Service: p.api})
		},
		// What is too large over HTTP is so over gRPC.
		ServerOptions: append(api.ServerOptions(p.auth), grpc.MaxRecvMsgSize(web.MaxBody), grpc.MaxConcurrentStreams(maxGRPCStreams)),
		HTTP: func(mux *http.ServeMux, _ *grpc.ClientConn) error {
			mux.Handle("/", web.NewHandler(web.Options{
				Service: p.api, Auth: p.auth, Keys: p.keys, Logger: p.logger, Registry: p.registry,
				PlayQueue: cfg.PlayQueue, PlayTimeout: cfg.PlayTimeout, Streams: &p.streams, Origins: cfg.CORSOrigins,
			}))
			return nil
		},
		Ready:      map[string]func(context.Context) error{"player_keys": p.playerKeysReady, "ticket_store": p.storeReady},
		Background: p.background(),
		Started:    started,
	})
}

// background is the work beside the calls.
func (p *parts) background() []func(context.Context) error {
	work := []func(context.Context) error{
		p.queues.Run,
		p.matchmaker.Run,
		p.estimates.Run,
		func(ctx context.Context) error { return p.keys.Watch(ctx, p.cfg.KeysReload) },
	}
	for _, keys := range p.players {
		work = append(work, keys.Run)
	}
	if p.cfg.GoneAfter > 0 {
		work = append(work, func(ctx context.Context) error { return p.api.KeepWaiting(ctx, p.cfg.GoneAfter) })
	}
	if p.explain != nil {
		work = append(work, p.explain.Run)
	}
	if p.regions != nil {
		work = append(work, p.regions.Run)
	}
	if p.certificate != nil {
		work = append(work, func(ctx context.Context) error { return p.certificate.Run(ctx, p.logger) })
	}
	return work
}

// parts are what a running frontend is made of.
type parts struct {
	cfg      *Config
	logger   *slog.Logger
	registry *prometheus.Registry
	keys     *signing.Keys
	players  []*token.RemoteKeys // one for each issuer
	conns    []*grpc.ClientConn
	closers  []func()
	queues   *queues.Live
	// regions is nil without --regions.
	regions *regions.Live
	// storeReached is nil without Redis.
	storeReached func() bool
	// counts and claims are nil without Redis.
	counts     *ratelimit.Shared
	claims     matchmaker.Claims
	matchmaker *matchmaker.Client
	// explain is nil without match functions to ask.
	explain   *explain.Cache
	estimates *estimate.Estimates
	api       *api.Service
	auth      *api.Authenticator
	streams   sync.WaitGroup
	// certificate and its tls are nil without --https-listen.
	certificate *https.Certificate
	tls         *tls.Config
}

func (p *parts) open() error {
	var err error
	p.queues, err = queues.NewLive(queues.LiveOptions{Path: p.cfg.Queues, Accept: p.cfg.acceptQueues, Registry: p.registry, Logger: p.logger})
	if err != nil {
		return err
	}
	if p.regions, err = regions.NewLive(p.cfg.Regions, p.registry, p.logger); err != nil {
		return err
	}
	minter, err := p.openKeys()
	if err != nil {
		return err
	}
	if p.cfg.HTTPSListen != "" {
		if p.certificate, err = https.Load(p.cfg.TLSConfig); err != nil {
			return err
		}
		p.tls = p.certificate.Config()
	}
	if err := p.openAuth(); err != nil {
		return err
	}
	store, err := p.openStore()
	if err != nil {
		return err
	}
	if err := p.openMatchmaker(store); err != nil {
		return err
	}
	if len(p.cfg.MatchFunctions) > 0 {
		peers := p.cfg.PeerTLS
		if p.cfg.MatchFunctionsInsecure {
			peers = rpc.PeerTLS{}
		}
		p.explain = explain.New(explain.Options{
			Store: store, MatchFunctions: p.cfg.MatchFunctions, TLS: peers, Interval: p.cfg.ReasonInterval, CallTimeout: p.cfg.patience, Logger: p.logger,
			Metrics: explain.NewMetrics(p.registry),
		})
	}
	p.estimates = estimate.New(store, p.queues, p.logger, nil)
	minted := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "torikumi", Subsystem: "frontend", Name: "join_tokens_minted_total", Help: "Join tokens that were signed.",
	})
	p.registry.MustRegister(minted)
	p.api = api.New(api.Options{
		Matchmaker: p.matchmaker, Store: store, Queues: p.queues, Regions: p.regions, Minter: minter, Logger: p.logger, Minted: minted, Explain: p.explain, Estimates: p.estimates,
		PartyTimeout: p.cfg.PartyTimeout, Codes: p.limit("codes", api.CodeInterval, api.CodeBurst),
		Mints:   ratelimit.New(api.MintInterval, api.MintBurst, nil),
		Creates: p.limit("creates", p.cfg.CreateInterval, p.cfg.CreateBurst), CreatesByAddress: p.addressLimit(),
	})
	return nil
}

// addressLimit is nil for none.
func (p *parts) addressLimit() *ratelimit.Limiter {
	if p.cfg.AddressPerSecond == 0 {
		return nil
	}
	interval := time.Duration(float64(time.Second) / p.cfg.AddressPerSecond)
	return p.limit("addresses", interval, int(math.Ceil(addressBurst*p.cfg.AddressPerSecond)))
}

// limit is one that all frontends of a Redis count together.
func (p *parts) limit(name string, interval time.Duration, burst int) *ratelimit.Limiter {
	l := ratelimit.New(interval, burst, nil)
	if p.counts != nil {
		l.Share(p.counts, "{"+p.cfg.RedisPrefix+"}:limit:"+name+":")
	}
	return l
}

// addressBurst is how many seconds' worth of tickets may be made at once: players
// share addresses, as in a café.
const addressBurst = 10

// openKeys reads the keys of the join tokens.
func (p *parts) openKeys() (*signing.Minter, error) {
	var err error
	p.keys, err = signing.LoadKeys(p.cfg.KeysDir, signing.KeyOptions{
		Algorithm: token.Algorithm(p.cfg.Algorithm), PublishBefore: p.cfg.KeysPublishBefore, Logger: p.logger,
	})
	if err != nil {
		return nil, fmt.Errorf("--keys-dir: %w", err)
	}
	minter, err := signing.NewMinter(signing.MinterOptions{Keys: p.keys, Issuer: p.cfg.Issuer, Lifetime: p.cfg.JoinTokenLifetime})
	if err != nil {
		return nil, fmt.Errorf("join tokens: %w", err)
	}
	return minter, nil
}

// openAuth gets ready to check player tokens.
func (p *parts) openAuth() error {
	issuers, err := p.cfg.issuers()
	if err != nil {
		return err
	}
	verifiers := make(playertoken.Verifiers)
	for i := range issuers {
		keys, err := issuers[i].Keys(token.RemoteOptions{Logger: p.logger})
		if errors.Is(err, token.ErrPlainHTTP) { // in a file of issuers it was found before
			err = fmt.Errorf("%w; --player-jwks-allow-http takes plain HTTP too", err)
		}
		if err != nil {
			return fmt.Errorf("--player-jwks-url, issuer %q: %w", issuers[i].Issuer, err)
		}
		p.players = append(p.players, keys)
		if verifiers[issuers[i].Issuer], err = issuers[i].Verifier(keys); err != nil {
			return fmt.Errorf("player tokens of issuer %q: %w", issuers[i].Issuer, err)
		}
	}
	proxies, err := api.ParseProxies(p.cfg.TrustedProxies)
	if err != nil {
		return fmt.Errorf("--trusted-proxies: %w", err)
	}
	p.auth = &api.Authenticator{Verifier: verifiers, PlayToken: p.cfg.PlayToken, Proxies: proxies}
	return nil
}

func (p *parts) openMatchmaker(store ticket.Store) error {
	// Directors and match functions are called when their names have been looked up.
	if err := p.cfg.ReadPeerTLS(); err != nil {
		return err
	}
	openMatch, err := p.cfg.DialOpenMatch(p.cfg.OpenMatch)
	if err != nil {
		return fmt.Errorf("--open-match: %w", err)
	}
	p.conns = append(p.conns, openMatch)
	p.matchmaker = matchmaker.New(matchmaker.Options{
		Store: store, OpenMatch: openMatch, Directors: p.cfg.Directors, TLS: p.cfg.PeerTLS, Claims: p.claims, Name: name, Logger: p.logger,
		Metrics: matchmaker.NewMetrics(p.registry),
		Timeout: p.cfg.TicketTimeout, Retention: p.cfg.Retention,
		WhilePlaying: func(queue string) bool {
			q, _ := p.queues.Current().Get(queue)
			return q.WhilePlaying
		},
		ReconcileRate: p.cfg.ReconcileRate, ReconcileEvery: p.cfg.ReconcileEvery, StopTimeout: p.cfg.ShutdownTimeout,
		DirectorTimeout: p.cfg.patience,
	})
	return nil
}

func (p *parts) close() {
	for _, f := range p.closers {
		f()
	}
	for _, conn := range p.conns {
		_ = conn.Close() // nothing is under way any more
	}
}

// playerKeysReady reports an error until the keys of one issuer are there: without any
// nobody can be served, and an issuer that is away must not keep the players of the
// others out.
func (p *parts) playerKeysReady(context.Context) error {
	err := errors.New("the keys of the player tokens' issuers have not been fetched")
	for _, keys := range p.players {
		s := keys.Status()
		if len(s.KeyIDs) > 0 {
			return nil
		}
		err = errors.Join(err, s.Err)
	}
	return err
}
