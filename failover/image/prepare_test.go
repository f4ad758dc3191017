// Package image_test tests the script that prepares nodes. What needs root is
// behind the tag e2e.
package image_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	nodev1 "k8s.io/api/node/v1"
	"sigs.k8s.io/yaml"

	"torikumi/failover/internal/join"
)

const script = "prepare-node.sh"

// prepare runs the script on this machine, which is why it is only ever called
// with what ends before the first change.
func prepare(t *testing.T, env []string, args ...string) (code int, out string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{script}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(output)
}

func TestArguments(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	empty := t.TempDir()
	for name, tt := range map[string]struct {
		env  []string
		args string
		want []string
	}{
		"nothing":         {nil, "", []string{"--kubernetes-version is missing", "--kata-from is missing"}},
		"unknown":         {nil, "--check --kubernets-version=1.34.4", []string{"unknown option --kubernets-version=1.34.4"}},
		"prints nothing":  {nil, "--print=", []string{"unknown option --print="}},
		"no value":        {nil, "--check --seal=1", []string{"unknown option --seal=1"}},
		"old version":     {nil, "--check --kubernetes-version=1.30.9", []string{"--kubernetes-version=1.30.9: must be 1.X.Y and at least 1.31"}},
		"half a version":  {nil, "--check --kubernetes-version=1.34", []string{"--kubernetes-version=1.34: must be"}},
		"injection":       {nil, "--check --kubernetes-version=1.34.4;id", []string{"--kubernetes-version=1.34.4;id: must be"}},
		"environment":     {[]string{"KUBERNETES_VERSION=latest", "KATA_SHA256=x"}, "--check", []string{"--kubernetes-version=latest: must be", "--kata-sha256=x: must be"}},
		"no programs":     {nil, "--check --kubernetes-from=" + empty, []string{"has no program kubeadm", "has no program kubelet"}},
		"two sources":     {nil, "--check --kubernetes-from=" + empty + " --kubernetes-repository=https://a", []string{"exclude each other"}},
		"no checksum":     {nil, "--kubernetes-version=1.34.4 --kata-from=https://a/b", []string{"--kata-sha256 is missing"}},
		"short checksum":  {nil, "--check --kata-sha256=" + sum[1:], []string{"must be 64 digits"}},
		"no such tarball": {nil, "--kubernetes-version=1.34.4 --kata-from=/nope --kata-sha256=" + sum, []string{"--kata-from=/nope: is no file"}},
		"fence too soon":  {nil, "--check --fence-after=10", []string{"--fence-after=10: must be seconds, at least 30"}},
		"fence of no use": {nil, "--check --fence-witnesses=a:1", []string{"are for --fence-after"}},
		"fence injection": {nil, "--check --fence-after=80 --fence-servers=a:1;id", []string{"--fence-servers=a:1;id: must be HOST:PORT"}},
		"API server":      {nil, "--check --api-server-version=34", []string{"--api-server-version=34: must be 1.X.Y"}},
		"both":            {nil, "--check --without-kata --kata-sha256=" + sum, []string{"--without-kata excludes"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out := prepare(t, tt.env, strings.Fields(tt.args)...)
			if code != 2 {
				t.Errorf("ended with %d, want 2", code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("says %q, want %q", out, want)
				}
			}
		})
	}
}

// Every option is in the help, and everything in the help is an option.
func TestHelp(t *testing.T) {
	code, help := prepare(t, nil, "--help")
	if code != 0 || !strings.Contains(help, "needs root") || !strings.Contains(help, "Ubuntu 22.04 or 24.04") {
		t.Fatalf("--help ended with %d: %s", code, help)
	}
	source, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	options := regexp.MustCompile(`(?m)^\t(--[a-z0-9-]+)`).FindAllStringSubmatch(string(source), -1)
	if len(options) < 10 {
		t.Fatalf("found the options %q", options)
	}
	for _, o := range options {
		if o[1] != "--help" && !strings.Contains(help, "  "+o[1]) {
			t.Errorf("%s is not in the help", o[1])
		}
	}
	for _, o := range regexp.MustCompile(`(?m)^  (--[a-z0-9-]+)`).FindAllStringSubmatch(help, -1) {
		if !strings.Contains(string(source), "\n\t"+o[1]) {
			t.Errorf("the help has %s, which is no option", o[1])
		}
	}
}

