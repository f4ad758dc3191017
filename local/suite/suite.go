// Package suite runs everything on one machine: the development issuer, a beacon for each region, Open
// Match's API (minimatch), Agones's (miniagones), and our services, each found by the
// others through its real addresses. `torikumi up`, `torikumi demo` and the
// tests are built on it.
package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"torikumi/director/director"
	"torikumi/evaluator/evaluator"
	"torikumi/frontend/frontend"
	"torikumi/frontend/signing"
	"torikumi/gameserver/gate"
	"torikumi/local/issuer"
	"torikumi/matchfunction/matchfunction"
	"torikumi/miniagones/miniagones"
	"torikumi/minimatch/minimatch"
	"torikumi/pkg/config"
	"torikumi/pkg/expression"
	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Issuer is the "iss" of the join tokens that the suite's frontend signs. It
// is a name and is not looked up: gates are told where the keys are.
const Issuer = "https://frontend.torikumi.localhost"

// Names of the services, as a Launcher knows them.
const (
	Frontend      = "frontend"
	MatchFunction = "matchfunction"
	Evaluator     = "evaluator"
	Director      = "director"
	Minimatch     = "minimatch"
	Miniagones    = "miniagones" // always in this process
)

// services starts each of our services from its command line's arguments.
var services = map[string]runner{
	Frontend:      typed(Frontend, frontend.Run),
	MatchFunction: typed(MatchFunction, matchfunction.Run),
	Evaluator:     typed(Evaluator, evaluator.Run),
	Director:      typed(Director, director.Run),
	Minimatch:     typed(Minimatch, minimatch.Run),
}

// Options say how the suite runs.
type Options struct {
	// HTTPListen and GRPCListen are the addresses of the player API, and
	// IssuerListen that of the development issuer.
	HTTPListen, GRPCListen, IssuerListen string
	// Origins are those of web pages that may call the player API over HTTP, and the
	// development issuer.
	Origins []string
	// OpenMatchHost is where the ports of Open Match are opened (50503 to
	// 50505); empty: one free port on loopback serves its whole API.
	OpenMatchHost string
	// OpenMatch is a running Open Match to use; nil: minimatch.
	OpenMatch *OpenMatch
	// MatchFunction is the address of a running match function to use, which
	// reads from this suite's Open Match; empty: our own.
	MatchFunction string
	// Queues is a queues.yaml; empty: the built-in queues.
	Queues string
	// PlayQueue is the queue of GET /play/{region}; empty: the first one, or
	// "session" if it is there.
	PlayQueue string
	// PlayToken is what clients of GET /play/{region} share; none if empty.
	PlayToken string
	// Ready is how many game servers wait, Max how many there may be in all.
	Ready, Max int
	// GameServer is the command line of a studio's own server; empty: the
	// reference server, by ServerArgs.
	GameServer string
	// ServerArgs start the reference server.
	ServerArgs []string
	// Virtual makes that many servers that exist only as addresses.
	Virtual int
	// VirtualSession is how long a virtual server stays allocated.
	VirtualSession time.Duration
	// ServerHost is the address that game servers listen on.
	ServerHost string
	// NoShowTimeout ends an allocated server that nobody comes to. EmptyTimeout is how
	// long one stays after its last player has left, LongestMatch how long it lasts at
	// most; the gate's defaults when zero.
	NoShowTimeout, EmptyTimeout, LongestMatch time.Duration
	// PortProtocol, HealthDelay, HealthPeriod, HealthFailures and Grace are miniagones's;
	// its defaults when zero, and 3 s for Grace.
	PortProtocol              string
	HealthDelay, HealthPeriod time.Duration
	HealthFailures            int
	Grace                     time.Duration
	// Algorithm is that of the join tokens; RS256 when empty.
	Algorithm token.Algorithm
	// RegistrationInterval is minimatch's.
	RegistrationInterval time.Duration
	// Log is the level and format of all logs; ServerOutput gets what game
	// servers print, with their names in front.
	Log          service.Config
	LogOutput    io.Writer
	ServerOutput io.Writer
	// Launcher starts our services; nil: as goroutines of this process.
	Launcher Launcher
}

// OpenMatch says where a running Open Match is.
type OpenMatch struct {
	// Frontend, Backend and Query are the addresses of its services.
	Frontend, Backend, Query string
	// EvaluatorListen is where it looks for the evaluator.
	EvaluatorListen string
}

