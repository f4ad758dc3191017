package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/local/crowd"
	"torikumi/local/issuer"
	"torikumi/local/suite"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/cors"
	"torikumi/pkg/expression"
	"torikumi/pkg/queues"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/service"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// localRegistration is minimatch's registration window here: the default of
// 250 ms alone would be most of a player's wait.
const localRegistration = 20 * time.Millisecond

type upConfig struct {
	LogLevel       slog.Level `flag:"log-level" default:"WARN" help:"Least level to log: DEBUG, INFO, WARN or ERROR."`
	LogFormat      string     `flag:"log-format" default:"text" rule:"text or json" help:"Format of the log."`
	Host           string     `flag:"host" default:"127.0.0.1" help:"IP address that everything players reach listens on. Any but a loopback address lets others in, and the development issuer gives a token to whoever asks."`
	HTTPPort       int        `flag:"http-port" default:"8080" rule:"from 0 to 65535" help:"Port of the player API over HTTP; 0 is any free one."`
	GRPCPort       int        `flag:"grpc-port" default:"50600" rule:"from 0 to 65535" help:"Port of the player API over gRPC; 0 is any free one."`
	IssuerPort     int        `flag:"issuer-port" default:"8081" rule:"from 0 to 65535" help:"Port of the development issuer; 0 is any free one."`
	CORSOrigins    []string   `flag:"cors-origins" help:"Origins of web pages that may call the player API and sign in at the development issuer, as http://127.0.0.1:8090, with commas between. No page of another origin may when not given."`
	OpenMatchPorts bool       `flag:"open-match-ports" default:"true" help:"Serve Open Match's API on its own ports, 50503 to 50505, otherwise on one free port; always on 127.0.0.1, as it has no authentication."`
	OtherOpenMatch
	Queues         string          `flag:"queues" help:"File with the queues (queues.yaml); the built-in ones when not given."`
	MatchFunction  string          `flag:"matchfunction" rule:"host:port" help:"Match function of your own that runs already (docs/custom-rules.md); its --query is our Open Match, 127.0.0.1:50503. The suite's own when not given."`
	PlayQueue      string          `flag:"play-queue" help:"Queue of GET /play/{region}; session when not given, or else the first queue."`
	PlayToken      string          `flag:"play-token" secret:"true" help:"Token that the clients of GET /play/{region} share, at least 16 characters; only player tokens when not given."`
	GameServer     string          `flag:"game-server" help:"Command line of your own game server; the reference server when not given."`
	Fleet          string          `flag:"fleet" default:"processes" help:"processes, or virtual:N for N servers that exist only as addresses, for load tests."`
	Ready          int             `flag:"ready" default:"4" rule:"at least 1" help:"Game servers that wait for a match."`
	Max            int             `flag:"max" default:"64" help:"Most game servers at once."`
	NoShow         time.Duration   `flag:"no-show-timeout" default:"2m" rule:"positive" help:"A game server that nobody comes to is ended after this time."`
	EmptyTimeout   time.Duration   `flag:"empty-timeout" default:"0s" rule:"not negative" help:"How long a game server stays after its last player has left."`
	LongestMatch   time.Duration   `flag:"longest-match" default:"24h" rule:"positive" help:"A game server ends so long after its allocation, whoever is there."`
	PortProtocol   string          `flag:"port-protocol" default:"UDP" rule:"UDP, TCP or TCPUDP" help:"For what the game servers' port is free: UDP, TCP (WebSocket too), or TCPUDP for both under one number."`
	HealthDelay    time.Duration   `flag:"health-initial-delay" default:"5s" rule:"positive" help:"How long after its start a game server is first looked at for signs of life: at least what it takes to load."`
	HealthPeriod   time.Duration   `flag:"health-period" default:"5s" rule:"positive" help:"Time in which a game server has to give a sign of life."`
	HealthFailures int             `flag:"health-failure-threshold" default:"3" rule:"at least 1" help:"Periods in a row without a sign of life after which a game server is ended."`
	Grace          time.Duration   `flag:"grace" default:"3s" rule:"positive" help:"How long a game server may take to end by itself after SIGTERM."`
	Algorithm      token.Algorithm `flag:"algorithm" default:"RS256" rule:"RS256 or ES256" help:"Algorithm of the join tokens."`
	CPUProfile     string          `flag:"cpu-profile" help:"File for a CPU profile of the whole suite (pprof), written at the end."`
	VirtualSession time.Duration   `flag:"virtual-session" default:"5s" rule:"positive" help:"How long a virtual server stays allocated."`

	virtual int
}

