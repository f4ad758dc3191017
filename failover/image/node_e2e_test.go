//go:build e2e

package image_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestNode prepares nodes from each Debian that the script knows.
func TestNode(t *testing.T) {
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel() // machines share nothing, and wait for disks
			testNode(t, suite)
		})
	}
}

func testNode(t *testing.T, suite string) {
	m := newMachine(t, debian(t, suite))
	m.write("etc/fstab", "UUID=1 / ext4 defaults 0 1\n/swap.img none swap sw 0 0\n", 0o644)
	m.must("sh", "-c", "apt-get -q update && apt-get -yq install --no-install-recommends linux-image-cloud-"+host.arch)
	args := kata{}.pack(m, "kata.tar.zst")
	if real := os.Getenv("KATA_TARBALL"); real != "" {
		args = handOverKata(m, real, "kata.tar.zst")
	} else {
		t.Log("Kata Containers is a stand-in: KATA_TARBALL names a release's tarball")
	}

	before := m.tree(true)
	if out, ok := m.prepare("--check"); ok || strings.Count(out, "FAIL ") != 8 || !strings.Contains(out, "ok     kernel") {
		t.Errorf("--check of a bare machine succeeds (%v) or says\n%s", ok, out)
	}
	same(t, before, m.tree(true))

	out := m.mustPrepare(args...)
	for _, step := range []string{"system", "packages", "upgrades", "kernel", "modules", "sysctl", "swap", "kubernetes", "kata", "containerd"} {
		if !strings.Contains(out, "\nprepare-node: ok     "+step) && !strings.HasPrefix(out, "prepare-node: ok     "+step) {
			t.Errorf("no word of %s:\n%s", step, out)
		}
	}

	t.Run("again", func(t *testing.T) {
		m.T = t
		before := m.tree(true)
		m.mustPrepare(args...)
		out := m.must("/in/prepare-node.sh", "--check")
		same(t, before, m.tree(true))
		// What a chroot cannot show is said.
		for _, unseen := range []string{"cgroups", "loaded", "in force", "off", "ask kata-check", "running"} {
			if !strings.Contains(out, "(not seen: "+unseen) && !strings.Contains(out, unseen+": not booted") && !strings.Contains(out, unseen) {
				t.Errorf("--check does not say that it has not seen %q:\n%s", unseen, out)
			}
		}
	})
	t.Run("programs", func(t *testing.T) {
		m.T = t
		if out := m.must("kubelet", "--version"); out != "Kubernetes v"+host.version+"\n" {
			t.Errorf("kubelet says %q", out)
		}
		if out := m.must("kubeadm", "version", "-o", "short"); out != "v"+host.version+"\n" {
			t.Errorf("kubeadm says %q", out)
		}
		m.must("systemd-analyze", "verify", "kubelet.service")
		if fstab, _ := os.ReadFile(filepath.Join(m.root, "etc/fstab")); !strings.HasPrefix(string(fstab), "UUID=1 /") || !strings.Contains(string(fstab), "\n# no swap on a node: /swap.img") {
			t.Errorf("fstab is\n%s", fstab)
		}
		// No KVM in a chroot: the join must not go on.
		if out, ok := m.run("kata-check"); ok || !strings.Contains(out, "kata-check: ") {
			t.Errorf("kata-check ends well (%v) where there is no KVM: %s", ok, out)
		}
	})
	t.Run("kernel", func(t *testing.T) {
		m.T = t
		// What is left of one that was removed does not count.
		m.write("lib/modules/1.1.1/modules.builtin.bin", "", 0o644)
		m.mustPrepare(args...)
		m.write("boot/vmlinuz-9.9.9", "", 0o644)
		m.refuses("kernel: kernel 9.9.9 has no module overlay", args...)
		m.must("rm", "-r", "/lib/modules/1.1.1", "/boot/vmlinuz-9.9.9")
	})
	t.Run("containerd", func(t *testing.T) { m.T = t; testContainerd(m) })
	t.Run("fence", func(t *testing.T) { m.T = t; testFence(m, args) })
	t.Run("AppArmor", func(t *testing.T) { m.T = t; testAppArmor(m, args) })
	t.Run("damage", func(t *testing.T) { m.T = t; testDamage(m, args) })
	t.Run("joined", func(t *testing.T) { m.T = t; testJoined(m, args) })
	t.Run("seal", func(t *testing.T) { m.T = t; testSeal(m, args) })
}