// Suite is a running suite.
type Suite struct {
	opts Options
	dir  string
	// release removes dir.
	release func() error
	logger  *slog.Logger
	queues  *queues.Set
	regions []*torikumiv1.Region

	mu        sync.Mutex
	instances map[string]Instance
	args      map[string][]string
	order     []Instance

	fleet     *miniagones.Fleet
	stopFleet context.CancelFunc
	fleetDone chan error
	// stopWatch ends what watchQueues has begun, and waits for it.
	stopWatch func()
	failed    chan error

	issuerAddr, allocator string
	// gatesAddr is where the director serves gates.
	gatesAddr string
}

// Start starts everything and returns when all services listen and a game
// server is Ready. Stop has to be called, unless there was an error.
func Start(ctx context.Context, o Options) (*Suite, error) {
	if o.Launcher == nil {
		o.Launcher = InProcess{}
	}
	if o.LogOutput == nil {
		o.LogOutput = os.Stderr
	}
	if o.ServerHost == "" {
		o.ServerHost = "127.0.0.1"
	}
	set, err := queues.LoadWith(o.Queues, ruleset.Checks{Expression: expression.Check})
	if err != nil {
		return nil, err
	}
	dir, release, err := openDir()
	if err != nil {
		return nil, err
	}
	s := &Suite{
		opts: o, dir: dir, release: release, queues: set, logger: o.Log.Logger(o.LogOutput, Miniagones),
		instances: make(map[string]Instance), args: make(map[string][]string), failed: make(chan error, 16),
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// start brings the parts up in the order in which they need each other.
func (s *Suite) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		s.makeKeys, s.startIssuer, s.startEvaluator, s.startMinimatch, s.startMatchFunction,
		s.openFleet, s.startDirector, s.startBeacons, s.startFrontend, s.startFleet, s.watchQueues,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *Suite) keysDir(name string) string { return filepath.Join(s.dir, name) }

// makeKeys makes the signing keys, which live as long as the suite.
func (s *Suite) makeKeys(context.Context) error {
	errs := make(chan error, 2)
	for name, alg := range map[string]token.Algorithm{"join": s.algorithm(), "player": token.RS256} { // RSA keys take a while
		go func() {
			err := os.MkdirAll(s.keysDir(name), 0o700)
			if err == nil {
				_, err = signing.GenerateKey(s.keysDir(name), alg, time.Now())
			}
			errs <- err
		}()
	}
	return errors.Join(<-errs, <-errs)
}

func (s *Suite) startIssuer(ctx context.Context) error {
	inst, err := launch(ctx, func(ctx context.Context, started func(service.Addrs)) error {
		return issuer.Run(ctx, issuer.Options{KeysDir: s.keysDir("player"), HTTPListen: s.opts.IssuerListen, Origins: s.opts.Origins, Service: s.opts.Log, Started: started})
	})
	if err != nil {
		return fmt.Errorf("start the development issuer: %w", err)
	}
	s.issuerAddr = inst.Addrs().HTTP
	s.add("issuer", inst)
	return nil
}

func (s *Suite) startEvaluator(ctx context.Context) error {
	listen := "127.0.0.1:0"
	if s.opts.OpenMatch != nil {
		listen = s.opts.OpenMatch.EvaluatorListen
	}
	return s.launch(ctx, Evaluator, "--grpc-listen="+listen, "--http-listen=127.0.0.1:0")
}

func (s *Suite) startMinimatch(ctx context.Context) error {
	if s.opts.OpenMatch != nil {
		return nil
	}
	args := []string{"--http-listen=127.0.0.1:0", "--evaluator=" + s.Addr(Evaluator).GRPC}
	if s.opts.OpenMatchHost == "" {
		args = append(args, "--grpc-listen=127.0.0.1:0")
	} else {
		args = append(args, "--host="+s.opts.OpenMatchHost)
	}
	if s.opts.RegistrationInterval > 0 {
		args = append(args, "--registration-interval="+s.opts.RegistrationInterval.String())
	}
	return s.launch(ctx, Minimatch, args...)
}

// openMatch is where the services find Open Match's API.
func (s *Suite) openMatch() OpenMatch {
	if s.opts.OpenMatch != nil {
		return *s.opts.OpenMatch
	}
	addr := s.Addr(Minimatch).GRPC
	return OpenMatch{Frontend: addr, Backend: addr, Query: addr}
}

func (s *Suite) startMatchFunction(ctx context.Context) error {
	if s.opts.MatchFunction != "" {
		return nil
	}
	args := []string{"--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", "--query=" + s.openMatch().Query}
	if s.opts.Queues != "" {
		args = append(args, "--rule-modules="+filepath.Dir(s.opts.Queues)) // beside the rule sets
	}
	return s.launch(ctx, MatchFunction, args...)
}

// matchFunction is where the director has Open Match look for matches.
func (s *Suite) matchFunction() string {
	if s.opts.MatchFunction != "" {
		return s.opts.MatchFunction
	}
	return s.Addr(MatchFunction).GRPC
}

// openFleet opens the fleet's allocator; its servers come later, as their
// gates need the frontend.
func (s *Suite) openFleet(ctx context.Context) error {
	f, err := s.newFleet()
	if err != nil {
		return fmt.Errorf("set up the fleet: %w", err)
	}
	s.fleet = f
	inst, err := launch(ctx, func(ctx context.Context, started func(service.Addrs)) error {
		return service.Run(ctx, service.Options{
			Name: Miniagones, Config: s.opts.Log, Logger: s.logger, GRPCListen: []string{"127.0.0.1:0"}, Started: started,
			Register: func(r grpc.ServiceRegistrar) { f.Register(r) },
		})
	})
	if err != nil {
		return fmt.Errorf("start the fleet's allocator: %w", err)
	}
	s.allocator = inst.Addrs().GRPC
	s.add(Miniagones, inst)
	return writeAllocator(s.dir, s.allocator)
}

// Allocator is where game servers are allocated and attached, host:port.
func (s *Suite) Allocator() string { return s.allocator }

func (s *Suite) startDirector(ctx context.Context) error {
	var err error
	for range addressTries {
		if s.gatesAddr, err = freeAddress(); err != nil {
			return err
		}
		if err = s.launch(ctx, Director, s.directorArgs()...); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// addressTries is how often a free address is chosen of which a service does not tell what it
// got: somebody else may take it first.
const addressTries = 3

// freeAddress is one on loopback that nobody listens on.
func freeAddress() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return lis.Addr().String(), lis.Close()
}

func (s *Suite) directorArgs() []string {
	om := s.openMatch()
	args := []string{
		"--grpc-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0", "--open-match=" + om.Backend, "--open-match-frontend=" + om.Frontend,
		"--matchfunction=" + s.matchFunction(), "--allocator=" + s.allocator, "--allocator-insecure",
		"--gameservers=" + s.allocator, "--gate-listen=" + s.gatesAddr, "--gate-insecure",
	}
	if s.opts.Queues != "" {
		args = append(args, "--queues="+s.opts.Queues)
	}
	return args
}

func (s *Suite) algorithm() token.Algorithm { return cmp.Or(s.opts.Algorithm, token.RS256) }

func (s *Suite) startFrontend(ctx context.Context) error {
	args := []string{
		"--grpc-listen=" + s.opts.GRPCListen, "--http-listen=" + s.opts.HTTPListen, "--open-match=" + s.openMatch().Frontend,
		"--directors=" + s.Addr(Director).GRPC, "--matchfunctions=" + s.matchFunction(),
		"--issuer=" + Issuer, "--keys-dir=" + s.keysDir("join"), "--algorithm=" + string(s.algorithm()),
		"--player-issuer=" + issuer.URL, "--player-audience=" + issuer.Audience,
		"--player-jwks-url=http://" + s.issuerAddr + token.JWKSPath, "--regions=" + s.regionsFile(),
	}
	if s.opts.Queues != "" {
		args = append(args, "--queues="+s.opts.Queues)
	}
	args = append(args, "--play-queue="+s.PlayQueue())
	if len(s.opts.Origins) > 0 {
		args = append(args, "--cors-origins="+strings.Join(s.opts.Origins, ","))
	}
	if s.opts.PlayToken != "" {
		args = append(args, "--play-token="+s.opts.PlayToken)
	}
	return s.launch(ctx, Frontend, args...)
}

// startFleet lets the game servers come up and waits for the first.
func (s *Suite) startFleet(ctx context.Context) error {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.stopFleet, s.fleetDone = cancel, make(chan error, 1)
	go func() { s.fleetDone <- s.fleet.Run(own) }()
	patience := time.Minute + s.opts.HealthDelay // in which it may load
	limit, giveUp := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it took more than %v", patience))
	defer giveUp()
	slow := time.AfterFunc(3*time.Second, func() {
		s.logger.Warn("still waiting for the first game server to say Ready to its SDK")
	})
	defer slow.Stop()
	if err := s.fleet.WaitReady(limit, 1, maxFailures); err != nil {
		return fmt.Errorf("start the fleet: %w", err)
	}
	return nil
}

// maxFailures is how many game servers in a row may fail before the first one is
// Ready: its program cannot run at all.
const maxFailures = 3

// namespace of the fleet's game servers.
const namespace = "default"

// PlayQueue is the queue of GET /play/{region}.
func (s *Suite) PlayQueue() string {
	if s.opts.PlayQueue != "" {
		return s.opts.PlayQueue
	}
	if _, ok := s.queues.Get("session"); ok {
		return "session"
	}
	return s.queues.Queues[0].Name
}

// newFleet makes the fleet that the options ask for.
func (s *Suite) newFleet() (*miniagones.Fleet, error) {
	labels, err := fleetLabels(s.queues, namespace)
	if err != nil {
		return nil, err
	}
	cfg := new(miniagones.Config)
	config.Default(cfg)
	cfg.Namespace, cfg.Labels, cfg.Ready, cfg.Max = namespace, labels, s.opts.Ready, s.opts.Max
	cfg.Host, cfg.GameServer, cfg.Grace = s.opts.ServerHost, s.opts.GameServer, cmp.Or(s.opts.Grace, 3*time.Second)
	cfg.PortProtocol = cmp.Or(s.opts.PortProtocol, cfg.PortProtocol)
	cfg.HealthDelay = cmp.Or(s.opts.HealthDelay, cfg.HealthDelay)
	cfg.HealthPeriod = cmp.Or(s.opts.HealthPeriod, cfg.HealthPeriod)
	cfg.HealthFailures = cmp.Or(s.opts.HealthFailures, cfg.HealthFailures)
	cfg.Virtual, cfg.VirtualSession = s.opts.Virtual, s.opts.VirtualSession
	h := miniagones.Hooks{Args: s.opts.ServerArgs, Sidecar: s.gate, Output: s.opts.ServerOutput, Logger: s.logger}
	if s.opts.GameServer == "" {
		h.Env = s.serverListen
	}
	return miniagones.New(cfg, h)
}

// serverListen lets the reference server listen where players are sent to, and nowhere
// else: PORT alone means all addresses to it.
func (s *Suite) serverListen(spec miniagones.Spec) []string {
	if len(spec.Place.Ports) == 0 {
		return nil
	}
	port := strconv.Itoa(int(spec.Place.Ports[0].Port))
	return []string{"SERVER_UDP_LISTEN=" + net.JoinHostPort(s.opts.ServerHost, port)}
}

// gate runs a server's gate beside it, as a pod's sidecar, and tells the
// server where it is.
func (s *Suite) gate(ctx context.Context, spec miniagones.Spec) (env []string, stop func(), err error) {
	cfg := new(gate.Config)
	config.Default(cfg)
	cfg.Config = s.opts.Log
	cfg.HTTPListen = cmp.Or(spec.SidecarListen, "127.0.0.1:0")
	cfg.JWKSURL = "http://" + s.Addr(Frontend).HTTP + token.JWKSPath
	cfg.Issuer, cfg.Algorithm = Issuer, s.algorithm()
	cfg.Journal = filepath.Join(s.dir, spec.Name+".journal")
	cfg.NoShowTimeout = cmp.Or(s.opts.NoShowTimeout, cfg.NoShowTimeout)
	cfg.EmptyTimeout = cmp.Or(s.opts.EmptyTimeout, cfg.EmptyTimeout)
	cfg.LongestMatch = cmp.Or(s.opts.LongestMatch, cfg.LongestMatch)
	cfg.Director, cfg.DirectorInsecure, cfg.DirectorTokenFile = s.gatesAddr, true, filepath.Join(s.dir, spec.Name+".token")
	if err := os.WriteFile(cfg.DirectorTokenFile, []byte(spec.GateToken), 0o600); err != nil {
		return nil, nil, fmt.Errorf("write the token of the gate of %s: %w", spec.Name, err)
	}
	if cfg.SDKPort, err = portOf(spec.SDKGRPC); err != nil {
		return nil, nil, err
	}
	if cfg.SDKHTTPPort, err = portOf(spec.SDKHTTP); err != nil {
		return nil, nil, err
	}
	inst, err := launch(ctx, func(ctx context.Context, started func(service.Addrs)) error { return gate.Run(ctx, cfg, started) })
	if err != nil {
		return nil, nil, fmt.Errorf("start the gate of %s: %w", spec.Name, err)
	}
	stop = func() {
		inst.Stop()
		if leftover, err := filepath.Glob(filepath.Join(s.dir, spec.Name+".*")); err == nil {
			for _, path := range leftover {
				_ = os.Remove(path) // with the whole directory at the latest
			}
		}
	}
	return []string{"TORIKUMI_GATE=http://" + inst.Addrs().HTTP}, stop, nil
}

func portOf(addr string) (int, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
