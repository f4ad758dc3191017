package minimatch

import (
	"errors"
	"net"
	"time"

	"torikumi/minimatch/internal/clock"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// The ports of Open Match: query, frontend, backend.
var (
	grpcPorts = [...]string{"50503", "50504", "50505"}
	httpPorts = [...]string{"51503", "51504", "51505"}
)

// The page sizes that Open Match allows.
const minPageSize, maxPageSize = 10, 10000

// Config holds the settings. The defaults are those of Open Match's chart.
type Config struct {
	service.Config
	GRPCListen                 string        `flag:"grpc-listen" help:"Address that serves all gRPC services, as HOST:PORT; empty: Open Match's ports (query 50503, frontend 50504, backend 50505) on --host. Every port serves all services."`
	Host                       string        `flag:"host" default:"127.0.0.1" help:"Host of Open Match's ports when --grpc-listen or --http-listen is empty."`
	HTTPListen                 string        `flag:"http-listen" help:"Address of the REST mapping, health, readiness and metrics, as HOST:PORT; empty: Open Match's ports (query 51503, frontend 51504, backend 51505) on --host."`
	Evaluator                  string        `flag:"evaluator" default:"127.0.0.1:50508" help:"Evaluator (gRPC), as HOST:PORT."`
	EvaluatorREST              string        `flag:"evaluator-rest" help:"Evaluator (REST), as HOST:PORT; when it is given, --evaluator is not used."`
	RegistrationInterval       time.Duration `flag:"registration-interval" default:"250ms" help:"How long FetchMatches calls can join a cycle, from its first call on."`
	ProposalCollectionInterval time.Duration `flag:"proposal-collection-interval" default:"20s" help:"How long match functions may propose, from the end of registration on."`
	PendingReleaseTimeout      time.Duration `flag:"pending-release-timeout" default:"1m" help:"How long the tickets of a match are hidden from queries when they are neither assigned nor released."`
	AssignedDeleteTimeout      time.Duration `flag:"assigned-delete-timeout" default:"10m" help:"How long a ticket lives after its last assignment."`
	BackfillLockTimeout        time.Duration `flag:"backfill-lock-timeout" default:"1m" help:"Taken for the sake of Open Match's configurations, without effect: nothing is ever locked here for longer than a step in memory."`
	QueryPageSize              int           `flag:"query-page-size" default:"10000" help:"Largest number of tickets in one message of a query, 10 to 10000."`

	// Clock replaces the machine's clock, for tests; nil is the machine's. It
	// does not rule the network: deadlines and keepalives are in real time.
	Clock Clock
}

// Clock tells the time and calls back later.
type Clock = clock.Clock

// Timer is a callback of a Clock that has not happened yet.
type Timer = clock.Timer

// FakeClock is a Clock that stands still until it is advanced.
type FakeClock = clock.Fake

// NewFakeClock returns a clock that shows start.
func NewFakeClock(start time.Time) *FakeClock { return clock.NewFake(start) }

// Validate tells which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	address := func(flag, value string) {
		if _, port, err := net.SplitHostPort(value); err != nil || port == "" {
			errs = append(errs, config.Invalid(flag, "must be HOST:PORT", value))
		}
	}
	if c.GRPCListen != "" {
		address("grpc-listen", c.GRPCListen)
	}
	if c.HTTPListen != "" {
		address("http-listen", c.HTTPListen)
	}
	address("evaluator", c.Evaluator)
	if c.EvaluatorREST != "" {
		address("evaluator-rest", c.EvaluatorREST)
	}
	positive := func(flag string, d time.Duration) {
		if d <= 0 {
			errs = append(errs, config.Invalid(flag, "must be positive", d))
		}
	}
	positive("registration-interval", c.RegistrationInterval)
	positive("proposal-collection-interval", c.ProposalCollectionInterval)
	positive("pending-release-timeout", c.PendingReleaseTimeout)
	positive("assigned-delete-timeout", c.AssignedDeleteTimeout)
	positive("backfill-lock-timeout", c.BackfillLockTimeout)
	if c.QueryPageSize < minPageSize || c.QueryPageSize > maxPageSize {
		errs = append(errs, config.Invalid("query-page-size", "must be from 10 to 10000", c.QueryPageSize))
	}
	return errors.Join(errs...)
}

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
