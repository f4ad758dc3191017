package cluster

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"torikumi/test/cluster/internal/machine"
)

const (
	criSocket = "unix:///run/containerd/containerd.sock"
	// nodePrograms and nodeConfig are folders on nodes.
	nodePrograms = "/run/torikumi/bin"
	nodeConfig   = "/run/torikumi/config"
	// startupScript is a file there.
	startupScript = "startup.sh"
)

// kernelSettings are what a kubelet sets, for the whole machine. It finds them
// set, in files that lie over the real ones.
var kernelSettings = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// prepareNode writes the folders and files that are mounted on a node.
func (c *Cluster) prepareNode(n node, token string) error {
	dir := c.path("machines", n.Name)
	for _, sub := range []string{"etc", "etc.work", "cni", "config", "var/lib", "var/log", "var/tmp", "var/cache", "kernel"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for setting, value := range kernelSettings {
		file := filepath.Join(dir, "kernel", strings.ReplaceAll(setting, "/", "."))
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			return err
		}
	}
	for file := range nodeUsers {
		content, err := os.ReadFile(c.path("conf", file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "config", file), content, 0o600); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", filepath.Join(dir, "var/run")); err != nil {
		return err
	}
	if n.Script != "" {
		return os.WriteFile(filepath.Join(dir, "config", startupScript), []byte(n.Script), 0o600)
	}
	hash, err := c.caHash()
	if err != nil {
		return err
	}
	return writeYAML(filepath.Join(dir, "config/join.yaml"), c.joinConfig(n, token, hash))
}

func (c *Cluster) joinConfig(n node, token, hash string) object {
	arg := func(name, value string) object { return object{"name": name, "value": value} }
	var args []object
	if len(n.Labels) > 0 {
		var labels []string
		for key, value := range n.Labels {
			labels = append(labels, key+"="+value)
		}
		slices.Sort(labels)
		args = append(args, arg("node-labels", strings.Join(labels, ",")))
	}
	taints := []object{}
	for _, t := range n.Taints {
		parts := taintPattern.FindStringSubmatch(t)
		taints = append(taints, object{"key": parts[1], "value": parts[3], "effect": parts[4]})
	}
	return object{
		"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "JoinConfiguration",
		"discovery": object{"bootstrapToken": object{
			"apiServerEndpoint": c.state.apiServer(), "token": token, "caCertHashes": []string{hash},
		}},
		"nodeRegistration": object{
			"name": n.Name, "criSocket": criSocket, "taints": taints, "kubeletExtraArgs": args,
		},
		// They look for a machine with systemd of its own.
		"skipPhases": []string{"preflight"},
	}
}