// testContainerd starts the real one.
func testContainerd(m *machine) {
	out := m.must("bash", "-c", `set -e
mount -t tmpfs tmpfs /run
mkdir -p /var/lib/containerd
mount -t tmpfs tmpfs /var/lib/containerd
containerd >/run/log 2>&1 &
until ctr version >/dev/null 2>&1; do kill -0 $! || { cat /run/log; exit 1; }; done
ctr plugins ls
containerd config dump`)
	crip := false
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == "io.containerd.grpc.v1" && f[1] == "cri" && f[3] == "ok" {
			crip = true
		}
	}
	if !crip {
		m.Errorf("the CRI plugin does not run:\n%s", out)
	}
	for _, want := range []string{"SystemdCgroup = true", `runtime_type = "io.containerd.kata.v2"`, `ConfigPath = "/etc/kata-containers/configuration.toml"`, `"/opt/cni/bin"`} {
		if !strings.Contains(strings.ReplaceAll(out, "'", `"`), want) {
			m.Errorf("containerd does not have %s", want)
		}
	}
}

// testFence installs the watchdog, which starts with the machine, and removes it.
func testFence(m *machine, args []string) {
	with := newMachine(m.T, m.root)
	without, args := args, append(slices.Clone(args), "--fence-after=80", "--fence-witnesses=10.0.0.9:22")
	for range 2 {
		if out := with.mustPrepare(args...); !strings.Contains(out, "\nprepare-node: ok     fence") {
			m.Errorf("no word of it:\n%s", out)
		}
	}
	with.must("systemd-analyze", "verify", "torikumi-fence.service")
	if out := with.must("systemctl", "is-enabled", "torikumi-fence"); out != "enabled\n" {
		m.Errorf("it is %s", out)
	}
	with.refuses("fence: ", append(slices.Clone(args), "--check", "--fence-after=90")...)
	if out := with.mustPrepare(without...); !strings.Contains(out, "fence: torikumi-fence is installed, and --fence-after is not given") || !strings.Contains(out, "ok     fence") {
		m.Errorf("no word of its removal:\n%s", out)
	}
	if out, there := with.run("systemctl", "is-enabled", "torikumi-fence"); there {
		m.Errorf("it is %s", out)
	}
	if out := with.mustPrepare(without...); strings.Contains(out, "fence") {
		m.Errorf("again:\n%s", out)
	}
}

// testAppArmor is a machine whose AppArmor confines runc, as that of Ubuntu 24.04
// does, with a containerd of before.
func testAppArmor(m *machine, args []string) {
	with := newMachine(m.T, m.root)
	with.write("etc/apparmor.d/runc", "profile runc /usr/sbin/runc flags=(unconfined) {}\n", 0o644)
	if suiteOf(m) == "bookworm" {
		with.refuses("containerd: AppArmor confines runc", args...)
		with.must("sh", "-c", "mkdir -p /etc/apparmor.d/disable && ln -s /etc/apparmor.d/runc /etc/apparmor.d/disable/")
	}
	with.mustPrepare(args...)
	with.write("usr/local/sbin/runc", "#!/bin/sh\necho runc version 1.1.7\n", 0o755)
	with.mustPrepare(args...) // Debian mends under old numbers
	with.write("etc/ubuntu", "ID=ubuntu\nVERSION_ID=\"24.04\"\n", 0o644)
	out, err := with.command([]string{"SYSTEMD_OS_RELEASE=/etc/ubuntu"}, "/in/prepare-node.sh", "--check", "--kubernetes-version="+host.version).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "FAIL   containerd: runc is 1.1.7: need 1.1.12 or newer") {
		m.Errorf("%v\n%s", err, out)
	}
}