func (c *upConfig) Validate() error {
	var errs []error
	bad := func(flag, rule string, value any) { errs = append(errs, config.Invalid(flag, rule, value)) }
	if ip := net.ParseIP(c.Host); ip == nil || ip.IsUnspecified() {
		bad("host", "must be an IP address that players can reach", c.Host)
	}
	if err := cors.Check(c.CORSOrigins); err != nil || slices.Contains(c.CORSOrigins, cors.Any) {
		// Any page that a browser on this machine shows could be any player.
		bad("cors-origins", "must be origins such as http://127.0.0.1:8090", strings.Join(c.CORSOrigins, ","))
	}
	if c.Max < c.Ready {
		bad("max", "must be at least --ready", c.Max)
	}
	if c.LongestMatch > 0 && c.LongestMatch <= c.NoShow {
		bad("longest-match", "must be longer than --no-show-timeout", c.LongestMatch)
	}
	if c.PortProtocol == "TCP" && c.GameServer == "" {
		bad("port-protocol", "must have UDP for the reference server", c.PortProtocol)
	}
	if n, ok := strings.CutPrefix(c.Fleet, "virtual:"); ok {
		v, err := strconv.Atoi(n)
		if err != nil || v < 1 || v > 100000 {
			bad("fleet", "virtual:N needs N from 1 to 100000", c.Fleet)
		}
		c.virtual = v
	} else if c.Fleet != "processes" {
		bad("fleet", "must be processes or virtual:N", c.Fleet)
	}
	if c.virtual > 0 && c.GameServer != "" {
		bad("game-server", "cannot run in a virtual fleet", c.GameServer)
	}
	if err := runnable(c.GameServer); c.virtual == 0 && err != nil {
		bad("game-server", fmt.Sprintf("must start with a program that can be run (%v)", err), c.GameServer)
	}
	if c.PlayToken != "" && len(c.PlayToken) < 16 {
		errs = append(errs, &config.Error{Setting: "--play-token", Rule: "must have at least 16 characters"})
	}
	if set, err := queues.LoadWith(c.Queues, ruleset.Checks{Expression: expression.Check}); err != nil {
		errs = append(errs, config.Within("--queues", err))
	} else if _, ok := set.Get(c.PlayQueue); c.PlayQueue != "" && !ok {
		bad("play-queue", "must be one of "+strings.Join(set.Names(), ", "), c.PlayQueue)
	}
	return errors.Join(errs...)
}

// plain is a word that means itself to any shell, and no variable.
var plain = regexp.MustCompile(`^[\w./\\:@%+,-]+$`)

// runnable returns why the program of a command line can't be run, where the line
// is one command that starts with a plain word.
func runnable(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 || !plain.MatchString(words[0]) || strings.ContainsAny(line, "&|;\n") {
		return nil
	}
	_, err := exec.LookPath(words[0])
	return err
}

func (c *upConfig) options(p service.Process) (suite.Options, error) {
	at := func(port int) string { return net.JoinHostPort(c.Host, strconv.Itoa(port)) }
	o := suite.Options{
		HTTPListen: at(c.HTTPPort), GRPCListen: at(c.GRPCPort), IssuerListen: at(c.IssuerPort), Origins: c.CORSOrigins,
		MatchFunction: c.MatchFunction, Queues: c.Queues, PlayQueue: c.PlayQueue, PlayToken: c.PlayToken, Ready: c.Ready, Max: c.Max, GameServer: c.GameServer,
		Virtual: c.virtual, VirtualSession: c.VirtualSession, ServerHost: c.Host, NoShowTimeout: c.NoShow,
		EmptyTimeout: c.EmptyTimeout, LongestMatch: c.LongestMatch, PortProtocol: c.PortProtocol,
		HealthDelay: c.HealthDelay, HealthPeriod: c.HealthPeriod, HealthFailures: c.HealthFailures, Grace: c.Grace, Algorithm: c.Algorithm,
		RegistrationInterval: localRegistration, Log: c.log(), LogOutput: p.Stderr, ServerOutput: p.Stderr,
	}
	o.OpenMatch = c.suite()
	if c.OpenMatchPorts {
		// Without authentication: never for others, whatever --host says.
		o.OpenMatchHost = "127.0.0.1"
	}
	if c.GameServer != "" {
		return o, nil
	}
	args, err := self("server")
	o.ServerArgs = append(args, "--log-level="+c.LogLevel.String(), "--log-format="+c.LogFormat)
	return o, err
}

func (c *upConfig) log() service.Config {
	return service.Config{LogLevel: c.LogLevel, LogFormat: c.LogFormat, ShutdownTimeout: 5 * time.Second}
}

func runUp(ctx context.Context, p service.Process) int {
	cfg := new(upConfig)
	if code, ok := load("up", cfg, p); !ok {
		return code
	}
	if cfg.CPUProfile != "" {
		f, err := os.Create(cfg.CPUProfile)
		if err == nil {
			defer f.Close()
			err = pprof.StartCPUProfile(f)
		}
		if err != nil {
			return p.Fail("torikumi up: --cpu-profile", err)
		}
		defer pprof.StopCPUProfile()
	}
	o, err := cfg.options(p)
	var s *suite.Suite
	if err == nil {
		s, err = suite.Start(ctx, o)
	}
	if err != nil {
		if ctx.Err() != nil {
			return 0
		}
		code := p.Fail("torikumi up", err)
		if errors.Is(err, syscall.EADDRINUSE) {
			fmt.Fprintln(p.Stderr, "Beside another torikumi up of this machine it needs all of --http-port=0 --grpc-port=0 --issuer-port=0 --open-match-ports=false (0 is any free port).")
		}
		return code
	}
	announce(p, cfg, s)
	var failed error
	select {
	case <-ctx.Done():
		fmt.Fprintln(p.Stdout, "\nStopping.")
	case failed = <-s.Failed():
	}
	if err := errors.Join(failed, s.Stop()); err != nil {
		return p.Fail("torikumi up", err)
	}
	return 0
}

