package cluster

import (
	"errors"

	"torikumi/pkg/requirements"
)

// cniFolder is where Debian keeps the CNI plugins.
const cniFolder = "/usr/lib/cni"

// needs are those of a cluster.
func needs() requirements.List {
	list := requirements.List{Root: true}
	for _, p := range []struct{ program, pkg string }{
		{"containerd", "containerd"},
		{"ctr", "containerd"},
		{"runc", "runc"},
		{cniFolder + "/ptp", "containernetworking-plugins"},
		{cniFolder + "/portmap", "containernetworking-plugins"},
		{"iptables", "iptables"},
		{"nft", "nftables"},
		{"ip", "iproute2"},
		{"conntrack", "conntrack"},
		{"socat", "socat"},
		{"ethtool", "ethtool"},
		{"nsenter", "util-linux"},
		{"mount", "mount"},
	} {
		list.Programs = append(list.Programs, requirements.Program{Name: p.program, Package: p.pkg})
	}
	return list
}

// Requirements reports all that this machine lacks for a cluster, and for more beside it, in
// one error.
func Requirements(more ...requirements.List) error {
	_, _, err := hierarchies()
	return errors.Join(requirements.Join(append(more, needs())...).Lacking(), err)
}