func TestDistributions(t *testing.T) {
	release := filepath.Join(t.TempDir(), "os-release")
	for content, refused := range map[string]bool{
		"ID=debian\nVERSION_ID=\"12\"\n":    false,
		"ID=debian\nVERSION_ID=\"13\"\n":    false,
		"ID=ubuntu\nVERSION_ID=\"22.04\"\n": false,
		"ID=ubuntu\nVERSION_ID=\"24.04\"\n": false,
		"ID=debian\nVERSION_ID=\"11\"\n":    true,
		"ID=debian\n":                       true, // sid
		"ID=ubuntu\nVERSION_ID=\"20.04\"\n": true,
		"ID=fedora\nVERSION_ID=42\n":        true,
		"":                                  true,
	} {
		if err := os.WriteFile(release, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		_, out := prepare(t, []string{"SYSTEMD_OS_RELEASE=" + release}, "--check")
		if got := strings.Contains(out, "need debian 12 or 13, ubuntu 22.04 or 24.04"); got != refused {
			t.Errorf("%q: refused is %v: %s", content, got, out)
		}
	}
	code, out := prepare(t, []string{"SYSTEMD_OS_RELEASE=" + filepath.Dir(release) + "/none"}, "--check")
	if code != 1 || !strings.Contains(out, "FAIL   system: no os-release") {
		t.Errorf("without os-release it ends with %d: %s", code, out)
	}
}

func printed(t *testing.T, file string, args ...string) string {
	t.Helper()
	code, out := prepare(t, nil, append(args, "--print="+file)...)
	if code != 0 {
		t.Fatalf("--print=%s ended with %d: %s", file, code, out)
	}
	return out
}

// What the script does not write, it prints no line of.
func TestPrintsNoOther(t *testing.T) {
	if code, out := prepare(t, nil, "--print=/etc/foo"); code != 1 || out != "prepare-node: FAILED: this script writes no /etc/foo\n" {
		t.Errorf("ended with %d: %s", code, out)
	}
}

// What the startup script writes and calls is what the image reads and has.
func TestAgreesWithTheJoin(t *testing.T) {
	startup, err := join.Script(join.Params{
		Node: "n", Endpoint: "203.0.113.5:6443", Token: "abcdef.0123456789abcdef", CAHash: "sha256:" + strings.Repeat("ab", 32), RequireKata: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defaults := regexp.MustCompile(`(?m)^DEFAULTS=(\S+)$`).FindStringSubmatch(startup)
	if defaults == nil {
		t.Fatal("the startup script has no DEFAULTS")
	}
	unit := printed(t, "/etc/systemd/system/kubelet.service")
	if !strings.Contains(unit, "\nEnvironmentFile=-"+defaults[1]+"\n") || !strings.Contains(unit, "$KUBELET_EXTRA_ARGS") {
		t.Errorf("the kubelet's unit does not read %s:\n%s", defaults[1], unit)
	}
	if !strings.Contains(startup, "\n\tkata-check ||") {
		t.Error("the startup script does not call kata-check")
	}
	check := exec.CommandContext(t.Context(), "bash", "-n")
	check.Stdin = strings.NewReader(printed(t, "/usr/local/bin/kata-check"))
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("kata-check: %v: %s", err, out)
	}
}

// The configuration is in the version of the containerd that is there.
func TestContainerdVersions(t *testing.T) {
	for says, want := range map[string]string{
		"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3":   "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]",
		"containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da":      "version = 2\n",
		"containerd github.com/containerd/containerd/v2 2.0.0 207ad711eabd375a01713109": "version = 3\n[plugins.\"io.containerd.cri.v1.runtime\".containerd]",
		"containerd containerd.io v2.2.1 dea7da592f5d1d2b7755e3a161be07f43fad8f75":      "version = 3\n",
		"": "version = 2\n",
	} {
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "containerd"), []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, out := prepare(t, []string{"PATH=" + bin + ":" + os.Getenv("PATH")}, "--print=/etc/containerd/config.toml")
		if !strings.HasPrefix(out, "# Made by prepare-node.sh\n"+want) {
			t.Errorf("%s:\n%s", says, out)
		}
	}
}

func TestHandler(t *testing.T) {
	manifest, err := os.ReadFile("../../manifests/base/kata/runtimeclass.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var class nodev1.RuntimeClass
	if err := yaml.UnmarshalStrict(manifest, &class); err != nil {
		t.Fatal(err)
	}
	table := `".containerd.runtimes.` + class.Handler + "]"
	if config := printed(t, "/etc/containerd/config.toml"); !strings.Contains(config, table) {
		t.Errorf("containerd has no %s:\n%s", table, config)
	}
	if config := printed(t, "/etc/containerd/config.toml", "--without-kata"); strings.Contains(config, "kata") {
		t.Errorf("without Kata containerd has\n%s", config)
	}
	if modules := printed(t, "/etc/modules-load.d/torikumi.conf", "--without-kata"); strings.Contains(modules, "vhost") {
		t.Errorf("without Kata the modules are\n%s", modules)
	}
}

// TestFenceIsRemoved: a run without --fence-after takes away what one with it has
// installed, and starts the kubelet if the watchdog has stopped it.
func TestFenceIsRemoved(t *testing.T) {
	source, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	functions := "set -Eeuo pipefail\nFENCE_AFTER=\n"
	for _, name := range []string{"no", "live", "fenced", "check_fence", "make_fence", "remove_fence"} {
		found := regexp.MustCompile(`(?m)^` + name + `\(\) \{(.*\}$|\n(.*\n)*?\}$)`).FindString(string(source))
		if found == "" {
			t.Fatalf("there is no function %s", name)
		}
		functions += found + "\n"
	}
	const program, unit, stopped = "usr/local/bin/torikumi-fence", "etc/systemd/system/torikumi-fence.service", "run/torikumi-fence/stopped"
	for name, tt := range map[string]struct {
		there []string
		calls string
	}{
		"installed":            {[]string{program, unit}, "-q disable torikumi-fence, stop torikumi-fence, daemon-reload"},
		"games are stopped":    {[]string{program, unit, stopped}, "-q disable torikumi-fence, stop torikumi-fence, start kubelet, daemon-reload"},
		"a run that was ended": {[]string{unit, unit + ".new"}, "-q disable torikumi-fence, stop torikumi-fence, daemon-reload"},
		"the program alone":    {[]string{program}, "daemon-reload"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &fenced{t, t.TempDir()}
			for _, file := range append(tt.there, "run/systemd/system/here") {
				m.write(file, "", 0o644)
			}
			m.program("systemctl", `printf '%s, ' "$*" >>"$ROOT/log"`)
			text := regexp.MustCompile(`([\s=])/(etc|usr|run)/`).ReplaceAllString(functions, "${1}"+m.root+"/${2}/")
			run := func(calls string) (string, error) {
				cmd := exec.CommandContext(t.Context(), "bash", "-c", text+calls)
				cmd.Env = []string{"PATH=" + m.root + "/bin:/usr/bin:/bin", "ROOT=" + m.root}
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			if out, err := run("check_fence"); err == nil || out != "torikumi-fence is installed, and --fence-after is not given: it is removed\n" {
				t.Errorf("%v: %s", err, out)
			}
			if out, err := run("make_fence; check_fence; make_fence"); err != nil { // a second time, too
				t.Fatalf("%v: %s", err, out)
			}
			log, err := os.ReadFile(filepath.Join(m.root, "log"))
			if got := strings.TrimSuffix(string(log), ", daemon-reload, "); err != nil || got != tt.calls {
				t.Errorf("%v, systemctl %s", err, got)
			}
			for _, file := range tt.there {
				if _, err := os.Stat(filepath.Join(m.root, file)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s is left: %v", file, err)
				}
			}
		})
	}
}