func suiteOf(m *machine) string {
	release, _ := os.ReadFile(filepath.Join(m.root, "etc/os-release"))
	if strings.Contains(string(release), "bookworm") {
		return "bookworm"
	}
	return "trixie"
}

// TestContainerd2 prepares a machine that has containerd 2.x, of no package: with a
// configuration of its version, which it runs with.
func TestContainerd2(t *testing.T) {
	t.Parallel()
	m := newMachine(t, debian(t, "bookworm"))
	dir, err := containerd2()
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"containerd", "ctr", "containerd-shim-runc-v2"} {
		m.handOver(filepath.Join(dir, program), program)
		m.must("install", "-m", "755", "/in/"+program, "/usr/local/bin/"+program)
	}
	m.write("etc/systemd/system/containerd.service", "[Service]\nExecStart=/usr/local/bin/containerd\nType=notify\nDelegate=yes\nKillMode=process\n[Install]\nWantedBy=multi-user.target\n", 0o644)
	m.write("etc/apparmor.d/runc", "profile runc /usr/sbin/runc flags=(unconfined) {}\n", 0o644)
	args := kata{}.pack(m, "kata.tar.zst")
	for range 2 {
		m.mustPrepare(args...)
	}
	if m.exists("usr/bin/containerd") {
		t.Error("Debian's is installed beside it")
	}
	config, err := os.ReadFile(filepath.Join(m.root, "etc/containerd/config.toml"))
	if err != nil || !strings.Contains(string(config), "\nversion = 3\n") || strings.Contains(string(config), "io.containerd.grpc.v1.cri") {
		t.Errorf("%v\n%s", err, config)
	}
	if out := m.must("containerd", "config", "dump"); strings.Contains(out, "unknown key") {
		t.Error(out)
	}
	testContainerd(m)
	// An image that was made with containerd 1 gets the other text with the next run.
	m.must("rm", "/usr/local/bin/containerd", "/usr/local/bin/ctr", "/usr/local/bin/containerd-shim-runc-v2", "/etc/apparmor.d/runc", "/etc/systemd/system/containerd.service")
	m.mustPrepare(args...)
	if config, _ := os.ReadFile(filepath.Join(m.root, "etc/containerd/config.toml")); !strings.Contains(string(config), "\nversion = 2\n") {
		t.Errorf("%s", config)
	}
	testContainerd(m)
}

