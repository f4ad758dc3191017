// Package netpol enforces NetworkPolicies on a node of the harness, whose CNI
// plugins enforce none: it watches them, pods and namespaces, and keeps the
// node's nftables rules as they ask for.
//
// The node routes between all its pods, so that everything that goes to or comes
// from a pod passes the hooks "forward" and "input". What the node itself sends
// to its pods, such as a kubelet's probes, passes neither, and is never filtered.
package netpol

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Table is the one of nftables, in a node's network namespace.
const Table = "torikumi-network-policy"

// Snapshot is what decides about traffic.
type Snapshot struct {
	// Node is the node whose pods are filtered.
	Node       string
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
}

// pod is one that has an address.
type pod struct {
	*corev1.Pod
	ip netip.Addr
}

// direction is that of the traffic, as the filtered pod sees it.
type direction struct {
	name string
	// local and remote are the keys of the addresses in nftables.
	local, remote string
}

var (
	ingress = direction{"ingress", "daddr", "saddr"}
	egress  = direction{"egress", "saddr", "daddr"}
)

// Rules is the ruleset, for nft. The same snapshot makes the same text.
func Rules(s Snapshot) string {
	pods := s.pods()
	var jumps, chains strings.Builder
	for _, d := range []direction{egress, ingress} {
		var verdicts []string
		for _, p := range pods {
			if p.Spec.NodeName != s.Node {
				continue
			}
			allowed, isolated := s.allowed(d, p, pods)
			if !isolated {
				continue
			}
			chain := fmt.Sprintf("%s-%s", d.name, strings.ReplaceAll(p.ip.String(), ".", "-"))
			verdicts = append(verdicts, fmt.Sprintf("%s : jump %s", p.ip, chain))
			// A pod can't be kept from itself.
			fmt.Fprintf(&chains, "\tchain %s {\n\t\tip %s %s return\n", chain, d.remote, p.ip)
			for _, match := range allowed {
				fmt.Fprintf(&chains, "\t\t%s\n", strings.TrimSpace(match+" return"))
			}
			fmt.Fprintf(&chains, "\t\tcounter name dropped drop\n\t}\n")
		}
		if len(verdicts) > 0 {
			fmt.Fprintf(&jumps, "\t\tip %s vmap { %s }\n", d.local, strings.Join(verdicts, ", "))
		}
	}
	// It is replaced in one transaction. "add" lets "delete" succeed the first time.
	return fmt.Sprintf(`add table inet %[1]s
delete table inet %[1]s
table inet %[1]s {
	counter dropped { }
%[3]s	chain check {
		ct state established,related return
%[2]s	}
	chain forward {
		type filter hook forward priority filter + 10;
		jump check
	}
	chain input {
		type filter hook input priority filter + 10;
		jump check
	}
}
`, Table, jumps.String(), chains.String())
}

// pods are those that have an address of their own, in the order of addresses.
func (s Snapshot) pods() (pods []pod) {
	for _, p := range s.Pods {
		if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		if ip, err := netip.ParseAddr(p.Status.PodIP); err == nil && ip.Is4() {
			pods = append(pods, pod{p, ip})
		}
	}
	slices.SortFunc(pods, func(a, b pod) int { return a.ip.Compare(b.ip) })
	// An address may go to a new pod before the old one is seen to be gone.
	return slices.CompactFunc(pods, func(a, b pod) bool { return a.ip == b.ip })
}

// allowed are the matches of what may pass, each once. isolated is false if no
// policy is about the pod: then everything may.
func (s Snapshot) allowed(d direction, p pod, pods []pod) (matches []string, isolated bool) {
	for _, policy := range s.Policies {
		if policy.Namespace != p.Namespace || !concerns(policy, d) || !selects(&policy.Spec.PodSelector, p.Labels) {
			continue
		}
		isolated = true
		if d == ingress {
			for _, rule := range policy.Spec.Ingress {
				matches = append(matches, s.matches(d, p, policy.Namespace, rule.From, rule.Ports, pods)...)
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				matches = append(matches, s.matches(d, p, policy.Namespace, rule.To, rule.Ports, pods)...)
			}
		}
	}
	slices.Sort(matches)
	return slices.Compact(matches), isolated
}

// concerns reports whether a policy is about that direction.
func concerns(policy *networkingv1.NetworkPolicy, d direction) bool {
	types := policy.Spec.PolicyTypes
	if len(types) == 0 { // as the API server fills it in
		types = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
		if len(policy.Spec.Egress) > 0 {
			types = append(types, networkingv1.PolicyTypeEgress)
		}
	}
	want := networkingv1.PolicyTypeIngress
	if d == egress {
		want = networkingv1.PolicyTypeEgress
	}
	return slices.Contains(types, want)
}

// selects reports whether a selector matches. One that is not valid, which the
// API server refuses, matches nothing.
func selects(selector *metav1.LabelSelector, set map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}

