package director

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"torikumi/pkg/config"
	"torikumi/pkg/contract"
	"torikumi/pkg/expression"
	"torikumi/pkg/queues"
	"torikumi/pkg/redisclient"
	"torikumi/pkg/rpc"
	"torikumi/pkg/ruleset"
	"torikumi/pkg/service"
	"torikumi/proto/openmatch"
)

// Config are the director's settings.
type Config struct {
	service.Config
	rpc.GRPCTLS
	rpc.OpenMatchTLS
	redisclient.Settings
	GateConfig
	GRPCListen string `flag:"grpc-listen" default:"127.0.0.1:50520" rule:"listen" help:"Address of the gRPC server (announcements, health); port 0 is any free one."`
	HTTPListen string `flag:"http-listen" default:"127.0.0.1:51520" rule:"listen" help:"Address of the HTTP server (health, readiness, metrics); port 0 is any free one."`

	Queues        string `flag:"queues" help:"File with the queues (queues.yaml); none: the built-in ones. A change of it, or of a rule set that it names, is in force within 2s."`
	OpenMatch     string `flag:"open-match" default:"127.0.0.1:50505" rule:"host:port" help:"Open Match's backend."`
	Frontend      string `flag:"open-match-frontend" rule:"host:port" help:"Open Match's frontend, to check an assignment whose answer was lost; none: the match's game server is left running, and those that a dead director has left are not given back."`
	MatchFunction string `flag:"matchfunction" default:"127.0.0.1:50502" rule:"host:port" help:"The match function, as Open Match reaches it."`

	Allocator           []string `flag:"allocator" default:"127.0.0.1:8443" required:"matches get their servers from it" rule:"host:port or kubernetes" help:"Agones's allocator service; kubernetes: GameServerAllocations through the Kubernetes API. Several for the same game servers, the most preferred first: one that fails rests up to 30s."`
	AllocatorCA         string   `flag:"allocator-ca" help:"PEM file with the authorities of the allocator's certificate. This file and the next two are read again for each new connection."`
	AllocatorCert       string   `flag:"allocator-cert" help:"PEM file with the director's client certificate for the allocator."`
	AllocatorKey        string   `flag:"allocator-key" help:"PEM file with the key of the client certificate."`
	AllocatorServerName string   `flag:"allocator-server-name" help:"Name that the allocator's certificate has to carry; none: the host that is called; *: any, also a certificate without a name, as Agones's chart makes it."`
	AllocatorInsecure   bool     `flag:"allocator-insecure" default:"false" help:"Talk to the allocator in plain text, without proving who calls. For one machine only."`
	GameServers         string   `flag:"gameservers" rule:"host:port or kubernetes" help:"What lists and deletes game servers. kubernetes: the Kubernetes API; else a service (torikumi.v1.GameServerService), called as the allocator is; none: servers cannot be found again or deleted."`
	Kubeconfig          []string `flag:"kubeconfig" help:"Kubeconfig file of the cluster, where --allocator or --gameservers is kubernetes; none: that of the pod. Several, where both are kubernetes: clusters that have game servers, the most preferred first."`
	Namespace           string   `flag:"namespace" default:"default" required:"game servers live in one" help:"Namespace of the game servers, for queues that name none."`

	AddressTypes      []string `flag:"address-types" rule:"ExternalDNS, ExternalIP, InternalDNS, InternalIP, Hostname or PodIP" help:"Which of a game server's addresses players get, the most preferred first; a server that has none of them is given back. None: the one that Agones has chosen."`
	AddressAnnotation string   `flag:"address-annotation" help:"Annotation of a game server that says its address, before anything else: HOST or HOST:PORT, and then NAME=PORT for other ports, separated by spaces."`
	AddressNodeLabel  string   `flag:"address-node-label" help:"Label of a node that says the address of its game servers, before --address-types. Nodes are read through the Kubernetes API."`

	MaxInFlight           int           `flag:"max-in-flight" default:"64" rule:"at least 1" help:"How many matches look for a game server at a time; as many more may have one and be assigned. Reading from Open Match pauses beyond that."`
	MatchTimeout          time.Duration `flag:"match-timeout" default:"30s" rule:"positive" help:"Longest time for one match, from receiving it to assigning its tickets. Shorter than the pending release timeout."`
	PendingReleaseTimeout time.Duration `flag:"pending-release-timeout" default:"1m" rule:"positive" help:"Open Match's own pendingReleaseTimeout, after which tickets of an unassigned match can be matched again."`
	IdleInterval          time.Duration `flag:"idle-interval" default:"50ms" rule:"positive" help:"Least time between the starts of two fetches of a queue of which the first found nothing."`
	FetchSilence          time.Duration `flag:"fetch-silence" default:"1m" rule:"positive" help:"Longest time that a fetch may neither bring a match nor end. Longer than Open Match's proposalCollectionInterval."`
	RemovedQueueTimeout   time.Duration `flag:"removed-queue-timeout" default:"10m" rule:"not negative" help:"How long matches are fetched for a queue that is no longer in --queues, as its tickets still wait. As long as the frontend's --ticket-timeout."`
	AnnounceBuffer        int           `flag:"announce-buffer" default:"1024" rule:"at least 1" help:"How many announcements are kept for a subscriber that does not read, before it is cut off."`
}