// testDamage breaks one thing after the other, each of which --check has to
// name, and all of which the next run repairs.
func testDamage(m *machine, args []string) {
	before := m.tree(false)
	for _, d := range []struct{ step, damage, says string }{
		{"packages", "dpkg --force-depends -r conntrack", "package conntrack is not installed"},
		{"packages", "apt-mark unhold containerd", "package containerd is not held"},
		{"packages", "apt-mark unhold runc", "package runc is not held"},
		{"upgrades", "systemctl unmask apt-daily-upgrade.timer", "apt-daily-upgrade.timer is not masked"},
		{"upgrades", "rm /etc/apt/apt.conf.d/99torikumi", "/etc/apt/apt.conf.d/99torikumi is not"},
		{"modules", "rm /etc/modules-load.d/torikumi.conf", "/etc/modules-load.d/torikumi.conf is not"},
		{"sysctl", "sed -i s/1$/0/ /etc/sysctl.d/99-torikumi.conf", "/etc/sysctl.d/99-torikumi.conf is not"},
		{"swap", "systemctl unmask swap.target", "swap.target is not masked"},
		{"swap", "printf '/dev/sdb1\\tnone\\tswap\\tsw\\t0\\t0\\n' >>/etc/fstab", "/etc/fstab has swap"},
		{"kubernetes", "systemctl enable kubelet", "the kubelet is not disabled"},
		{"kubernetes", "rm /opt/cni/bin/loopback", "no CNI plugins"},
		{"kubernetes", "sed -i /default/d /etc/systemd/system/kubelet.service", "does not read /etc/default/kubelet"},
		{"kubernetes", "printf '#!/bin/sh\necho Kubernetes v1.33.0\n' >/usr/local/bin/kubelet", "kubelet is 1.33.0, not"},
		{"kata", "echo x >>/etc/kata-containers/configuration.toml", "configuration.toml is not"},
		{"kata", "ln -sf /bin/true /usr/local/bin/containerd-shim-kata-v2", "containerd-shim-kata-v2 is not that of"},
		{"kata", "mkdir /opt/.kata.old", "left of an interrupted run"},
		{"kata", "truncate -s 5 /opt/kata/bin/qemu-system-x86_64", "/opt/kata is damaged"},
		{"containerd", "systemctl disable containerd", "containerd is not enabled"},
		{"containerd", "sed -i s/kata]/cata]/ /etc/containerd/config.toml", "/etc/containerd/config.toml is not"},
	} {
		m.must("sh", "-c", d.damage)
		out, ok := m.run("/in/prepare-node.sh", "--check", "--kubernetes-version="+host.version)
		if want := "FAIL   " + d.step + ": "; ok || !strings.Contains(out, want) || !strings.Contains(out, d.says) {
			m.Errorf("%s: --check succeeds: %v, want %s…%s… in\n%s", d.damage, ok, want, d.says, out)
		}
		if _, repaired := m.prepare(args...); !repaired {
			m.Errorf("%s: is not repaired", d.damage)
		}
	}
	after := m.tree(false)
	// These tell what happened, or of a line that is still there as a comment.
	for _, tree := range []map[string]string{before, after} {
		for name := range tree {
			if history(name) || name == "etc/fstab" {
				delete(tree, name)
			}
		}
	}
	same(m.T, before, after)
}

// history tells files that say how often and when packages were installed.
func history(name string) bool {
	for _, dir := range []string{"var/log/", "var/cache/", "var/lib/apt/", "var/lib/dpkg/status", "var/lib/dpkg/available", "var/lib/dpkg/diversions-old", "var/lib/dpkg/triggers/", "var/lib/dpkg/lock", "etc/ld.so.cache"} {
		if strings.HasPrefix(name, dir) {
			return true
		}
	}
	return false
}

// testJoined prepares a node that plays.
func testJoined(m *machine, args []string) {
	joined := newMachine(m.T, m.root)
	joined.write("etc/kubernetes/kubelet.conf", "a kubeconfig", 0o600)
	joined.must("systemctl", "enable", "kubelet")
	joined.mustPrepare(args...)
	if out := joined.must("systemctl", "is-enabled", "kubelet"); out != "enabled\n" {
		m.Errorf("the kubelet of a node that has joined is %s", out)
	}
	joined.refuses("seal: this node has joined", append(args, "--seal")...)
	out, ok := joined.run(append([]string{"/in/prepare-node.sh", "--kubernetes-version=1.33.0", "--kubernetes-from=/in/kubernetes"}, args...)...)
	if ok || !strings.Contains(out, "has joined with kubelet "+host.version+": upgrade it with kubeadm") {
		m.Errorf("another version on a node that has joined: %v\n%s", ok, out)
	}
}

