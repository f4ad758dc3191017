package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// cniFolder is where Debian keeps the CNI plugins.
const cniFolder = "/usr/lib/cni"

// requirements are programs and the packages of Debian that have them.
var requirements = []struct{ program, pkg string }{
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
}

// Requirements reports all that this machine lacks, in one error.
func Requirements() error {
	var errs []error
	if os.Getuid() != 0 {
		errs = append(errs, errors.New("root is needed: for namespaces, a bridge and cgroups"))
	}
	var lacking, packages []string
	for _, r := range requirements {
		if _, err := exec.LookPath(r.program); err == nil {
			continue
		}
		lacking = append(lacking, r.program)
		if !slices.Contains(packages, r.pkg) {
			packages = append(packages, r.pkg)
		}
	}
	if len(lacking) > 0 {
		errs = append(errs, fmt.Errorf("this machine lacks %s; on Debian: apt-get install --no-install-recommends %s",
			strings.Join(lacking, ", "), strings.Join(packages, " ")))
	}
	if _, _, err := hierarchies(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
