package join_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"torikumi/failover/internal/join"
)

var update = flag.Bool("update", false, "write the scripts into testdata")

func params() join.Params {
	return join.Params{
		Node: "gcp-temp-worker-1-3d3b8057", ProviderID: "gce://studio/europe-west4-a/gcp-temp-worker-1-3d3b8057",
		Endpoint: "203.0.113.5:6443", Token: "abcdef.0123456789abcdef", CAHash: "sha256:" + strings.Repeat("ab", 32),
		Labels:        map[string]string{"node-type": "gcp-temporary", "node-location": "gcp", "hardware": "game-runner"},
		ExternalCloud: true,
	}
}

func full() join.Params {
	p := params()
	p.Taints = []string{"torikumi/new=true:NoSchedule"}
	p.NodeIP = "$(tailscale ip -4)"
	p.Hook = "set -e\ntailscale up --auth-key=\"$(cat /etc/key)\" --hostname='it''s me'\n"
	p.RequireKata = true
	return p
}

func script(t *testing.T, p join.Params) string {
	t.Helper()
	s, err := join.Script(p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScripts(t *testing.T) {
	bare := params()
	bare.ExternalCloud, bare.ProviderID, bare.Labels = false, "", nil
	for name, p := range map[string]join.Params{"plain": params(), "full": full(), "bare": bare} {
		t.Run(name, func(t *testing.T) {
			got := script(t, p)
			check := exec.Command("bash", "-n")
			check.Stdin = strings.NewReader(got)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("bash -n: %v\n%s", err, out)
			}
			shellcheck(t, "bash", got)
			golden := filepath.Join("testdata", name+".sh")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestScriptRefuses(t *testing.T) {
	for name, change := range map[string]func(*join.Params){
		"no token":    func(p *join.Params) { p.Token = "" },
		"no node":     func(p *join.Params) { p.Node = "" },
		"no CA hash":  func(p *join.Params) { p.CAHash = "" },
		"line break":  func(p *join.Params) { p.ProviderID = "gce://a\nrm -rf /" },
		"no endpoint": func(p *join.Params) { p.Endpoint = "" },
		"a label that is a flag": func(p *join.Params) {
			p.Labels = map[string]string{"hardware": "x --anonymous-auth=true"}
		},
		"a label that ends the line": func(p *join.Params) {
			p.Labels = map[string]string{"hardware": "x\"\nKUBELET_KUBEADM_ARGS=\"--anonymous-auth=true"}
		},
		"a key that is none": func(p *join.Params) { p.Labels = map[string]string{"a b": "c"} },
		"a taint that is a flag": func(p *join.Params) {
			p.Taints = []string{"a=b:NoSchedule --anonymous-auth=true"}
		},
	} {
		p := params()
		change(&p)
		if _, err := join.Script(p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// machine is a root directory with stand-ins for kubeadm and systemctl that
// note their calls; scripts run on it with their absolute paths moved there.
type machine struct {
	*testing.T
	root string
}

func newMachine(t *testing.T, kubeadm string) *machine {
	m := &machine{t, t.TempDir()}
	for _, dir := range []string{"bin", "etc/default", "etc/kubernetes/pki", "dev", "proc/net"} {
		if err := os.MkdirAll(filepath.Join(m.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.program("kubeadm", kubeadm)
	m.program("systemctl", "")
	m.program("sleep", "")
	m.program("tailscale", `[ "$1" = ip ] && echo 100.64.0.7; true`)
	m.program("kata-check", "")
	m.program("nft", "cat >"+m.root+"/rules")
	m.write("proc/net/if_inet6")
	return m
}

func (m *machine) program(name, body string) {
	text := fmt.Sprintf("#!/bin/bash\necho %s \"$@\" >>%s/calls\n%s\n", name, m.root, body)
	if err := os.WriteFile(filepath.Join(m.root, "bin", name), []byte(text), 0o755); err != nil {
		m.Fatal(err)
	}
}

// run runs the script from a file, as Compute Engine does.
func (m *machine) run(p join.Params, name string) (string, error) {
	if err := os.WriteFile(filepath.Join(m.root, name), []byte(m.script(p)), 0o755); err != nil {
		m.Fatal(err)
	}
	cmd := exec.Command("bash", filepath.Join(m.root, name))
	cmd.Env = []string{"PATH=" + m.root + "/bin:/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) script(p join.Params) string {
	return regexp.MustCompile(`(^|[\s=])/(etc|dev|proc)/`).ReplaceAllString(script(m.T, p), "${1}"+m.root+"/${2}/")
}

func (m *machine) boot(p join.Params) (string, error) {
	cmd := exec.Command("bash", "-c", m.script(p))
	cmd.Env = []string{"PATH=" + m.root + "/bin:/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (m *machine) read(name string) string {
	data, _ := os.ReadFile(filepath.Join(m.root, name))
	return string(data)
}

// shellcheck looks at a script, if it is installed.
func shellcheck(t *testing.T, shell, text string) {
	t.Helper()
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Log("shellcheck is not installed")
		return
	}
	cmd := exec.Command("shellcheck", "--shell="+shell, "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}

// Pods are kept from the metadata server before the kubelet starts, at each boot.
// Without any tool for it the machine says so, and joins: it stands in for a dead
// one.
func TestScriptClosesMetadata(t *testing.T) {
	for _, tool := range []string{"nft", "iptables", "none"} {
		t.Run(tool, func(t *testing.T) {
			m := newMachine(t, "")
			m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
			if tool != "nft" {
				m.program("nft", "cat >/dev/null; exit 1")
			}
			for _, name := range []string{"iptables", "ip6tables"} {
				m.program(name, map[string]string{"nft": "exit 9", "iptables": "", "none": "exit 3"}[tool])
			}
			out, err := m.boot(params())
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			calls := m.read("calls")
			closed := strings.Contains(m.read("rules"), "ip daddr 169.254.169.254 drop") && strings.Contains(m.read("rules"), "ip6 daddr { fd20:ce::254,fd00:ec2::254 } drop") ||
				strings.Contains(calls, "iptables -w -t mangle -A TORIKUMI-METADATA -d 169.254.169.254 -j DROP") && strings.Contains(calls, "ip6tables -w -t mangle -A TORIKUMI-METADATA -d fd20:ce::254 -j DROP")
			if warned := strings.Contains(out, "WARNING: pods can reach the metadata server"); closed == (tool == "none") || warned == closed {
				t.Errorf("closed %v, warned %v\n%s\n%s", closed, warned, out, calls)
			}
			if labelled := strings.Contains(m.read("etc/default/kubelet"), ","+join.MetadataOpenLabel+"=true"); labelled != (tool == "none") {
				t.Errorf("labelled %v: %s", labelled, m.read("etc/default/kubelet"))
			}
			if before, _, ok := strings.Cut(calls, "kubeadm join"); !ok || tool != "none" && !strings.Contains(before, tool) {
				t.Errorf("not before the join:\n%s", calls)
			}
			if unit := m.read("etc/systemd/system/kubelet.service.d/05-torikumi-metadata.conf"); !strings.Contains(unit, "ExecStartPre=-/bin/sh "+m.root+"/etc/torikumi/no-metadata") {
				t.Errorf("%q", unit)
			}
		})
	}
}

// A machine whose cloud forgets its script starts from a copy of it, and makes no copy
// of that.
func TestScriptKeepsACopy(t *testing.T) {
	m := newMachine(t, "")
	m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
	p := full()
	p.KeepCopy = true
	shellcheck(t, "bash", script(t, p))
	if out, err := m.run(p, "startup-script"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got, want := m.read("etc/torikumi/join"), m.read("startup-script"); got != want || got == "" {
		t.Errorf("the copy is\n%s", got)
	}
	if info, err := os.Stat(filepath.Join(m.root, "etc/torikumi/join")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may read it: %v %v", info, err)
	}
	unit := m.read("etc/systemd/system/torikumi-join.service")
	if !strings.Contains(unit, "ExecStart=/bin/bash "+m.root+"/etc/torikumi/join\n") || !strings.Contains(unit, "ExecCondition=") || !strings.Contains(m.read("calls"), "systemctl enable torikumi-join.service") {
		t.Errorf("it is not run at each boot: %s", unit)
	}
	cmd := exec.Command("bash", filepath.Join(m.root, "etc/torikumi/join"))
	cmd.Env = []string{"PATH=" + m.root + "/bin:/usr/bin:/bin"}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "has joined before") || strings.Count(m.read("calls"), "tailscale up") != 2 {
		t.Errorf("the copy: %v\n%s", err, out)
	}
	const label = join.ScriptKeptLabel + "=true"
	if got := m.read("etc/default/kubelet"); strings.Count(got, label) != 1 {
		t.Errorf("its Node does not say that it keeps a copy: %s", got)
	}
	for name, break_ := range map[string]func(*machine){
		"no room":       func(m *machine) { m.program("install", "exit 1") },
		"not at a boot": func(m *machine) { m.program("systemctl", `[ "$1 $2" != "enable torikumi-join.service" ]`) },
	} {
		m := newMachine(t, "")
		m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
		break_(m)
		if out, err := m.run(p, "startup-script"); err != nil || !strings.Contains(out, "torikumi-join: WARNING: keeps no copy") || strings.Contains(m.read("etc/default/kubelet"), label) {
			t.Errorf("%s: %v\n%s%s", name, err, out, m.read("etc/default/kubelet"))
		}
	}
	m = newMachine(t, "")
	m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
	if out, err := m.boot(p); err != nil || strings.Contains(m.read("etc/default/kubelet"), label) {
		t.Errorf("run from no file: %v\n%s", err, out)
	}
	plain := newMachine(t, "")
	plain.program("kubeadm", fmt.Sprintf(joins, plain.root, plain.root))
	if out, err := plain.run(params(), "startup-script"); err != nil || plain.read("etc/torikumi/join") != "" {
		t.Errorf("a copy where nobody asks for it: %v\n%s", err, out)
	}
}

// What the image starts its kubelet with is kept, at each boot as at the first.
func TestScriptKeepsKubeletArgs(t *testing.T) {
	m := newMachine(t, "")
	m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
	if err := os.WriteFile(filepath.Join(m.root, "etc/default/kubelet"), []byte("# of the image\nGOGC=50\nKUBELET_EXTRA_ARGS='--max-pods=60'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := params()
	p.KubeletArgs = "--max-pods=70 --eviction-hard=memory.available<200Mi"
	const want = "# of the image\nGOGC=50\n" + `KUBELET_EXTRA_ARGS="--max-pods=60 --max-pods=70 --eviction-hard=memory.available<200Mi --hostname-override=`
	for boot := range 3 {
		if out, err := m.boot(p); err != nil {
			t.Fatalf("boot %d: %v\n%s", boot, err, out)
		}
		if got := m.read("etc/default/kubelet"); !strings.HasPrefix(got, want) || strings.Count(got, "hostname-override") != 1 {
			t.Fatalf("boot %d: %q", boot, got)
		}
	}
	for _, wrong := range []string{"max-pods=60", `--a="b"`, "--a=$(reboot)", "--a=b\n--c=d", "--a  --b", "--a=b;"} {
		p.KubeletArgs = wrong
		if _, err := join.Script(p); err == nil {
			t.Errorf("%q is accepted", wrong)
		}
	}
}

const joins = `if [ "$1" = join ]; then cp "$3" %s/config; echo k >%s/etc/kubernetes/kubelet.conf; fi`

func TestScriptJoinsOnce(t *testing.T) {
	m := newMachine(t, "")
	m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
	for boot := range 3 {
		if out, err := m.boot(full()); err != nil {
			t.Fatalf("boot %d: %v\n%s", boot, err, out)
		}
	}
	calls := m.read("calls")
	if n := strings.Count(calls, "kubeadm join"); n != 1 {
		t.Errorf("%d joins:\n%s", n, calls)
	}
	if n := strings.Count(calls, "tailscale up"); n != 3 {
		t.Errorf("the hook ran %d times in 3 boots", n)
	}
	if strings.Contains(calls, "0123456789abcdef") {
		t.Error("the token's secret is on a command line")
	}
	want := `KUBELET_EXTRA_ARGS="--hostname-override=gcp-temp-worker-1-3d3b8057 --cloud-provider=external --provider-id=gce://studio/europe-west4-a/gcp-temp-worker-1-3d3b8057 --node-labels=hardware=game-runner,node-location=gcp,node-type=gcp-temporary --register-with-taints=torikumi/new=true:NoSchedule --node-ip=100.64.0.7"`
	if diff := cmp.Diff(want+"\n", m.read("etc/default/kubelet")); diff != "" {
		t.Error(diff)
	}
	if c := m.read("config"); !strings.Contains(c, `token: "abcdef.0123456789abcdef"`) || !strings.Contains(c, `caCertHashes`) {
		t.Errorf("the join's configuration: %s", c)
	}
}

// What is open, and no more, is said where iptables has no counterpart for IPv6.
func TestScriptWithoutIP6Tables(t *testing.T) {
	for name, want := range map[string]bool{"IPv6": true, "no IPv6": false} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, "")
			m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
			m.program("nft", "cat >/dev/null; exit 1")
			m.program("iptables", "")
			m.program("ip6tables", "exit 127")
			if !want {
				if err := os.Remove(filepath.Join(m.root, "proc/net/if_inet6")); err != nil {
					t.Fatal(err)
				}
			}
			out, err := m.boot(params())
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if calls := m.read("calls"); !strings.Contains(calls, "iptables -w -t mangle -A TORIKUMI-METADATA -d 169.254.169.254 -j DROP") {
				t.Errorf("IPv4 is open:\n%s", calls)
			}
			if strings.Contains(out, "WARNING: pods may reach the metadata server by IPv6: neither nft nor ip6tables") != want || strings.Contains(out, "WARNING") != want {
				t.Error(out)
			}
		})
	}
}

// A reboot in the middle of a join, and a new address after another.
func TestScriptSurvivesReboots(t *testing.T) {
	m := newMachine(t, "")
	m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
	if err := os.WriteFile(filepath.Join(m.root, "etc/kubernetes/bootstrap-kubelet.conf"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := m.boot(full()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if calls := m.read("calls"); !strings.Contains(calls, "kubeadm reset") {
		t.Errorf("the interrupted join was not cleared away:\n%s", calls)
	}
	m.program("tailscale", `[ "$1" = ip ] && echo 100.64.0.8; true`)
	if out, err := m.boot(full()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if calls := m.read("calls"); !strings.Contains(calls, "systemctl restart kubelet") {
		t.Errorf("the kubelet does not know of its new address:\n%s", calls)
	}
}

func TestScriptFails(t *testing.T) {
	p := full()
	for name, break_ := range map[string]func(*machine){
		"kubeadm":                               func(m *machine) { m.program("kubeadm", `[ "$1" != join ]`) },
		"hook":                                  func(m *machine) { m.program("tailscale", `exit 3`) },
		"kata":                                  func(m *machine) { m.program("kata-check", "exit 1") },
		"of the startup script ended with 7":    func(m *machine) { m.program("mktemp", "exit 7") }, // nobody expects that
		"no address":                            func(m *machine) { m.program("tailscale", `true`) },
		"--node-ip: the command ended with 4":   func(m *machine) { m.program("tailscale", `[ "$1" != ip ] || exit 4`) },
		"--node-ip: the command prints nothing": func(m *machine) { m.program("tailscale", `true`) },
		"--node-ip: must be one address, the command prints: Logged out.": func(m *machine) { m.program("tailscale", `echo Logged out.`) },
		"must be one address, the command prints: 100.64.0.7 fd7a::7":     func(m *machine) { m.program("tailscale", `printf '100.64.0.7\nfd7a::7\n'`) },
	} {
		m := newMachine(t, "")
		break_(m)
		if out, err := m.boot(p); err == nil || !strings.Contains(out, "torikumi-join: FAILED") || (strings.Contains(name, "--") || strings.Contains(name, " script ")) && !strings.Contains(out, name) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		// It goes, but not if it has games.
		if calls := m.read("calls"); !strings.HasSuffix(calls, "systemctl poweroff\n") {
			t.Errorf("%s: it stays:\n%s", name, calls)
		}
		if name == "kubeadm" {
			continue
		}
		m.write("calls")
		if err := os.WriteFile(filepath.Join(m.root, "etc/kubernetes/kubelet.conf"), []byte("k"), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := m.boot(p); err == nil || strings.Contains(m.read("calls"), "poweroff") {
			t.Errorf("%s: at a later boot: %v\n%s", name, err, out)
		}
	}
}

func TestTokens(t *testing.T) {
	id, secret := join.NewTokenID(), join.NewTokenSecret()
	if !regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`).MatchString(id + "." + secret) {
		t.Errorf("%s.%s is no bootstrap token", id, secret)
	}
	s := join.TokenSecret(id, secret, join.TokenGroup, "n", time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)))
	if s.Name != "bootstrap-token-"+id || s.Namespace != "kube-system" || s.StringData["expiration"] != "2026-01-02T02:04:05Z" || s.StringData["auth-extra-groups"] != join.TokenGroup {
		t.Errorf("%+v", s)
	}
}

func clusterInfo(t *testing.T, server string) *corev1.ConfigMap {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return &corev1.ConfigMap{Data: map[string]string{"kubeconfig": fmt.Sprintf(
		"apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    server: %s\n    certificate-authority-data: %s\n", server, ca)}}
}

func TestReadClusterInfo(t *testing.T) {
	for server, want := range map[string]string{"https://10.0.0.1:6443": "10.0.0.1:6443", "https://api.example": "api.example:443"} {
		c, err := join.ReadClusterInfo(clusterInfo(t, server))
		if err != nil || c.Endpoint != want || !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(c.CAHash) {
			t.Errorf("%s: %+v %v", server, c, err)
		}
	}
	for name, cm := range map[string]*corev1.ConfigMap{
		"empty": {}, "no cluster": {Data: map[string]string{"kubeconfig": "clusters: []"}},
		"plain HTTP": clusterInfo(t, "http://10.0.0.1:6443"),
		"no CA":      {Data: map[string]string{"kubeconfig": "clusters: [{cluster: {server: \"https://a:1\"}}]"}},
	} {
		if _, err := join.ReadClusterInfo(cm); !errors.Is(err, join.ErrNoClusterInfo) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The Tailscale example logs in once, with a key that it fetches and shows to
// nobody, and ends the join if there is none.
func TestTailscaleExample(t *testing.T) {
	hook, err := os.ReadFile("../../examples/tailscale/hook.sh")
	if err != nil {
		t.Fatal(err)
	}
	p := full()
	p.Hook = string(hook)
	m := newMachine(t, "")
	m.program("kubeadm", fmt.Sprintf(joins, m.root, m.root))
	m.program("curl", fmt.Sprintf(`case "$*" in
*metadata*) printf '{"access_token": "the-token", "expires_in": 3000}' ;;
*secretmanager*) grep -q "Bearer the-token" || exit 22; [ ! -e %[1]s/no-key ] || exit 22; printf '{\n "payload": {\n  "data": "%[2]s"\n }\n}' ;;
esac`, m.root, "dGhlLWtleQ=="))
	m.program("tailscale", fmt.Sprintf(`case $1 in
up) cat "${2#--auth-key=file:}" >%[1]s/key ;;
ip) [ -e %[1]s/key ] && echo 100.64.0.7 ;;
esac`, m.root))
	m.write("no-key")
	if out, err := m.boot(p); err == nil || strings.Contains(m.read("calls"), "kubeadm join") {
		t.Errorf("it joins without a key: %s", out)
	}
	if err := os.Remove(filepath.Join(m.root, "no-key")); err != nil {
		t.Fatal(err)
	}
	for boot := range 2 {
		if out, err := m.boot(p); err != nil {
			t.Fatalf("boot %d: %v\n%s", boot, err, out)
		}
	}
	calls := m.read("calls")
	if n := strings.Count(calls, "tailscale up"); n != 1 || m.read("key") != "the-key" {
		t.Errorf("%d logins, with the key %q:\n%s", n, m.read("key"), calls)
	}
	if strings.Contains(calls, "the-key") || strings.Contains(calls, "the-token") {
		t.Errorf("a secret is on a command line:\n%s", calls)
	}
	if !strings.Contains(m.read("etc/default/kubelet"), "--node-ip=100.64.0.7") {
		t.Errorf("the kubelet's address: %s", m.read("etc/default/kubelet"))
	}
}

func (m *machine) write(name string) {
	if err := os.WriteFile(filepath.Join(m.root, name), nil, 0o644); err != nil {
		m.Fatal(err)
	}
}

func TestMayRegister(t *testing.T) {
	for key, want := range map[string]bool{
		"hardware": true, "studio.example/rack": true, "node.kubernetes.io/instance-type": true, "kubelet.kubernetes.io/x": true, "notkubernetes.io/x": true,
		"node-role.kubernetes.io/worker": false, "kubernetes.io/hostname": false, "k8s.io/x": false, "a.k8s.io/x": false, "x.node.kubernetes.io/a": false,
	} {
		if got := join.MayRegister(key); got != want {
			t.Errorf("%s: %v", key, got)
		}
	}
}