// Validate reports which of the director's own settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	if c.MatchTimeout >= c.PendingReleaseTimeout {
		errs = append(errs, config.Invalid("match-timeout", fmt.Sprintf("must be shorter than --pending-release-timeout (%v)", c.PendingReleaseTimeout), c.MatchTimeout))
	}
	set, err := queues.LoadWith(c.Queues, c.checks())
	if err == nil {
		err = errors.Join(c.checkBackfill(set), c.checkAcceptance(set))
	}
	if err != nil {
		errs = append(errs, config.Within("--queues", err))
	}
	return errors.Join(append(errs, c.checkAllocator(), c.checkAddress(), c.checkGate(), c.CheckRedis(), c.CheckGRPCTLS())...)
}

func (c *Config) checkAddress() error {
	var errs []error
	for _, key := range []struct{ name, value string }{{"address-annotation", c.AddressAnnotation}, {"address-node-label", c.AddressNodeLabel}} {
		if key.value != "" && !contract.ValidKey(key.value) {
			errs = append(errs, config.Invalid(key.name, "must be a key as Kubernetes takes it", key.value))
		}
	}
	if c.AddressNodeLabel != "" && !slices.Contains(c.Allocator, inKubernetes) && c.GameServers != inKubernetes {
		errs = append(errs, config.Invalid("address-node-label", "must not be given unless --allocator or --gameservers is kubernetes", c.AddressNodeLabel))
	}
	for i, one := range c.AddressTypes {
		if slices.Index(c.AddressTypes, one) != i {
			errs = append(errs, config.Invalid("address-types", "must not name a type twice", one))
		}
	}
	return errors.Join(errs...)
}

// inKubernetes as --allocator or --gameservers stands for the Kubernetes API.
const inKubernetes = "kubernetes"

func (c *Config) checkAllocator() error {
	given := []struct {
		name, value string
		required    bool
	}{
		{"allocator-ca", c.AllocatorCA, true}, {"allocator-cert", c.AllocatorCert, true}, {"allocator-key", c.AllocatorKey, true},
		{"allocator-server-name", c.AllocatorServerName, false},
	}
	isGRPC := func(addr string) bool { return addr != "" && addr != inKubernetes }
	overGRPC := slices.ContainsFunc(c.Allocator, isGRPC) || isGRPC(c.GameServers)
	var errs []error
	for _, g := range given {
		switch {
		case !overGRPC && g.value != "":
			errs = append(errs, config.Invalid(g.name, "must not be given if the Kubernetes API does all", g.value))
		case c.AllocatorInsecure && g.value != "":
			errs = append(errs, config.Invalid(g.name, "must not be given together with --allocator-insecure", g.value))
		case overGRPC && !c.AllocatorInsecure && g.required && g.value == "":
			errs = append(errs, config.Missing(g.name, "the allocator is called over mutual TLS, unless --allocator-insecure is set"))
		}
	}
	if !overGRPC && c.AllocatorInsecure {
		errs = append(errs, config.Invalid("allocator-insecure", "must not be given if the Kubernetes API does all", true))
	}
	if len(c.Kubeconfig) > 1 && (overGRPC || len(c.Allocator) > 1 || c.GameServers != inKubernetes) {
		errs = append(errs, config.Invalid("kubeconfig", "must not be several unless --allocator and --gameservers are kubernetes", c.Kubeconfig))
	}
	if names := slices.Sorted(slices.Values(c.Kubeconfig)); len(slices.Compact(names)) < len(c.Kubeconfig) {
		errs = append(errs, config.Invalid("kubeconfig", "must not name a file twice", c.Kubeconfig))
	}
	if len(c.Kubeconfig) > 0 && !slices.Contains(c.Allocator, inKubernetes) && c.GameServers != inKubernetes {
		errs = append(errs, config.Invalid("kubeconfig", "must not be given unless --allocator or --gameservers is kubernetes", c.Kubeconfig))
	}
	return errors.Join(errs...)
}

// checks refuse expressions that the match function would refuse with each profile.
// Which custom rules there are only the match function knows.
func (c *Config) checks() ruleset.Checks { return ruleset.Checks{Expression: expression.Check} }

// function tells Open Match where the match function is.
func (c *Config) function() (*openmatch.FunctionConfig, error) {
	host, text, err := net.SplitHostPort(c.MatchFunction)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err := cmp.Or(err, portErr); err != nil {
		return nil, fmt.Errorf("match function: %w", err)
	}
	return &openmatch.FunctionConfig{Host: host, Port: int32(port), Type: openmatch.FunctionConfig_GRPC}, nil
}
