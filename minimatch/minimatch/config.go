package minimatch

import (
	"errors"
	"net"
	"time"

	"torikumi/minimatch/internal/clock"
	"torikumi/pkg/rpc"
	"torikumi/pkg/service"
)

// The ports of Open Match: query, frontend, backend.
var (
	grpcPorts = [...]string{"50503", "50504", "50505"}
	httpPorts = [...]string{"51503", "51504", "51505"}
)

// Config holds the settings. The defaults are those of Open Match's chart.
type Config struct {
	service.Config
	rpc.GRPCTLS
	rpc.PeerTLS
	GRPCListen                 string        `flag:"grpc-listen" rule:"listen" help:"Address that serves all gRPC services; empty: Open Match's ports (query 50503, frontend 50504, backend 50505) on --host. Every port serves all services."`
	Host                       string        `flag:"host" default:"127.0.0.1" help:"Host of Open Match's ports when --grpc-listen or --http-listen is empty."`
	HTTPListen                 string        `flag:"http-listen" rule:"listen" help:"Address of the REST mapping, health, readiness and metrics; empty: Open Match's ports (query 51503, frontend 51504, backend 51505) on --host."`
	Evaluator                  string        `flag:"evaluator" default:"127.0.0.1:50508" rule:"host:port" help:"Evaluator (gRPC)."`
	EvaluatorREST              string        `flag:"evaluator-rest" rule:"host:port" help:"Evaluator (REST); when it is given, --evaluator is not used."`
	RegistrationInterval       time.Duration `flag:"registration-interval" default:"250ms" rule:"positive" help:"How long FetchMatches calls can join a cycle, from its first call on."`
	ProposalCollectionInterval time.Duration `flag:"proposal-collection-interval" default:"20s" rule:"positive" help:"How long match functions may propose, from the end of registration on."`
	PendingReleaseTimeout      time.Duration `flag:"pending-release-timeout" default:"1m" rule:"positive" help:"How long the tickets of a match are hidden from queries when they are neither assigned nor released."`
	AssignedDeleteTimeout      time.Duration `flag:"assigned-delete-timeout" default:"10m" rule:"positive" help:"How long a ticket lives after its last assignment."`
	BackfillLockTimeout        time.Duration `flag:"backfill-lock-timeout" default:"1m" rule:"positive" help:"Taken for the sake of Open Match's configurations, without effect: nothing is ever locked here for longer than a step in memory."`
	QueryPageSize              int           `flag:"query-page-size" default:"10000" rule:"from 10 to 10000" help:"Largest number of tickets in one message of a query; Open Match allows 10 to 10000."`
	MaxProposals               int           `flag:"max-proposals" default:"250000" rule:"from 1 to 536870912" help:"Most proposals of one match function in a cycle; with more its call ends with ResourceExhausted, after the matches among those before."`
	MaxProposalBytes           int           `flag:"max-proposal-bytes" default:"536870912" rule:"from 1 to 1099511627776" help:"Most bytes of all proposals of a cycle together; as --max-proposals."`

	// Clock replaces the machine's clock, for tests; nil is the machine's. It
	// does not rule the network: deadlines and keepalives are in real time.
	Clock clock.Clock
}

// FakeClock is a Clock that stands still until it is advanced.
type FakeClock = clock.Fake

// NewFakeClock returns a clock that shows start.
func NewFakeClock(start time.Time) *FakeClock { return clock.NewFake(start) }

// Validate implements config.Validator.
func (c *Config) Validate() error { return errors.Join(c.CheckGRPCTLS(), c.CheckPeerTLS()) }

func (c *Config) grpcListen() []string { return c.listen(c.GRPCListen, grpcPorts) }

func (c *Config) httpListen() []string { return c.listen(c.HTTPListen, httpPorts) }

func (c *Config) listen(address string, ports [3]string) []string {
	if address != "" {
		return []string{address}
	}
	var all []string
	for _, port := range ports {
		all = append(all, net.JoinHostPort(c.Host, port))
	}
	return all
}
