package manifests

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Endpoint is what a network policy lets somebody reach, or not: a pod, or an
// address outside the cluster.
type Endpoint struct {
	Name string
	// Namespace is empty for an address that is no pod's.
	Namespace string
	Labels    map[string]string
	IP        netip.Addr
	Ports     []Port
}

// Port is one that an endpoint listens on.
type Port struct {
	Number   int32
	Protocol corev1.Protocol
}

// Edge is one connection that may be made.
type Edge struct {
	From, To string
	Port     int32
}

func (e Edge) String() string { return fmt.Sprintf("%s → %s:%d", e.From, e.To, e.Port) }

// podIP stands for every pod: addresses are nothing to go by, but an ipBlock that
// is too wide lets pods pass too.
var podIP = netip.MustParseAddr("10.244.0.1")

// Network is what the policies of a set say about endpoints.
type Network struct {
	Endpoints []Endpoint
	policies  []networkingv1.NetworkPolicy
}

// Network returns the set's workloads and policies; others are endpoints that it
// does not make.
func (s *Set) Network(others ...Endpoint) (*Network, error) {
	workloads, err := s.Workloads()
	if err != nil {
		return nil, err
	}
	n := &Network{Endpoints: slices.Clone(others)}
	for _, w := range workloads {
		e := Endpoint{Name: w.Labels["app.kubernetes.io/name"], Namespace: w.Namespace, Labels: w.Labels, IP: podIP}
		if w.Kind == "Fleet" {
			e.Name = "games"
			e.Ports = append(e.Ports, Port{7777, corev1.ProtocolUDP}) // Agones adds those of the GameServer
		}
		for _, c := range w.Containers() {
			for _, p := range c.Ports {
				e.Ports = append(e.Ports, Port{p.ContainerPort, protocol(p.Protocol)})
			}
		}
		n.Endpoints = append(n.Endpoints, e)
	}
	for _, o := range s.Objects {
		if o.GetKind() != "NetworkPolicy" {
			continue
		}
		var p networkingv1.NetworkPolicy
		if err := decode(o, &p); err != nil {
			return nil, fmt.Errorf("%s: %w", ID(o), err)
		}
		n.policies = append(n.policies, p)
	}
	return n, nil
}

func protocol(p corev1.Protocol) corev1.Protocol {
	if p == "" {
		return corev1.ProtocolTCP
	}
	return p
}

// Edges are all connections between two endpoints that both ends allow.
func (n *Network) Edges() []Edge {
	var edges []Edge
	for _, from := range n.Endpoints {
		for _, to := range n.Endpoints {
			if from.Name == to.Name {
				continue
			}
			for _, port := range to.Ports {
				if e := (Edge{from.Name, to.Name, port.Number}); n.allowed(from, to, port) && !slices.Contains(edges, e) {
					edges = append(edges, e)
				}
			}
		}
	}
	slices.SortFunc(edges, func(a, b Edge) int { return strings.Compare(a.String(), b.String()) })
	return edges
}

func (n *Network) allowed(from, to Endpoint, port Port) bool {
	return n.passes(from, to, port, networkingv1.PolicyTypeEgress) && n.passes(to, from, port, networkingv1.PolicyTypeIngress)
}

// passes reports whether the policies of one end, which is a pod, allow the other.
func (n *Network) passes(own, other Endpoint, port Port, direction networkingv1.PolicyType) bool {
	isolated := false
	for _, p := range n.policies {
		if !governs(p, own, direction) {
			continue
		}
		isolated = true
		for _, r := range rulesOf(p, direction) {
			if r.allows(p.Namespace, other, port) {
				return true
			}
		}
	}
	return !isolated
}

func governs(p networkingv1.NetworkPolicy, e Endpoint, direction networkingv1.PolicyType) bool {
	return e.Namespace != "" && e.Namespace == p.Namespace && slices.Contains(p.Spec.PolicyTypes, direction) && matches(&p.Spec.PodSelector, e.Labels)
}

func matches(s *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}

// rule is one of either direction.
type rule struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

func rulesOf(p networkingv1.NetworkPolicy, direction networkingv1.PolicyType) []rule {
	var rules []rule
	if direction == networkingv1.PolicyTypeEgress {
		for _, r := range p.Spec.Egress {
			rules = append(rules, rule{r.To, r.Ports})
		}
		return rules
	}
	for _, r := range p.Spec.Ingress {
		rules = append(rules, rule{r.From, r.Ports})
	}
	return rules
}

func (r rule) allows(namespace string, other Endpoint, port Port) bool {
	return r.hasPort(port) && (len(r.peers) == 0 || slices.ContainsFunc(r.peers, func(p networkingv1.NetworkPolicyPeer) bool { return isPeer(p, namespace, other) }))
}

func (r rule) hasPort(port Port) bool {
	return len(r.ports) == 0 || slices.ContainsFunc(r.ports, func(p networkingv1.NetworkPolicyPort) bool {
		of := corev1.ProtocolTCP
		if p.Protocol != nil {
			of = *p.Protocol
		}
		return of == port.Protocol && (p.Port == nil || p.Port.IntVal == port.Number)
	})
}

func isPeer(p networkingv1.NetworkPolicyPeer, namespace string, e Endpoint) bool {
	if p.IPBlock != nil {
		return inBlock(*p.IPBlock, e.IP)
	}
	if e.Namespace == "" {
		return false
	}
	if p.NamespaceSelector == nil {
		if e.Namespace != namespace {
			return false
		}
	} else if !matches(p.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": e.Namespace}) {
		return false
	}
	return p.PodSelector == nil || matches(p.PodSelector, e.Labels)
}

func inBlock(b networkingv1.IPBlock, ip netip.Addr) bool {
	in := func(cidr string) bool {
		prefix, err := netip.ParsePrefix(cidr)
		return err == nil && prefix.Contains(ip)
	}
	return in(b.CIDR) && !slices.ContainsFunc(b.Except, in)
}

// OneSided returns the rules that name pods and have no counterpart at these, and
// those that name nobody or a port that nobody has.
func (n *Network) OneSided() []string {
	var wrong []string
	for _, p := range n.policies {
		for _, direction := range p.Spec.PolicyTypes {
			for _, r := range rulesOf(p, direction) {
				for _, peer := range r.peers {
					if peer.IPBlock == nil {
						wrong = append(wrong, n.checkPeer(p, direction, r, peer)...)
					}
				}
			}
		}
	}
	return wrong
}

func (n *Network) checkPeer(p networkingv1.NetworkPolicy, direction networkingv1.PolicyType, r rule, peer networkingv1.NetworkPolicyPeer) []string {
	where := fmt.Sprintf("%s networkpolicy/%s: %s %s", p.Namespace, p.Name, direction, compact(peer))
	var wrong []string
	found := false
	for _, own := range n.Endpoints {
		if !governs(p, own, direction) {
			continue
		}
		for _, other := range n.Endpoints {
			if !isPeer(peer, p.Namespace, other) || other.Name == own.Name {
				continue
			}
			from, to := own, other
			if direction == networkingv1.PolicyTypeIngress {
				from, to = other, own
			}
			for _, port := range to.Ports {
				if !r.hasPort(port) {
					continue
				}
				found = true
				if !n.allowed(from, to, port) {
					wrong = append(wrong, fmt.Sprintf("%s: the other end does not allow %s", where, Edge{from.Name, to.Name, port.Number}))
				}
			}
		}
	}
	if !found {
		wrong = append(wrong, where+": nobody is there, or has such a port")
	}
	return wrong
}
