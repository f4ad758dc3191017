package miniagones

import (
	"errors"
	"net"
	"strings"
	"time"

	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// Config holds the settings.
type Config struct {
	service.Config
	GRPCListen     string        `flag:"grpc-listen" default:"127.0.0.1:8443" help:"Address of the allocation service and of GameServerService (gRPC, plain text), as HOST:PORT. They have no authentication: loopback only, unless the network is yours."`
	HTTPListen     string        `flag:"http-listen" default:"127.0.0.1:8444" help:"Address of health, readiness and metrics, as HOST:PORT."`
	Fleet          string        `flag:"fleet" default:"local" help:"Name of the fleet."`
	Namespace      string        `flag:"namespace" default:"default" help:"Namespace of the game servers."`
	Labels         []string      `flag:"labels" default:"torikumi/allocatable=true" help:"Labels of all game servers, KEY=VALUE."`
	Ready          int           `flag:"ready" default:"4" help:"Game servers that are kept Ready."`
	Max            int           `flag:"max" default:"64" help:"Most game servers at once."`
	Host           string        `flag:"host" default:"127.0.0.1" help:"IP address that players reach the game servers at."`
	GameServer     string        `flag:"game-server" help:"Command line of the game server. It gets AGONES_SDK_GRPC_PORT, AGONES_SDK_HTTP_PORT and, in PORT, its UDP port."`
	Grace          time.Duration `flag:"grace" default:"5s" help:"How long a game server may take to end by itself when it is stopped."`
	Virtual        int           `flag:"virtual" default:"0" help:"In place of --game-server: this many servers that exist only as addresses, for load tests."`
	VirtualSession time.Duration `flag:"virtual-session" default:"5s" help:"How long a virtual server stays Allocated."`
}

// Validate reports which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	bad := func(flag, rule string, value any) { errs = append(errs, config.Invalid(flag, rule, value)) }
	for flag, value := range map[string]string{"grpc-listen": c.GRPCListen, "http-listen": c.HTTPListen} {
		if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
			bad(flag, "must be HOST:PORT", value)
		}
	}
	if _, err := c.labels(); err != nil {
		errs = append(errs, err)
	}
	if c.Ready < 1 {
		bad("ready", "must be at least 1", c.Ready)
	}
	if c.Max < c.Ready {
		bad("max", "must be at least --ready", c.Max)
	}
	if net.ParseIP(c.Host) == nil {
		bad("host", "must be an IP address", c.Host)
	}
	if c.Virtual < 0 {
		bad("virtual", "must not be negative", c.Virtual)
	}
	if (c.GameServer == "") == (c.Virtual == 0) {
		errs = append(errs, &config.Error{Setting: "--game-server", Rule: "must be given, or --virtual, and not both"})
	}
	for flag, d := range map[string]time.Duration{"grace": c.Grace, "virtual-session": c.VirtualSession} {
		if d <= 0 {
			bad(flag, "must be positive", d)
		}
	}
	return errors.Join(errs...)
}

func (c *Config) labels() (map[string]string, error) {
	labels := make(map[string]string, len(c.Labels))
	for _, l := range c.Labels {
		key, value, found := strings.Cut(l, "=")
		if !found {
			return nil, config.Invalid("labels", "must be KEY=VALUE, separated by commas", l)
		}
		labels[key] = value
	}
	return labels, nil
}
