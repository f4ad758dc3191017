package cluster

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
)

const (
	controlPlane  = "control-plane"
	apiServerPort = 6443
	registryPort  = 5000
	serviceNet    = "10.96.0.0/16"
	dnsAddress    = "10.96.0.10"
	// indices is how many clusters a machine can have.
	indices = 64
)

// subnet is the i-th network of that many bits in net.
func subnet(net netip.Prefix, bits, i int) netip.Prefix {
	a := net.Addr().As4()
	n := binary.BigEndian.Uint32(a[:]) + uint32(i)<<(32-bits)
	binary.BigEndian.PutUint32(a[:], n)
	return netip.PrefixFrom(netip.AddrFrom4(a), bits)
}

// host is the n-th address of a network.
func host(net netip.Prefix, n int) netip.Addr { return subnet(net, 32, n).Addr() }

func (s *state) bridge() string { return "tk" + strconv.Itoa(s.Index) }

// veth is the end of a node's cable at the bridge.
func (s *state) veth(number int) string { return fmt.Sprintf("tk%dn%d", s.Index, number) }

// table is the one of nftables on the host.
func (s *state) table() string { return s.bridge() }

// cgroup is the parent of those of all nodes.
func (s *state) cgroup() string { return "torikumi-" + strconv.Itoa(s.Index) }

// alias tells whose bridge it is.
func (s *state) alias(folder string) string { return "torikumi-cluster " + s.Name + " " + folder }

func (s *state) apiServer() string {
	return netip.AddrPortFrom(host(s.NodeNet, 1), apiServerPort).String()
}

func (s *state) registry() string {
	return netip.AddrPortFrom(host(s.NodeNet, 1), registryPort).String()
}

func (s *state) address(n node) netip.Addr { return host(s.NodeNet, n.Number) }

// find returns the node of that name.
func (s *state) find(name string) (*node, error) {
	for i := range s.Nodes {
		if s.Nodes[i].Name == name {
			return &s.Nodes[i], nil
		}
	}
	return nil, fmt.Errorf("there is no node %q", name)
}
