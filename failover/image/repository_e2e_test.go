//go:build e2e

package image_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository is an apt repository laid out like that of Kubernetes, with real
// programs in packages of ours.
type repository struct {
	*testing.T
	dir, keys string
}

func newRepository(t *testing.T) *repository {
	r := &repository{t, t.TempDir(), t.TempDir()}
	if err := os.Chmod(r.keys, 0o700); err != nil {
		t.Fatal(err)
	}
	// gpg's agent has its socket there and would outlive the test.
	t.Cleanup(func() { r.do("", "gpgconf", "--homedir", r.keys, "--kill", "all") })
	for _, user := range []string{"ours", "theirs"} {
		r.gpg("--passphrase", "", "--quick-gen-key", user, "rsa2048", "sign", "never")
	}
	r.gpg("--armor", "--output", filepath.Join(r.dir, "Release.key"), "--export", "ours")
	return r
}

func (r *repository) do(dir, name string, args ...string) string {
	cmd := exec.Command(name, args...) // also after the test, when its context has ended
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		r.Fatalf("%s %q: %v", name, args, err)
	}
	return string(out)
}

func (r *repository) gpg(args ...string) {
	r.Helper()
	r.do("", "gpg", append([]string{"--homedir", r.keys, "--batch", "--yes", "--quiet"}, args...)...)
}

// add packs files, by the names that they have once installed.
func (r *repository) add(name, version, depends string, files map[string]string) {
	r.Helper()
	dir := r.TempDir()
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: none <none@example.org>\nDescription: a test's\n", name, version, host.arch)
	if depends != "" {
		control += "Depends: " + depends + "\n"
	}
	files["DEBIAN/control"] = control
	for file, content := range files {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			r.Fatal(err)
		}
		mode := os.FileMode(0o755)
		if strings.Contains(file, "/systemd/") {
			mode = 0o644
		}
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			r.Fatal(err)
		}
	}
	r.do("", "dpkg-deb", "-Znone", "--root-owner-group", "--build", dir, filepath.Join(r.dir, name+"_"+version+".deb"))
}

// index lists the packages and signs the list.
func (r *repository) index(user string) {
	r.Helper()
	debs, err := filepath.Glob(filepath.Join(r.dir, "*.deb"))
	if err != nil {
		r.Fatal(err)
	}
	var packages strings.Builder
	for _, deb := range debs {
		content, err := os.ReadFile(deb)
		if err != nil {
			r.Fatal(err)
		}
		fmt.Fprintf(&packages, "%sFilename: ./%s\nSize: %d\nSHA256: %x\n\n",
			r.do("", "dpkg-deb", "--field", deb), filepath.Base(deb), len(content), sha256.Sum256(content))
	}
	release := fmt.Sprintf("Date: %sSHA256:\n %x %d Packages\n", r.do("", "date", "-Ru"), sha256.Sum256([]byte(packages.String())), packages.Len())
	for name, content := range map[string]string{"Packages": packages.String(), "Release": release} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o644); err != nil {
			r.Fatal(err)
		}
	}
	r.gpg("--local-user", user, "--clearsign", "--output", filepath.Join(r.dir, "InRelease"), filepath.Join(r.dir, "Release"))
}

// addKubernetes adds a version, as its own repository splits it up.
func (r *repository) addKubernetes(version string, programs map[string]string) {
	r.Helper()
	const unit = "[Service]\nExecStart=/usr/bin/kubelet\n[Install]\nWantedBy=multi-user.target\n"
	const dropIn = "[Service]\nEnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/kubelet\n" +
		"ExecStart=\nExecStart=/usr/bin/kubelet $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n"
	r.add("kubelet", version+"-1.1", "kubernetes-cni, iptables", map[string]string{
		"usr/bin/kubelet": programs["kubelet"], "usr/lib/systemd/system/kubelet.service": unit,
		// As packages with units do.
		"DEBIAN/postinst": "#!/bin/sh\nsystemctl enable kubelet\n",
	})
	r.add("kubeadm", version+"-1.1", "kubelet", map[string]string{
		"usr/bin/kubeadm": programs["kubeadm"], "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf": dropIn,
	})
}