// nodeSpec is what a node has of its own, and what runs on it.
func (c *Cluster) nodeSpec(n node) machine.Spec {
	dir := c.path("machines", n.Name)
	bind := func(source, target string) machine.Mount {
		return machine.Mount{Type: "bind", Source: source, Target: target, Required: true}
	}
	spec := machine.Spec{Hostname: n.Name, Mounts: []machine.Mount{
		{Type: "overlay", Target: "/etc", Required: true,
			Options: fmt.Sprintf("lowerdir=/etc,upperdir=%s/etc,workdir=%s/etc.work", dir, dir)},
		bind(filepath.Join(dir, "var"), "/var"),
		{Type: "tmpfs", Target: "/run", Options: "mode=755", Required: true},
		{Type: "tmpfs", Target: "/tmp", Options: "mode=1777", Required: true},
		bind(c.path("bin"), nodePrograms),
		bind(filepath.Join(dir, "config"), nodeConfig),
		bind(filepath.Join(dir, "cni"), "/etc/cni/net.d"),
		{Type: "proc", Target: "/proc", Required: true},
		{Type: "sysfs", Target: "/sys", Required: true},
		bind(cgroups, cgroups),
	}}
	for setting := range kernelSettings {
		spec.Mounts = append(spec.Mounts, machine.Mount{Type: "bind",
			Source: filepath.Join(dir, "kernel", strings.ReplaceAll(setting, "/", ".")), Target: "/proc/sys/" + setting})
	}
	spec.Files = map[string]string{
		"/etc/containerd/config.toml":                                   containerdConfig,
		"/etc/containerd/certs.d/" + c.state.registry() + "/hosts.toml": registryConfig(c.state.registry()),
		"/etc/resolv.conf":                                              resolvers(),
		"/etc/hosts":                                                    fmt.Sprintf("127.0.0.1 localhost\n%s %s\n%s %s\n", c.state.address(n), n.Name, host(c.state.NodeNet, 1), controlPlane),
		forwardingFile:                                                  "1",
	}
	env := []string{"PATH=" + nodePrograms + ":" + systemPath, "HOME=/root"}
	spec.Services = []machine.Service{
		{Name: "containerd", Env: env, Args: []string{"/usr/bin/containerd", "--config", "/etc/containerd/config.toml"}},
		{Name: "kubelet", Env: env, Needs: []string{"/var/lib/kubelet/config.yaml", kubeletFlags}, Args: []string{"/bin/sh", "-c",
			". " + kubeletFlags + "; [ ! -e " + kubeletDefaults + " ] || . " + kubeletDefaults +
				`; exec kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf ` +
				`--kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml ` +
				"--node-ip=" + c.state.address(n).String() + " --cgroup-root=/" + c.state.cgroup() + "/" + n.Name +
				` $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS`}},
		// The limits of connections are the whole machine's.
		{Name: "kube-proxy", Env: env, Args: []string{nodePrograms + "/kube-proxy", "--kubeconfig=" + nodeConfig + "/kube-proxy.conf",
			"--hostname-override=" + n.Name, "--proxy-mode=iptables", "--cluster-cidr=" + c.state.PodNet.String(),
			"--conntrack-max-per-core=0", "--oom-score-adj=0"}},
	}
	if !c.state.Open {
		spec.Services = append(spec.Services, machine.Service{Name: "network-policy", Env: env, Args: []string{
			nodePrograms + "/torikumi-network-policy", "--kubeconfig=" + nodeConfig + "/network-policy.conf", "--node=" + n.Name,
		}})
	}
	return spec
}

// registryConfig lets nodes pull over plain HTTP. containerd 1.6 takes the
// scheme from the part on the host alone.
func registryConfig(registry string) string {
	return fmt.Sprintf(`server = "http://%[1]s"

[host."http://%[1]s"]
  capabilities = ["pull", "resolve"]
`, registry)
}

const (
	kubeletFlags = "/var/lib/kubelet/kubeadm-flags.env"
	// kubeletDefaults is where an administrator's arguments are.
	kubeletDefaults = "/etc/default/kubelet"
)

// Pods with the RuntimeClass kata run as all others do.
const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "` + pauseImage + `"
  # For machines that do not have CAP_SYS_RESOURCE.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "` + cniFolder + `"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]
      runtime_type = "io.containerd.runc.v2"
`

// resolvers is the host's resolv.conf without the servers on its loopback,
// which a node does not reach.
func resolvers() string {
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		content, _ := os.ReadFile(file)
		var kept strings.Builder
		servers := 0
		for line := range strings.Lines(string(content)) {
			fields := strings.Fields(line)
			if len(fields) == 2 && fields[0] == "nameserver" {
				if addr, err := netip.ParseAddr(fields[1]); err != nil || addr.IsLoopback() {
					continue
				}
				servers++
			}
			kept.WriteString(line)
		}
		if servers > 0 {
			return kept.String()
		}
	}
	return "# This machine's servers are on its loopback.\n"
}

// writeCNI tells a node's containerd the network of its pods. Each pod has a
// cable of its own to its node, so that the node routes and filters everything,
// also between two of its pods.
func (c *Cluster) writeCNI(name string, net netip.Prefix) error {
	file := c.path("machines", name, "cni", "10-torikumi.conflist")
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	config := object{
		"cniVersion": "0.4.0",
		"name":       "torikumi",
		"plugins": []object{
			{"type": "ptp", "ipMasq": false, "ipam": object{
				"type": "host-local", "ranges": [][]object{{{"subnet": net.String()}}}, "routes": []object{{"dst": "0.0.0.0/0"}},
			}},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	}
	if err := writeJSON(file+".new", config); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
