package controller

import (
	"errors"
	"regexp"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"torikumi/miniagones/kubernetes/internal/certs"
	"torikumi/pkg/config"
	"torikumi/pkg/service"
)

// Config holds the settings.
type Config struct {
	service.Config
	GRPCListen string `flag:"grpc-listen" default:"127.0.0.1:8443" rule:"listen" help:"Address of the allocation service and of GameServerService (gRPC, mutual TLS)."`
	HTTPListen string `flag:"http-listen" default:"127.0.0.1:8444" rule:"listen" help:"Address of health, readiness and metrics."`
	APIListen  string `flag:"api-listen" rule:"listen" help:"Address of GameServerAllocation, which the Kubernetes API server calls (HTTPS); none: GameServerAllocation is not served."`
	Kubeconfig string `flag:"kubeconfig" help:"Kubeconfig file; none: that of the pod."`
	Namespace  string `flag:"namespace" default:"agones-system" required:"leases and certificates live in one" help:"Namespace of the controller itself."`

	AllocatorInsecure bool     `flag:"allocator-insecure" default:"false" help:"Serve allocation in plain text to anybody, and no GameServerAllocation. For tests."`
	SelfSigned        bool     `flag:"self-signed" default:"false" help:"Make the certificates that are missing, and renew them."`
	Hosts             []string `flag:"hosts" default:"agones-allocator,agones-allocator.agones-system,agones-allocator.agones-system.svc,agones-allocator.agones-system.svc.cluster.local,localhost,127.0.0.1" help:"Names in the server's certificate, with --self-signed."`
	ClientSecrets     []string `flag:"client-secrets" help:"Secrets, as NAMESPACE/NAME, that get a client's certificate, with --self-signed."`

	Ports        string        `flag:"ports" default:"7000-8000" help:"Range of the host ports of game servers."`
	Pod          string        `flag:"pod" help:"Name of the pod that this runs in: the SDK servers get its image."`
	SidecarImage string        `flag:"sidecar-image" help:"In place of --pod: image of this program for the SDK servers."`
	StartTimeout time.Duration `flag:"start-timeout" default:"5m" rule:"positive" help:"How long a pod may take to start on its node, its images included, before its game server is replaced."`
	BackoffMin   time.Duration `flag:"backoff-min" default:"1s" rule:"positive" help:"Pause of a fleet after a game server that failed; doubled with each further one."`
	BackoffMax   time.Duration `flag:"backoff-max" default:"1m" rule:"positive" help:"Longest such pause."`
}

// Validate reports which settings are wrong.
func (c *Config) Validate() error {
	var errs []error
	if _, _, ok := c.ports(); !ok {
		errs = append(errs, config.Invalid("ports", "must be FIRST-LAST, from 1 to 65535", c.Ports))
	}
	if (c.Pod == "") == (c.SidecarImage == "") {
		errs = append(errs, &config.Error{Setting: "--pod", Rule: "must be given, or --sidecar-image, and not both"})
	}
	if c.BackoffMax < c.BackoffMin {
		errs = append(errs, config.Invalid("backoff-max", "must be at least --backoff-min", c.BackoffMax))
	}
	if c.AllocatorInsecure && c.SelfSigned {
		errs = append(errs, config.Invalid("self-signed", "must not be given together with --allocator-insecure", true))
	}
	if len(c.ClientSecrets) > 0 && !c.SelfSigned {
		errs = append(errs, config.Invalid("client-secrets", "must not be given without --self-signed", c.ClientSecrets))
	}
	if _, err := c.clientSecrets(); err != nil {
		errs = append(errs, config.Invalid("client-secrets", err.Error(), c.ClientSecrets))
	}
	return errors.Join(errs...)
}

var portRange = regexp.MustCompile(`^(\d{1,5})-(\d{1,5})$`)

func (c *Config) ports() (first, last int32, ok bool) {
	m := portRange.FindStringSubmatch(c.Ports)
	if m == nil {
		return 0, 0, false
	}
	a, errA := strconv.ParseUint(m[1], 10, 16)
	b, errB := strconv.ParseUint(m[2], 10, 16)
	return int32(a), int32(b), errors.Join(errA, errB) == nil && a >= 1 && a <= b
}

func (c *Config) clientSecrets() (keys []types.NamespacedName, err error) {
	for _, text := range c.ClientSecrets {
		key, err := certs.ParseSecret(text)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}