// TestRepository takes kubeadm, kubelet and Kata from a server.
func TestRepository(t *testing.T) {
	t.Parallel()
	m := newMachine(t, debian(t, "bookworm"))
	r := newRepository(t)
	programs := map[string]string{}
	for _, p := range []string{"kubeadm", "kubelet"} {
		content, err := os.ReadFile(filepath.Join(host.kubernetes, p))
		if err != nil {
			t.Fatal(err)
		}
		programs[p] = string(content)
	}
	r.addKubernetes(host.version, programs)
	// Newer ones, which must not be taken: apt would, if nobody held it.
	for _, version := range []string{"1.35.9", "1.99.0"} {
		r.addKubernetes(version, map[string]string{
			"kubelet": "#!/bin/sh\necho Kubernetes v" + version + "\n", "kubeadm": "#!/bin/sh\necho v" + version + "\n",
		})
	}
	r.add("kubernetes-cni", "1.0.0", "", map[string]string{"opt/cni/bin/loopback": "a stand-in"})
	tarball := kata{}.pack(m, "kata.tar.zst")
	if err := os.Link(filepath.Join(m.root, "in/kata.tar.zst"), filepath.Join(r.dir, "kata.tar.zst")); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(r.dir)))
	defer server.Close()

	prepare := func(version, repository string, more ...string) (string, bool) {
		t.Helper()
		return m.run(append([]string{"/in/prepare-node.sh", "--kubernetes-version=" + version, "--kubernetes-repository=" + repository,
			"--kata-from=" + server.URL + "/kata.tar.zst", tarball[1]}, more...)...)
	}
	refused := func(want, version, repository string, more ...string) {
		t.Helper()
		if out, ok := prepare(version, repository, more...); ok || !strings.Contains(out, want) {
			t.Errorf("succeeds: %v, want %q in\n%s", ok, want, tail(out))
		}
	}

	refused("kubernetes: no "+server.URL+"/nowhere/Release.key", host.version, server.URL+"/nowhere/")
	r.index("theirs")
	refused("kubernetes: apt does not accept "+server.URL, host.version, server.URL)
	r.index("ours")
	refused("kubernetes: "+server.URL+" has no kubelet and kubeadm 1.98.0", "1.98.0", server.URL)
	if m.exists("usr/bin/kubelet") {
		t.Fatal("a kubelet is installed that was refused")
	}
	refused("kata: cannot download "+server.URL+"/none", host.version, server.URL, "--kata-from="+server.URL+"/none")

	if out, ok := prepare(host.version, server.URL); !ok {
		t.Fatalf("failed:\n%s", tail(out))
	}
	before := m.tree(true)
	if out, ok := prepare(host.version, server.URL+"/"); !ok {
		t.Fatalf("the second time it failed:\n%s", tail(out))
	}
	m.must("/in/prepare-node.sh", "--check")
	same(t, before, m.tree(true))
	m.must("apt-get", "-yq", "upgrade")
	if out := m.must("kubelet", "--version"); out != "Kubernetes v"+host.version+"\n" {
		t.Errorf("apt has upgraded the kubelet to %s", out)
	}

	m.must("apt-mark", "unhold", "kubelet")
	if out, ok := m.run("/in/prepare-node.sh", "--check"); ok || !strings.Contains(out, "package kubelet is not held") {
		t.Errorf("an unheld kubelet: %v\n%s", ok, out)
	}
	m.must("apt-mark", "hold", "kubelet")

	// Another version only if asked for, also an older one.
	for _, version := range []string{"1.35.9", host.version} {
		if out, ok := prepare(version, server.URL); !ok {
			t.Fatalf("%s failed:\n%s", version, tail(out))
		}
		if out := m.must("kubelet", "--version"); out != "Kubernetes v"+version+"\n" {
			t.Errorf("the kubelet is %s, want %s", out, version)
		}
	}
	refused("containerd: Kubernetes 1.36 and newer need containerd 2: ", "1.99.0", server.URL)
}
