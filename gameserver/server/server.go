// Package server is the reference dedicated server: a game without a game, which
// shows what a studio's server has to do on a player's path. It takes players
// over UDP (docs/udp.md), lets nobody in whom the gate has not admitted, tells
// the gate when a player leaves or falls silent, and lives as Agones wants it:
// Ready once it listens, Health all along, gone when its game server is shut
// down or the SDK is lost for good.
//
// It asks for Shutdown itself only if its gate stays away and nobody is on it. Else the
// gate does that, because only the gate knows who may still come.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"time"

	"google.golang.org/grpc"

	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/udpserver"
	"torikumi/pkg/config"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
	"torikumi/pkg/version"
	"torikumi/proto/agones/sdk"
)

// ErrSDKLost is the failure when the SDK has been out of reach for too
// long.
var ErrSDKLost = errors.New("the Agones SDK is lost")

// Config holds the settings; config.Default fills it.
type Config struct {
	service.Config

	UDPListen        string        `flag:"udp-listen" default:"127.0.0.1:7654" help:"Address for players, host:port; port 0 is any free one. PORT sets it too, to 0.0.0.0:$PORT."`
	Gate             string        `flag:"gate" default:"http://127.0.0.1:8085" help:"URL of the gate; TORIKUMI_GATE sets it too."`
	SDKPort          int           `flag:"sdk-grpc-port" default:"9357" rule:"from 1 to 65535" help:"Port of the Agones SDK's gRPC server on localhost; AGONES_SDK_GRPC_PORT sets it too."`
	HealthInterval   time.Duration `flag:"health-interval" default:"2s" rule:"positive" help:"Time between two signs of life to Agones."`
	IdleTimeout      time.Duration `flag:"idle-timeout" default:"10s" rule:"positive" help:"A player who is silent for so long is dropped."`
	GateTimeout      time.Duration `flag:"gate-timeout" default:"3s" rule:"positive" help:"How long a newcomer waits for a gate that gives no answer."`
	PresenceInterval time.Duration `flag:"presence-interval" default:"10s" rule:"positive" help:"Time between two reports to the gate of who is here."`
	GateLostTimeout  time.Duration `flag:"gate-lost-timeout" default:"1m" rule:"positive" help:"When the gate has given no answer for so long and nobody is here, the server ends; nobody could come in."`
	SDKLostTimeout   time.Duration `flag:"sdk-lost-timeout" default:"15s" rule:"positive" help:"The server ends when the SDK has been out of reach for so long."`
	Backfill         bool          `flag:"backfill" default:"false" help:"Ask the gate for other players when somebody has left. The match's queue must have backfill."`
	MaxPending       int           `flag:"max-pending" default:"256" rule:"at least 1" help:"Most newcomers who wait for the gate at a time."`
	MaxPendingIP     int           `flag:"max-pending-per-ip" default:"64" rule:"at least 1" help:"Most of them from one IP address."`
	StrangerRate     int           `flag:"stranger-rate" default:"100" rule:"at least 1" help:"Most datagrams a second, from one IP address, of senders who are not admitted; JOIN and others count apart."`
}

// Validate tells which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	if _, err := net.ResolveUDPAddr("udp", c.UDPListen); err != nil || c.UDPListen == "" {
		errs = append(errs, config.Invalid("udp-listen", "must be host:port", c.UDPListen))
	}
	if err := gateapi.CheckURL(c.Gate); err != nil {
		errs = append(errs, config.Invalid("gate", err.Error(), c.Gate))
	}
	if c.GateLostTimeout <= c.PresenceInterval {
		errs = append(errs, config.Invalid("gate-lost-timeout", "must be longer than --presence-interval", c.GateLostTimeout))
	}
	return errors.Join(errs...)
}

// Main is the server's main function without the process around it: it runs
// until ctx ends, prints one line with the address once it listens, and returns
// the exit code (0 after a stop, 1 after a failure, 2 for wrong settings).
// Environment variables have the prefix SERVER_; PORT, TORIKUMI_GATE and
// AGONES_SDK_GRPC_PORT count where those say nothing.
func Main(ctx context.Context, p service.Process) int {
	cfg, stdout, stderr := new(Config), p.Stdout, p.Stderr
	p.Getenv = environment(p.Getenv)
	if code, ok := p.Load("server", "SERVER_", cfg); !ok {
		return code
	}
	err := run(ctx, cfg, cfg.Logger(stderr, "server"), func(addr string) { fmt.Fprintf(stdout, "listening service=server udp=%s\n", addr) })
	if err != nil {
		return p.Fail("server", err)
	}
	return 0
}

func environment(getenv func(string) string) func(string) string {
	return func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		switch name {
		case "SERVER_UDP_LISTEN":
			if port := getenv("PORT"); port != "" {
				return net.JoinHostPort("0.0.0.0", port)
			}
		case "SERVER_GATE":
			return getenv("TORIKUMI_GATE")
		case "SERVER_SDK_GRPC_PORT":
			return getenv("AGONES_SDK_GRPC_PORT")
		}
		return ""
	}
}

// run serves until ctx ends or the game server is shut down, and then returns
// nil with nothing left running. It calls started once, with the UDP address.
// The error is ErrSDKLost if the SDK stayed out of reach.
func run(ctx context.Context, cfg *Config, log *slog.Logger, started func(addr string)) (err error) {
	conn, err := rpc.Dial("passthrough:///"+net.JoinHostPort("localhost", strconv.Itoa(cfg.SDKPort)), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	gate := gateapi.NewClient(cfg.Gate)
	defer gate.Close()
	socket, err := net.ListenPacket("udp", cfg.UDPListen)
	if err != nil {
		return fmt.Errorf("listen for players: %w", err)
	}
	a := udpserver.New(udpserver.Options{
		Conn: socket, Gate: gate, Idle: cfg.IdleTimeout, GateTimeout: cfg.GateTimeout, PresenceInterval: cfg.PresenceInterval, Backfill: cfg.Backfill,
		MaxPending: cfg.MaxPending, MaxPendingPerIP: cfg.MaxPendingIP, StrangerRate: cfg.StrangerRate, Logger: log,
	})
	log.Info("started", "version", version.String())
	started(socket.LocalAddr().String())
	life := newLife(sdk.NewSDKClient(conn), cfg, log, a.Change)
	return life.with(ctx, a.Run, func(ctx context.Context) error { return life.endWithoutGate(ctx, a) })
}
