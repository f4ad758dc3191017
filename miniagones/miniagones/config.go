package miniagones

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"torikumi/miniagones/internal/counts"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// Config holds the settings.
type Config struct {
	service.Config
	GRPCListen     string        `flag:"grpc-listen" default:"127.0.0.1:8443" rule:"listen" help:"Address of the allocation service and of GameServerService (gRPC, plain text). They have no authentication: loopback only, unless the network is yours."`
	HTTPListen     string        `flag:"http-listen" default:"127.0.0.1:8444" rule:"listen" help:"Address of health, readiness and metrics."`
	Fleet          string        `flag:"fleet" default:"local" help:"Name of the fleet."`
	Namespace      string        `flag:"namespace" default:"default" help:"Namespace of the game servers."`
	Labels         []string      `flag:"labels" default:"torikumi/allocatable=true" help:"Labels of all game servers, KEY=VALUE."`
	Counters       []string      `flag:"counters" help:"Counters of all game servers, NAME=CAPACITY or NAME=COUNT/CAPACITY."`
	Lists          []string      `flag:"lists" help:"Lists of all game servers, NAME=CAPACITY, empty at the start."`
	Ready          int           `flag:"ready" default:"4" rule:"at least 1" help:"Game servers that are kept Ready."`
	Max            int           `flag:"max" default:"64" help:"Most game servers at once."`
	Host           string        `flag:"host" default:"127.0.0.1" rule:"IP address" help:"IP address that players reach the game servers at."`
	GameServer     string        `flag:"game-server" help:"Command line of the game server. It gets AGONES_SDK_GRPC_PORT, AGONES_SDK_HTTP_PORT and, in PORT, its port, and in TORIKUMI_HOST the address that players reach it at."`
	PortProtocol   string        `flag:"port-protocol" default:"UDP" rule:"UDP, TCP or TCPUDP" help:"For what the game servers' port is free: UDP, TCP (WebSocket too), or TCPUDP for both under one number."`
	HealthDelay    time.Duration `flag:"health-initial-delay" default:"5s" rule:"not negative" help:"How long after its start a game server is first looked at for signs of life: at least what it takes to load, as initialDelaySeconds of a Fleet."`
	HealthPeriod   time.Duration `flag:"health-period" default:"5s" rule:"positive" help:"Time in which a game server has to give a sign of life, as periodSeconds of a Fleet."`
	HealthFailures int           `flag:"health-failure-threshold" default:"3" rule:"at least 1" help:"Periods in a row without a sign after which it is ended, as failureThreshold of a Fleet."`
	Grace          time.Duration `flag:"grace" default:"5s" rule:"positive" help:"How long a game server may take to end by itself when it is stopped."`
	Virtual        int           `flag:"virtual" default:"0" rule:"not negative" help:"In place of --game-server: this many servers that exist only as addresses, for load tests."`
	VirtualSession time.Duration `flag:"virtual-session" default:"5s" rule:"positive" help:"How long a virtual server stays Allocated."`
}

// Validate reports which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	if _, err := c.labels(); err != nil {
		errs = append(errs, err)
	}
	if _, err := counts.Parse(c.Counters, c.Lists); err != nil {
		errs = append(errs, fmt.Errorf("--counters, --lists: %w", err))
	}
	if c.Max < c.Ready {
		errs = append(errs, config.Invalid("max", "must be at least --ready", c.Max))
	}
	if (c.GameServer == "") == (c.Virtual == 0) {
		errs = append(errs, &config.Error{Setting: "--game-server", Rule: "must be given, or --virtual, and not both"})
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
