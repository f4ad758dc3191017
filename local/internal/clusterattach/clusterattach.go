// Package clusterattach is `torikumi attach --kubeconfig`: it lets a cluster send matches
// to a game server that a developer has started on their own machine. It is a program of
// its own, torikumi-attach, so that torikumi needs nothing of Kubernetes.
package clusterattach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"time"

	"torikumi/gameserver/gate"
	"torikumi/local/internal/attachtext"
	"torikumi/miniagones/kubernetes/attach"
	"torikumi/pkg/agones"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// Config holds the settings.
type Config struct {
	Kubeconfig string        `flag:"kubeconfig" required:"it says which cluster" help:"Kubeconfig file of the cluster."`
	Context    string        `flag:"context" help:"Context of the kubeconfig; its current one when not given."`
	Namespace  string        `flag:"namespace" default:"games" help:"Namespace of the game servers."`
	Fleet      string        `flag:"fleet" help:"Fleet whose servers this one stands in for, with their labels and their port's name; the only one of the namespace when not given."`
	Host       string        `flag:"host" required:"the players of the cluster have to reach this machine" help:"IP address that players reach the server at."`
	Port       int           `flag:"port" default:"7777" rule:"from 1 to 65535" help:"Port that the server takes players at, and that players come to."`
	Issuer     string        `flag:"issuer" help:"The frontend's issuer; that of the Fleet's gates when not given."`
	JWKSURL    string        `flag:"jwks-url" help:"Where the frontend publishes its keys; where the Fleet's gates get them when not given, through the API server if that is inside the cluster."`
	AllowHTTP  bool          `flag:"allow-http-jwks" default:"false" help:"Take the keys over plain HTTP from another machine, as the gate's setting of this name does. Whoever can change that traffic can let anyone in."`
	Once       bool          `flag:"once" help:"Detach when the first match is over."`
	WaitReady  bool          `flag:"wait-ready" help:"Let matches be sent only when the server has said Ready to its SDK, for each match anew. Otherwise as soon as it is attached, and after each match."`
	Health     time.Duration `flag:"health-timeout" default:"0s" rule:"not negative" help:"A server that has given signs of life to its SDK, and then none for so long, is taken for dead, and its match for over; 0s: never, as a debugger may hold it."`
	SDKGRPC    int           `flag:"sdk-grpc-port" default:"9357" rule:"from 1 to 65535" help:"Port of the server's Agones SDK on 127.0.0.1, gRPC; Agones's own by default."`
	SDKHTTP    int           `flag:"sdk-http-port" default:"9358" rule:"from 1 to 65535" help:"The same, REST."`
	Gate       int           `flag:"gate-port" default:"8085" rule:"from 1 to 65535" help:"Port of the server's gate on 127.0.0.1."`
}

// Validate tells which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	if ip := net.ParseIP(c.Host); c.Host != "" && (ip == nil || ip.IsUnspecified()) {
		errs = append(errs, config.Invalid("host", "must be an IP address that players can reach", c.Host))
	}
	if c.SDKGRPC == c.SDKHTTP || c.Gate == c.SDKGRPC || c.Gate == c.SDKHTTP {
		errs = append(errs, config.Invalid("gate-port", "must be another port than --sdk-grpc-port and --sdk-http-port, which differ too", c.Gate))
	}
	return errors.Join(errs...)
}

const name = "torikumi attach"

// Main is the program; it returns the exit code.
func Main(ctx context.Context, p service.Process) int { return program(ctx, p, attach.Times{}) }

func program(ctx context.Context, p service.Process, times attach.Times) int {
	if raw := p.Getenv(guardEnv); raw != "" {
		return guard(p, raw)
	}
	cfg := new(Config)
	if code, ok := p.Load(name, "TORIKUMI_", cfg); !ok {
		return code
	}
	if err := run(ctx, p, cfg, times); err != nil {
		return p.Fail(name, cfg.server().PortTaken(err))
	}
	return 0
}