// matches are those of one rule of a policy. No peers are all, no ports are all.
func (s Snapshot) matches(d direction, p pod, namespace string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, pods []pod) (matches []string) {
	blocks, selected := []string{""}, []pod{} // "": any address
	if len(peers) > 0 {
		blocks, selected = s.peers(d, namespace, peers, pods)
	}
	if len(ports) == 0 {
		ports = []networkingv1.NetworkPolicyPort{{}}
	}
	all := len(peers) == 0 // then named ports of all pods count
	for i := range ports {
		port := &ports[i]
		if port.Port == nil || port.Port.Type == intstr.Int {
			text := portMatch(port)
			for _, block := range blocks {
				matches = append(matches, strings.TrimSpace(block+" "+text))
			}
			if addresses := list(selected); addresses != "" {
				matches = append(matches, strings.TrimSpace(fmt.Sprintf("ip %s { %s } %s", d.remote, addresses, text)))
			}
			continue
		}
		matches = append(matches, named(d, p, port, all, blocks, selected, pods)...)
	}
	return matches
}

// named are the matches of a port that is given by its name in pods: in the
// filtered one for ingress, in each that it sends to for egress.
func named(d direction, p pod, port *networkingv1.NetworkPolicyPort, all bool, blocks []string, selected, pods []pod) (matches []string) {
	if d == ingress {
		for _, number := range numbers(p, port) {
			text := fmt.Sprintf("%s dport %d", protocol(port), number)
			for _, block := range blocks {
				matches = append(matches, strings.TrimSpace(block+" "+text))
			}
			if addresses := list(selected); addresses != "" {
				matches = append(matches, fmt.Sprintf("ip %s { %s } %s", d.remote, addresses, text))
			}
		}
		return matches
	}
	if all {
		selected = pods
	}
	for _, to := range selected {
		for _, number := range numbers(to, port) {
			matches = append(matches, fmt.Sprintf("ip %s %s %s dport %d", d.remote, to.ip, protocol(port), number))
		}
	}
	return matches
}

// peers are matches of blocks of addresses, and the pods that are selected.
func (s Snapshot) peers(d direction, namespace string, peers []networkingv1.NetworkPolicyPeer, pods []pod) (blocks []string, selected []pod) {
	for i := range peers {
		peer := &peers[i]
		if peer.IPBlock != nil {
			if block := blockMatch(d, peer.IPBlock); block != "" {
				blocks = append(blocks, block)
			}
			continue
		}
		for _, p := range pods {
			if s.inNamespace(peer.NamespaceSelector, namespace, p) && (peer.PodSelector == nil || selects(peer.PodSelector, p.Labels)) {
				selected = append(selected, p)
			}
		}
	}
	slices.SortFunc(selected, func(a, b pod) int { return a.ip.Compare(b.ip) })
	return blocks, slices.CompactFunc(selected, func(a, b pod) bool { return a.ip == b.ip })
}

func (s Snapshot) inNamespace(selector *metav1.LabelSelector, namespace string, p pod) bool {
	if selector == nil {
		return p.Namespace == namespace
	}
	return slices.ContainsFunc(s.Namespaces, func(n *corev1.Namespace) bool {
		return n.Name == p.Namespace && selects(selector, n.Labels)
	})
}

// blockMatch is empty for what is no IPv4: the harness has nothing else.
func blockMatch(d direction, block *networkingv1.IPBlock) string {
	net, err := netip.ParsePrefix(block.CIDR)
	if err != nil || !net.Addr().Is4() {
		return ""
	}
	// nft takes no match for "all addresses" but this.
	match := fmt.Sprintf("ip %s %s", d.remote, net.Masked())
	if net.Bits() == 0 {
		match = "meta nfproto ipv4"
	}
	for _, e := range block.Except {
		if net, err := netip.ParsePrefix(e); err == nil && net.Addr().Is4() {
			match += fmt.Sprintf(" ip %s != %s", d.remote, net.Masked())
		}
	}
	return match
}

// portMatch is the match of a port's number, or of its protocol alone.
func portMatch(port *networkingv1.NetworkPolicyPort) string {
	switch {
	case port.Port == nil && port.Protocol == nil:
		return ""
	case port.Port == nil:
		return "meta l4proto " + protocol(port)
	case port.EndPort != nil:
		return fmt.Sprintf("%s dport %d-%d", protocol(port), port.Port.IntVal, *port.EndPort)
	}
	return fmt.Sprintf("%s dport %d", protocol(port), port.Port.IntVal)
}

func protocol(port *networkingv1.NetworkPolicyPort) string {
	if port.Protocol == nil {
		return "tcp"
	}
	return strings.ToLower(string(*port.Protocol))
}

// numbers are the ports of that name and protocol in a pod's containers.
func numbers(p pod, port *networkingv1.NetworkPolicyPort) (numbers []int32) {
	for _, containers := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
		for _, c := range containers {
			for _, cp := range c.Ports {
				of := cp.Protocol
				if of == "" {
					of = corev1.ProtocolTCP
				}
				if cp.Name == port.Port.StrVal && strings.EqualFold(string(of), protocol(port)) {
					numbers = append(numbers, cp.ContainerPort)
				}
			}
		}
	}
	return numbers
}

func list(pods []pod) string {
	var addresses []string
	for _, p := range pods {
		addresses = append(addresses, p.ip.String())
	}
	return strings.Join(addresses, ", ")
}