func testSeal(m *machine, args []string) {
	args = append(args, "--seal")
	m.write("etc/wireguard/wg0.conf", "PrivateKey = x\n", 0o600)
	m.refuses("seal: would be secret, and is in the image: /etc/wireguard/wg0.conf", args...)
	if err := os.RemoveAll(filepath.Join(m.root, "etc/wireguard")); err != nil {
		m.Fatal(err)
	}
	traces := []string{"root/.bash_history", "root/.ssh/authorized_keys", "home/admin/.ssh/id_ed25519", "home/admin/.kube/config",
		"var/lib/tailscale/tailscaled.state", "var/lib/cloud/instance/user-data.txt", "etc/ssh/ssh_host_x_key"}
	for _, name := range traces {
		m.write(name, "secret", 0o600)
	}
	m.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444)
	if out, ok := m.run("/in/prepare-node.sh", "--check", "--seal"); ok || !strings.Contains(out, "FAIL   seal: is left") {
		m.Errorf("--check --seal of an unsealed machine: %v\n%s", ok, out)
	}
	m.mustPrepare(args...)
	before := m.tree(true)
	m.mustPrepare(args...)
	m.must("/in/prepare-node.sh", "--check", "--seal")
	same(m.T, before, m.tree(true))
	for _, name := range traces {
		if m.exists(name) {
			m.Errorf("%s is in the image", name)
		}
	}
	if keys, _ := filepath.Glob(filepath.Join(m.root, "etc/ssh/ssh_host_*")); len(keys) > 0 {
		m.Errorf("host keys are in the image: %q", keys)
	}
	if id, err := os.ReadFile(filepath.Join(m.root, "etc/machine-id")); err != nil || len(id) > 0 {
		m.Errorf("machine-id: %q, %v", id, err)
	}
	if logs, _ := os.ReadFile(filepath.Join(m.root, "var/log/dpkg.log")); len(logs) > 0 {
		m.Error("the log is in the image")
	}
}