// run keeps a server attached until ctx ends, or with --once a match is over.
func run(ctx context.Context, p service.Process, cfg *Config, times attach.Times) error {
	log := (&service.Config{LogLevel: slog.LevelWarn, LogFormat: "text"}).Logger(p.Stderr, "attach")
	attach.LogTo(log)
	cluster, err := attach.Open(cfg.Kubeconfig, cfg.Context)
	if err != nil {
		return err
	}
	guards, err := startGuards(cfg, cluster, p, log)
	if err != nil {
		return fmt.Errorf("start the guard that detaches if this process is killed: %w", err)
	}
	c := &gates{cfg: cfg, cluster: cluster, log: log, out: p.Stdout, run: gate.Run}
	defer c.close()
	of := c.gateConfig(attach.GateSettings{})
	times.NoShow, times.LongestMatch = of.NoShowTimeout, of.LongestMatch
	t := teller{out: p.Stdout, wait: cfg.WaitReady}
	err = attach.Run(ctx, attach.Options{
		Cluster: cluster, Namespace: cfg.Namespace, Fleet: cfg.Fleet, Host: cfg.Host, Port: int32(cfg.Port),
		SDKGRPC: net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.SDKGRPC)), SDKHTTP: net.JoinHostPort("127.0.0.1", strconv.Itoa(cfg.SDKHTTP)),
		WaitReady: cfg.WaitReady, Once: cfg.Once, Health: cfg.Health, By: attacher(), Gate: c.start, Guard: attach.NewWarden(guards).Watch, Logger: log,
		Tell: t.tell, Times: times,
	})
	t.end()
	if left := guards.dismiss(); left != nil {
		err = errors.Join(err, errors.New("the GameServer is left behind in the cluster"))
	}
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil || t.lost:
		fmt.Fprintln(p.Stdout, "Detached.")
	default:
		fmt.Fprintln(p.Stdout, "The match is over: detached.")
	}
	return nil
}

// teller prints what becomes of the server.
type teller struct {
	out           io.Writer
	wait          bool
	said, playing string
	lost          bool // the last match was not over
}

func (t *teller) tell(n attach.News) {
	if n.State == agones.Allocated {
		t.playing, t.lost = n.Match, false
	} else if n.State != attach.Deleted {
		t.playing = ""
	}
	if news := newsOf(n, t.wait); news != "" && n.Name+news != t.said {
		fmt.Fprintln(t.out, n.Name+": "+news)
		t.said = n.Name + news
	}
	if n.State == attach.Deleted {
		t.end()
	}
}

// end says what has become of a match that was not over.
func (t *teller) end() {
	if t.playing != "" {
		fmt.Fprintf(t.out, "Match %s was not over: its players have lost their server.\n", t.playing)
		t.playing, t.lost = "", true
	}
}

// newsOf is what a developer wants to know of a game server's state.
func newsOf(n attach.News, wait bool) string {
	switch {
	case n.State == attach.Claimed && n.Match != "":
		return "has the address, and match " + n.Match + ", attached by " + n.By + "; if that does not run any more, this one takes its place within 90 s, and the match is over"
	case n.State == attach.Claimed:
		return "has the address, attached by " + n.By + "; if that does not run any more, this one takes its place within 90 s"
	case n.State == agones.Ready && n.Open:
		return "Ready, the next match of its queues can be sent here"
	case n.State == agones.Ready && wait:
		return "waits until the server says Ready to its SDK"
	case n.State == agones.Allocated:
		return "Allocated for match " + n.Match
	case n.State == agones.Shutdown && n.Match != "":
		return "Shutdown, the match is over"
	case n.State == agones.Shutdown:
		return "Shutdown, without a match"
	case n.State == agones.Unhealthy:
		return "Unhealthy, it has given no sign of life"
	case n.State == attach.Waiting:
		return "waits for the controller of Agones, or miniagones, to make it Ready: does that run in this cluster?"
	case n.State == attach.Deleted:
		return "deleted by somebody in the cluster"
	}
	return ""
}

// attacher names who attaches, for others who look at the cluster.
func attacher() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if u, err := user.Current(); err == nil {
		return u.Username + "@" + host
	}
	return host
}

func (c *Config) server() attachtext.Server {
	return attachtext.Server{Host: c.Host, Port: c.Port, SDKGRPC: c.SDKGRPC, SDKHTTP: c.SDKHTTP, Gate: c.Gate}
}
