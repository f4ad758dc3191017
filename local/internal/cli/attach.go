package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"torikumi/local/internal/attachtext"
	"torikumi/local/suite"
	"torikumi/pkg/agones"
	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

type attachConfig struct {
	Port      int           `flag:"port" default:"7777" rule:"from 1 to 65535" help:"Port that the server takes players at."`
	Host      string        `flag:"host" default:"127.0.0.1" help:"IP address that players reach the server at."`
	Allocator string        `flag:"allocator" rule:"host:port" help:"Allocator of the torikumi up to attach to, as that prints it; the one that runs on this machine when not given."`
	Cluster   string        `flag:"kubeconfig" help:"Kubeconfig file of a cluster to attach to, in place of a torikumi up; --kubeconfig=FILE --help shows the other settings then."`
	Exclusive bool          `flag:"exclusive" help:"Send no match to another server: matches wait until this one is free."`
	Once      bool          `flag:"once" help:"Detach when the first match is over."`
	WaitReady bool          `flag:"wait-ready" help:"Send a match only when the server has said Ready to its SDK, for each match anew. Otherwise the server is Ready as soon as it is attached, and after each match."`
	Health    time.Duration `flag:"health-timeout" default:"0s" rule:"not negative" help:"A server that has given signs of life to its SDK, and then none for so long, is taken for dead, and its match for over; 0s: never, as a debugger may hold it."`
	SDKGRPC   int           `flag:"sdk-grpc-port" default:"9357" rule:"from 1 to 65535" help:"Port of the server's Agones SDK on 127.0.0.1, gRPC; Agones's own by default."`
	SDKHTTP   int           `flag:"sdk-http-port" default:"9358" rule:"from 1 to 65535" help:"The same, REST."`
	Gate      int           `flag:"gate-port" default:"8085" rule:"from 1 to 65535" help:"Port of the server's gate on 127.0.0.1."`
}

func (c *attachConfig) Validate() error {
	var errs []error
	if c.Cluster != "" { // the flag never comes here
		errs = append(errs, &config.Error{Setting: "--kubeconfig", Rule: "must be given as a flag"})
	}
	if ip := net.ParseIP(c.Host); ip == nil || ip.IsUnspecified() {
		errs = append(errs, config.Invalid("host", "must be an IP address that players can reach", c.Host))
	}
	if c.SDKGRPC == c.SDKHTTP || c.Gate == c.SDKGRPC || c.Gate == c.SDKHTTP {
		errs = append(errs, config.Invalid("gate-port", "must be another port than --sdk-grpc-port and --sdk-http-port, which differ too", c.Gate))
	}
	return errors.Join(errs...)
}

// allocator finds the suite to attach to.
func (c *attachConfig) allocator() (string, error) {
	if c.Allocator != "" {
		return c.Allocator, nil
	}
	switch all := suite.Allocators(); len(all) {
	case 0:
		return "", errors.New("no torikumi up is found on this machine: start one, or name its allocator with --allocator")
	case 1:
		return all[0], nil
	default:
		return "", fmt.Errorf("several suites run on this machine: choose one with --allocator (%s)", strings.Join(all, ", "))
	}
}

func (c *attachConfig) request() *torikumiv1.AttachRequest {
	return &torikumiv1.AttachRequest{
		Address: c.Host, Port: int32(c.Port), SdkGrpcPort: int32(c.SDKGRPC), SdkHttpPort: int32(c.SDKHTTP), GatePort: int32(c.Gate),
		Exclusive: c.Exclusive, Once: c.Once, WaitReady: c.WaitReady, HealthTimeout: durationpb.New(c.Health),
	}
}

func (c *attachConfig) server() attachtext.Server {
	return attachtext.Server{Host: c.Host, Port: c.Port, SDKGRPC: c.SDKGRPC, SDKHTTP: c.SDKHTTP, Gate: c.Gate}
}

func runAttach(ctx context.Context, p service.Process) int {
	if forCluster(p.Args) {
		return attachToCluster(p)
	}
	cfg := new(attachConfig)
	if code, ok := load("attach", cfg, p); !ok {
		return code
	}
	err := attach(ctx, p.Stdout, cfg)
	if ctx.Err() != nil {
		fmt.Fprintln(p.Stdout, "Detached.")
		return 0
	}
	if err != nil {
		return p.Fail("torikumi attach", cfg.server().PortTaken(err))
	}
	fmt.Fprintln(p.Stdout, "The match is over: detached.")
	return 0
}

// attach keeps a server attached, and prints what becomes of it, until ctx ends, the suite
// does, or with --once a match is over.
func attach(ctx context.Context, out io.Writer, cfg *attachConfig) error {
	addr, err := cfg.allocator()
	if err != nil {
		return err
	}
	conn, err := rpc.Dial("passthrough:///"+addr, grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := torikumiv1.NewAttachmentServiceClient(conn).Attach(ctx, cfg.request())
	if err != nil {
		return refused(addr, err)
	}
	said := ""
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return refused(addr, err)
		}
		server := answer.GetGameServer()
		if env := answer.GetEnvironment(); len(env) > 0 {
			cfg.server().Banner(out, "torikumi up", os.Args[0], env,
				"Players come to it in the next match, as torikumi up has printed, or over UDP, with --api and --issuer if it has printed others than their defaults:\n",
				"  python3 gameserver/examples/python/players.py alice bob")
		}
		if news := news(server, cfg.WaitReady); news != "" && news != said {
			fmt.Fprintln(out, server.GetName()+": "+news)
			said = news
		}
	}
}

// news is what a developer wants to know of a game server's state.
func news(s *torikumiv1.GameServerInfo, wait bool) string {
	switch s.GetState() {
	case agones.Scheduled:
		if wait {
			return "waits until the server says Ready to its SDK"
		}
	case agones.Ready:
		return "Ready, the next match is sent here"
	case agones.Allocated:
		return "Allocated for match " + s.GetLabels()[contract.MatchLabel]
	case agones.Unhealthy:
		return "Unhealthy, it has given no sign of life"
	case agones.Shutdown:
		if s.GetLabels()[contract.MatchLabel] == "" {
			return "Shutdown, without a match"
		}
		return "Shutdown, the match is over"
	}
	return ""
}

// refused says what an answer means to somebody at a terminal.
func refused(addr string, err error) error {
	if s := status.Convert(err); s.Code() == codes.Unavailable {
		return fmt.Errorf("torikumi up at %s is gone, or not there: %s", addr, s.Message())
	} else if s.Code() == codes.FailedPrecondition || s.Code() == codes.InvalidArgument {
		return errors.New(s.Message())
	}
	return err
}