// TestKataRefused offers tarballs that must not be installed.
func TestKataRefused(t *testing.T) {
	t.Parallel()
	m := newMachine(t, debian(t, "bookworm"))
	good := kata{}.pack(m, "good.tar.zst")
	m.refuses("kata: the sha256 of /in/good.tar.zst is "+good[1][len("--kata-sha256="):]+", not 0000", good[0], "--kata-sha256="+strings.Repeat("0", 64))

	// Cut off, and its checksum taken afterwards.
	half, err := os.ReadFile(filepath.Join(m.root, "in/good.tar.zst"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "half")
	if err := os.WriteFile(file, half[:len(half)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	m.refuses("kata: /in/half.tar.zst does not unpack", handOverKata(m, file, "half.tar.zst")...)
	if err := os.WriteFile(file, []byte("<html>not found</html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.refuses("kata: /in/html does not unpack", handOverKata(m, file, "html")...)
	m.refuses("has no opt/kata/bin/containerd-shim-kata-v2",
		kata{more: map[string]string{"opt/kata/bin/containerd-shim-kata-v2": ""}}.pack(m, "shimless.tar.zst")...)
	if m.exists("opt/kata") || m.exists("opt/.kata.new") {
		t.Error("what was refused is there")
	}
	const configuration = "opt/kata/share/defaults/kata-containers/configuration-qemu.toml"
	for want, k := range map[string]kata{
		"is not the Go runtime":                         {shim: strings.Replace(goShim, "Golang", "Rust", 1)},
		"need Kata 3 or newer":                          {shim: strings.Replace(goShim, "3.99.0", "2.5.2", 1)},
		"the configuration names /opt/kata/bin/qemu-sy": {more: map[string]string{"opt/kata/bin/qemu-system-x86_64": ""}},
		"the configuration is not QEMU's":               {more: map[string]string{configuration: "[hypervisor.clh]\n"}},
		"configuration-qemu.toml":                       {more: map[string]string{configuration: ""}},
	} {
		m.refuses(want, k.pack(m, "odd.tar.zst")...)
	}
	// And after all that a good one is, and replaces what is there.
	m.mustPrepare(good...)
}

// TestWithoutKata makes a node without, and then one with it.
func TestWithoutKata(t *testing.T) {
	t.Parallel()
	m := newMachine(t, debian(t, "bookworm"))
	m.mustPrepare("--without-kata")
	m.must("/in/prepare-node.sh", "--check", "--without-kata")
	if out := m.must("containerd", "config", "dump"); strings.Contains(out, "kata") || m.exists("usr/local/bin/kata-check") {
		t.Error("there is Kata")
	}
	m.mustPrepare(kata{}.pack(m, "kata.tar.zst")...)
	m.must("/in/prepare-node.sh", "--check")
}

// TestInterrupted pulls the plug and goes on, again and again. The result has
// to be that of one run.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	once := newMachine(t, debian(t, "bookworm"))
	args := append(kata{bytes: 128 << 20}.pack(once, "kata.tar.zst"), "--seal")
	once.mustPrepare(args...)
	// apt may write its marks in another order.
	without := []string{"var/lib/dpkg/*-old", "var/cache", "var/lib/apt/extended_states"}
	want, marks := once.tree(false, without...), once.must("apt-mark", "showmanual")

	verify := func(t *testing.T, m *machine) {
		t.Helper()
		m.mustPrepare(args...)
		same(t, want, m.tree(false, without...))
		if got := m.must("apt-mark", "showmanual"); got != marks {
			t.Errorf("not installed for others' sake are\n%s\nwant\n%s", got, marks)
		}
	}
	fresh := func(t *testing.T) *machine {
		m := newMachine(t, debian(t, "bookworm"))
		m.handOver(filepath.Join(once.root, "in/kata.tar.zst"), "kata.tar.zst")
		return m
	}

	wrapped := []string{"PATH=/in/wrap:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

	// Where it hurts most.
	t.Run("in the middle", func(t *testing.T) {
		t.Parallel()
		m := fresh(t)
		for _, point := range []struct {
			text string
			file string
		}{
			{text: "Unpacking containerd"},
			{text: "Setting up iptables"},
			{file: "in/stopped"}, // by the mv of .kubelet.new
			{file: "opt/.kata.new/opt/kata/share/kata-containers/guest.img"},
			{text: "containerd: "},
			{text: "seal: "},
		} {
			var reached func() bool
			if point.file != "" {
				reached = func() bool { return m.exists(point.file) }
			}
			if point.file == "in/stopped" {
				m.write("in/wrap/mv", `#!/bin/bash
[[ $* != */.kubelet.new* ]] || { : >/in/stopped; exec /bin/sleep infinity; }
exec /usr/bin/mv "$@"
`, 0o755)
			}
			if !m.killAt(point.text, reached, wrapped, args...) {
				t.Errorf("never came to %+v", point)
			}
			_ = os.Remove(filepath.Join(m.root, "in/wrap/mv"))
		}
		verify(t, m)
	})

	// Before its n-th call of a program that changes something; packages'
	// own scripts are counted too.
	t.Run("numbered", func(t *testing.T) {
		t.Parallel()
		m := fresh(t)
		for _, name := range []string{"apt-get", "chmod", "cp", "curl", "dpkg", "install", "ln", "mkdir", "mv", "rm", "sed", "systemctl", "tar", "truncate"} {
			m.write("in/wrap/"+name, fmt.Sprintf(`#!/bin/bash
n=$(($(cat /in/calls) + 1))
echo $n >/in/calls
[ $n -lt "$(cat /in/stop)" ] || { : >/in/stopped; exec /bin/sleep infinity; }
PATH=${PATH#/in/wrap:} exec %s "$@"
`, name), 0o755)
		}
		var points []int
		for stop := 1; ; stop += 1 + stop/3 {
			m.write("in/stop", strconv.Itoa(stop), 0o644)
			m.write("in/calls", "0", 0o644)
			_ = os.Remove(filepath.Join(m.root, "in/stopped"))
			if !m.killAt("", func() bool { return m.exists("in/stopped") }, wrapped, args...) {
				break
			}
			points = append(points, stop)
		}
		t.Logf("killed before the calls %v", points)
		if len(points) < 5 || !slices.IsSorted(points) {
			t.Errorf("only %d interruptions", len(points))
		}
		verify(t, m)
	})
}

// TestShellcheck is here because it is a Debian package.
func TestShellcheck(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "shellcheck", script, "../examples/tailscale/hook.sh").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, file := range []string{"/usr/local/bin/kata-check", "/usr/local/bin/torikumi-fence"} {
		check := exec.CommandContext(t.Context(), "shellcheck", "-")
		check.Stdin = strings.NewReader(printed(t, file))
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