// announce prints where everything is, and commands that work as they stand.
func announce(p service.Process, cfg *upConfig, s *suite.Suite) {
	set, err := queues.Load(cfg.Queues)
	if err != nil { // loaded a moment ago
		set = &queues.Set{}
	}
	w := p.Stdout
	row := func(name, value string) { fmt.Fprintf(w, "  %-22s %s\n", name, value) }
	fmt.Fprintln(w, "torikumi is up. Ctrl-C stops it.")
	fmt.Fprintln(w)
	row("player API, HTTP", s.URL())
	row("player API, gRPC", s.Addr(suite.Frontend).GRPC)
	row("keys of join tokens", s.URL()+"/.well-known/jwks.json")
	row("development issuer", s.IssuerURL())
	if other := cfg.suite(); other != nil {
		row("Open Match's API", other.Frontend+" "+other.Backend+" "+other.Query+" (not ours)")
	} else {
		row("Open Match's API", strings.Join(s.Addr(suite.Minimatch).GRPCAll, " "))
	}
	row("allocator", s.Allocator())
	if cfg.MatchFunction != "" {
		row("match function", cfg.MatchFunction+" (yours)")
	}
	row("queues", strings.Join(set.Names(), ", "))
	for _, r := range s.Regions() {
		row("beacon of "+r.GetName(), r.GetHttp()+", UDP "+r.GetUdp())
	}
	fmt.Fprintf(w, `
Sign in, in the shell that you play in:

  player() { curl -s -d "{\"player\":\"$1\"}" %s%s | sed 's/.*"token":"\([^"]*\)".*/\1/'; }
`, s.IssuerURL(), issuer.TokenPath)
	if q, ok := set.Get(s.PlayQueue()); ok {
		play(w, q, s.URL())
	}
	// A ticket that stays is shown in another queue than the players', so that
	// nobody of them meets it.
	if n := len(set.Queues); n > 0 {
		fmt.Fprintf(w, `
A ticket in any queue:

  curl -s -H "Authorization: Bearer $(player carol)" -d '%s' %s/v1/tickets
`, ticket(set.Queues[n-1]), s.URL())
	}
}

var names = []string{"alice", "bob", "dave", "erin", "frank", "grace", "heidi", "ivan"}

// play prints how to play the smallest match of a queue, one command for each
// player, where GET /play/{region} brings all that the queue needs and the
// players are few.
func play(w io.Writer, q queues.Queue, url string) {
	n := crowd.Size(q)
	if !playable(q) || n > len(names) {
		return
	}
	who := fmt.Sprintf("%d players", n)
	if n == 1 {
		who = "a player"
	}
	fmt.Fprintf(w, "\nPlay as %s:\n\n", who)
	for i, name := range names[:n] {
		end := " &"
		if i == n-1 {
			end = "; wait"
		}
		fmt.Fprintf(w, "  curl -s -H \"Authorization: Bearer $(player %s)\" \"%s/play/%s?skill=%d\"%s\n", name, url, firstRegion(q), 1500+5*i, end)
	}
}

func firstRegion(q queues.Queue) string {
	if len(q.Regions) > 0 {
		return q.Regions[0]
	}
	return "eu"
}

// playable reports whether GET /play/{region} brings all that the queue needs.
func playable(q queues.Queue) bool {
	for _, a := range q.Needs().Attributes {
		if a.Name != contract.SkillArg {
			return false
		}
	}
	return !slices.ContainsFunc(q.Attributes(), func(a ruleset.Attribute) bool {
		return a.Name == contract.SkillArg && a.Type != ruleset.Number
	})
}

// ticket is the body of one that the queue takes.
func ticket(q queues.Queue) string {
	region := firstRegion(q)
	if q.RuleSet == nil {
		return fmt.Sprintf(`{"queue":"%s","region":"%s"}`, q.Name, region)
	}
	p := crowd.Player(q, region, rand.New(rand.NewPCG(1, 1)), "carol")
	b, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&torikumiv1.CreateTicketRequest{Queue: q.Name, Region: region, Players: []*torikumiv1.Player{p}})
	if err != nil { // text from a YAML or JSON file is always valid
		return ""
	}
	// A word of a rule set may have the quote that ends it in a shell.
	return strings.ReplaceAll(string(b), "'", `'\''`)
}
