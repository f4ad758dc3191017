package cluster

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Options say what Up makes. The zero value is a cluster of a permanent node
// and one game node.
type Options struct {
	// Name tells clusters of one machine apart, "torikumi" if empty.
	Name string
	// State is the folder for everything that the cluster writes, of its own. It
	// may not exist. If empty it is named after the cluster, in the user's cache.
	State string
	// Nodes are made, DefaultNodes(1) if there are none. The cluster's DNS runs on
	// the first.
	Nodes []NodeOptions
	// IgnoreNetworkPolicies leaves everything open, whatever NetworkPolicies say.
	IgnoreNetworkPolicies bool
	// Images are tars that all nodes get, also those that are added later.
	Images []string
	// NodeNet holds the networks of nodes, a /24 for each cluster of this machine,
	// and PodNet those of pods, a /16 each. If they are not valid: 10.77.0.0/16 and
	// 10.128.0.0/10.
	NodeNet, PodNet netip.Prefix
	// Timeout is how long the cluster may take to be ready, once all programs are
	// built. 0 is 5 minutes.
	Timeout time.Duration
	// Progress gets a line for each step. nil: nobody does.
	Progress io.Writer
}

// NodeOptions describe a node.
type NodeOptions struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels,omitempty"`
	// Taints are KEY=VALUE:EFFECT or KEY:EFFECT.
	Taints []string `json:"taints,omitempty"`
	// Script joins the node, as a VM's startup script does: bash runs it as root, and
	// it has to call kubeadm. It may leave arguments of the kubelet in
	// /etc/default/kubelet. It is for AddNode, without labels and taints. If empty,
	// the harness joins the node.
	Script string `json:"script,omitempty"`
}

// The labels that the suite's manifests select nodes by.
const (
	nodeTypeLabel = "node-type"
	permanentNode = "gcp-permanent"
	hardwareLabel = "hardware"
	gameRunner    = "game-runner"
)

// DefaultNodes are a permanent node and some for games.
func DefaultNodes(games int) []NodeOptions {
	nodes := []NodeOptions{{Name: "permanent", Labels: map[string]string{nodeTypeLabel: permanentNode}}}
	for i := range games {
		nodes = append(nodes, NodeOptions{
			Name:   fmt.Sprintf("game-%d", i+1),
			Labels: map[string]string{hardwareLabel: gameRunner},
		})
	}
	return nodes
}

var (
	namePattern  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$`)
	labelPattern = regexp.MustCompile(`^[A-Za-z0-9./_-]+$`)
	valuePattern = regexp.MustCompile(`^[A-Za-z0-9._-]*$`)
	taintPattern = regexp.MustCompile(`^([A-Za-z0-9./_-]+)(=([A-Za-z0-9._-]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$`)
)

const (
	nameRule  = "must be 1 to 30 lowercase letters, digits and inner dashes"
	taintRule = "must be KEY=VALUE:EFFECT or KEY:EFFECT, with the effect NoSchedule, PreferNoSchedule or NoExecute"
)

// DefaultState is the state folder of a cluster with that name.
func DefaultState(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "torikumi", "clusters", name), nil
}

// DefaultName is that of a cluster that is given none.
const DefaultName = "torikumi"

// complete sets defaults and reports all that is wrong.
func (o *Options) complete() error {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if len(o.Nodes) == 0 {
		o.Nodes = DefaultNodes(1)
	}
	if !o.NodeNet.IsValid() {
		o.NodeNet = netip.MustParsePrefix("10.77.0.0/16")
	}
	if !o.PodNet.IsValid() {
		o.PodNet = netip.MustParsePrefix("10.128.0.0/10")
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	var err error
	if o.State == "" {
		o.State, err = DefaultState(o.Name)
	} else {
		o.State, err = filepath.Abs(o.State)
	}
	if err != nil {
		return err
	}
	return o.validate()
}

func (o *Options) validate() error {
	var errs []error
	if !namePattern.MatchString(o.Name) {
		errs = append(errs, fmt.Errorf("name %s, got %q", nameRule, o.Name))
	}
	if strings.ContainsAny(o.State, ",:\\") {
		errs = append(errs, fmt.Errorf("state folder must have no comma, colon or backslash in its path, as overlay mounts take none, got %q", o.State))
	}
	if o.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout must be positive, got %s", o.Timeout))
	}
	for name, net := range map[string]struct {
		netip.Prefix
		longest int
	}{"nodes' network": {o.NodeNet, 24}, "pods' network": {o.PodNet, 16}} {
		if !net.Addr().Is4() || net.Bits() > net.longest || net.Masked() != net.Prefix {
			errs = append(errs, fmt.Errorf("%s must be an IPv4 network of /%d or larger, got %s", name, net.longest, net.Prefix))
		}
	}
	if o.NodeNet.Overlaps(o.PodNet) {
		errs = append(errs, fmt.Errorf("networks of nodes and pods must not overlap, got %s and %s", o.NodeNet, o.PodNet))
	}
	seen := map[string]bool{}
	for _, n := range o.Nodes {
		if seen[n.Name] {
			errs = append(errs, fmt.Errorf("nodes must have different names, got %q twice", n.Name))
		}
		seen[n.Name] = true
		errs = append(errs, n.validate())
	}
	for _, image := range o.Images {
		if _, err := os.Stat(image); err != nil {
			errs = append(errs, fmt.Errorf("image: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (n NodeOptions) validate() error {
	var errs []error
	if !namePattern.MatchString(n.Name) || n.Name == controlPlane {
		errs = append(errs, fmt.Errorf("a node's name %s and not %q, got %q", nameRule, controlPlane, n.Name))
	}
	for key, value := range n.Labels {
		if !labelPattern.MatchString(key) || !valuePattern.MatchString(value) {
			errs = append(errs, fmt.Errorf("labels of node %q must be KEY=VALUE, got %q=%q", n.Name, key, value))
		}
	}
	if n.Script != "" && len(n.Labels)+len(n.Taints) > 0 {
		errs = append(errs, fmt.Errorf("node %q has a script, which sets its labels and taints", n.Name))
	}
	for _, taint := range n.Taints {
		if !taintPattern.MatchString(taint) {
			errs = append(errs, fmt.Errorf("taints of node %q %s, got %q", n.Name, taintRule, taint))
		}
	}
	return errors.Join(errs...)
}
