//go:build e2e

package image_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"torikumi/failover/internal/controlplane"
	"torikumi/pkg/requirements"
)

// host is what the tests take from this machine.
var host struct {
	mirror, proxy string // of Debian
	arch          string
	kubernetes    string // a folder with kubeadm and kubelet
	version       string // theirs
	base          string // the folder of all machines
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if lacks := survey(); len(lacks) > 0 {
		fmt.Fprintln(os.Stderr, "e2e lacks:\n  "+strings.Join(lacks, "\n  "))
		return 1
	}
	var err error
	if host.kubernetes, host.version, err = controlplane.NodeBinaries(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if host.base, err = os.MkdirTemp("", "torikumi-image-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(host.base)
	// _apt, as whom apt downloads, has to get through.
	if err := os.Chmod(host.base, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// survey fills host, and reports what is missing.
func survey() (lacks []string) {
	if err := requirements.NodeImage().Lacking(); err != nil {
		lacks = append(lacks, strings.Split(err.Error(), "\n")...)
	}
	output := func(name string, args ...string) string {
		out, _ := exec.Command(name, args...).Output()
		return strings.TrimSpace(string(out))
	}
	host.arch = output("dpkg", "--print-architecture")
	host.proxy = output("sh", "-c", `eval "$(apt-config shell P Acquire::http::Proxy)"; echo "${P:-$http_proxy}"`)
	host.mirror = requirements.DebianMirror()
	if host.mirror == "" {
		lacks = append(lacks, "a mirror of Debian 12 or 13 in apt's sources")
	}
	return lacks
}

// suites are Debians, each made once.
var suites = map[string]func() (string, error){
	"bookworm": sync.OnceValues(func() (string, error) { return debootstrap("bookworm") }),
	"trixie":   sync.OnceValues(func() (string, error) { return debootstrap("trixie") }),
}

// containerd2 is a folder with containerd 2.x and its programs, built from its module.
var containerd2 = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(host.base, "containerd")
	const module = "github.com/containerd/containerd/v2"
	tool := func(args ...string) (string, error) {
		cmd := exec.Command("go", args...)
		cmd.Dir = "../../tools/containerd"
		cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("build containerd: %w\n%s", err, out)
		}
		return strings.TrimSpace(string(out)), nil
	}
	version, err := tool("list", "-m", "-f", "{{.Version}}", module)
	if err != nil {
		return "", err
	}
	_, err = tool("build", "-trimpath", "-tags", "no_btrfs,no_zfs,no_devmapper",
		"-ldflags", "-s -w -X "+module+"/version.Version="+version, "-o", dir+"/", module+"/cmd/containerd", module+"/cmd/ctr", module+"/cmd/containerd-shim-runc-v2")
	return dir, err
})

func debootstrap(suite string) (string, error) {
	root := filepath.Join(host.base, suite)
	cmd := exec.Command("debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus,ca-certificates,openssh-server", suite, root, host.mirror)
	cmd.Env = append(os.Environ(), "http_proxy="+host.proxy)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("debootstrap: %w\n%s", err, out)
	}
	// What hands over files to the machine is no part of it.
	in := filepath.Join(root, "in")
	if err := os.Mkdir(in, 0o755); err != nil {
		return "", err
	}
	return root, nil
}

// machine is a root file system. Its processes have PIDs and mounts of their
// own, which end with the command that made them.
type machine struct {
	*testing.T
	root string
}

// newMachine copies a Debian, or another machine.
func newMachine(t *testing.T, from string) *machine {
	t.Helper()
	m := &machine{t, filepath.Join(t.TempDir(), "root")}
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", "--reflink=auto", from, m.root).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v: %s", from, err, out)
	}
	m.handOver(script, "prepare-node.sh")
	for _, p := range []string{"kubeadm", "kubelet"} {
		m.handOver(filepath.Join(host.kubernetes, p), "kubernetes/"+p)
	}
	return m
}

func debian(t *testing.T, suite string) string {
	t.Helper()
	root, err := suites[suite]()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// handOver copies a file of this machine to /in/name.
func (m *machine) handOver(file, name string) {
	m.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		m.Fatal(err)
	}
	m.write("in/"+name, string(content), 0o755)
}

func (m *machine) write(name, content string, mode fs.FileMode) {
	m.Helper()
	name = filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		m.Fatal(err)
	}
}

func (m *machine) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(m.root, name))
	return err == nil
}

// command is one that runs on the machine and takes all that it started with
// it, also if it is killed.
func (m *machine) command(env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.Context(), "unshare", append([]string{"--mount", "--pid", "--fork", "--kill-child",
		"--mount-proc=" + filepath.Join(m.root, "proc"), "chroot", m.root}, args...)...)
	cmd.Env = append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
		"http_proxy=" + host.proxy, "no_proxy=127.0.0.1"}, env...)
	return cmd
}

// run returns the command's output and whether it ended well.
func (m *machine) run(args ...string) (string, bool) {
	m.Helper()
	out, err := m.command(nil, args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.Fatal(err)
	}
	return string(out), err == nil
}

func (m *machine) must(args ...string) string {
	m.Helper()
	out, ok := m.run(args...)
	if !ok {
		m.Fatalf("%q failed:\n%s", args, tail(out))
	}
	return out
}

// prepare runs the script with the programs that were built.
func (m *machine) prepare(args ...string) (string, bool) {
	m.Helper()
	return m.run(append([]string{"/in/prepare-node.sh", "--kubernetes-version=" + host.version, "--kubernetes-from=/in/kubernetes"}, args...)...)
}

func (m *machine) mustPrepare(args ...string) string {
	m.Helper()
	out, ok := m.prepare(args...)
	if !ok {
		m.Fatalf("prepare-node.sh %q failed:\n%s", args, tail(out))
	}
	return out
}

// refuses runs the script, which has to fail and say why.
func (m *machine) refuses(want string, args ...string) {
	m.Helper()
	if out, ok := m.prepare(args...); ok || !strings.Contains(out, want) {
		m.Errorf("prepare-node.sh %q succeeded: %v, want %q in\n%s", args, ok, want, tail(out))
	}
}

func tail(out string) string {
	lines := strings.Split(out, "\n")
	return strings.Join(lines[max(0, len(lines)-25):], "\n")
}

// tree describes all files: kind, mode, owner, content and, if asked for, time.
func (m *machine) tree(times bool, without ...string) map[string]string {
	m.Helper()
	without = append(without, "proc", "sys", "dev", "run", "in", "tmp")
	files := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(m.root, path)
		for _, w := range without {
			if ok, _ := filepath.Match(w, name); ok {
				if entry.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		d := fmt.Sprintf("%v %d:%d", info.Mode(), stat.Uid, stat.Gid)
		if times && name != "." { // newMachine hands files over
			d += info.ModTime().Format(" " + time.RFC3339Nano)
		}
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			d += fmt.Sprintf(" %x", sha256.Sum256(content))
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			d += " -> " + to
		}
		files[name] = d
		return nil
	})
	if err != nil {
		m.Fatal(err)
	}
	return files
}

// same reports what differs between two trees.
func same(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, d := range before {
		if after[name] != d {
			t.Errorf("%s was %q, is %q", name, d, after[name])
		}
	}
	for name, d := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s is new: %q", name, d)
		}
	}
}

// kata is a tarball laid out like a release of Kata Containers. KATA_TARBALL
// may name a real one. Else its programs are stand-ins: they say the version
// that the real ones say, and nothing of them runs a container.
type kata struct {
	shim  string            // what the stand-in says its version is
	more  map[string]string // files to add or, if empty, to leave out
	bytes int               // the guest's image
}

const goShim = `Kata Containers containerd shim (Golang): id: "io.containerd.kata.v2", version: 3.99.0, commit: stand-in`

// pack makes the tarball at /in/name of the machine and returns the arguments.
func (k kata) pack(m *machine, name string) []string {
	m.Helper()
	dir := m.TempDir()
	const share = "opt/kata/share/"
	image := make([]byte, max(1, k.bytes))
	for i := range image { // not a pattern that compresses to nothing
		image[i] = byte(i * i >> 7)
	}
	if k.shim == "" {
		k.shim = goShim
	}
	files := map[string]string{
		"opt/kata/bin/containerd-shim-kata-v2": "#!/bin/sh\n# A stand-in.\necho '" + k.shim + "'\n",
		"opt/kata/bin/kata-runtime":            "#!/bin/sh\n# A stand-in.\necho checks nothing\n",
		"opt/kata/bin/qemu-system-x86_64":      "a stand-in",
		share + "kata-containers/vmlinux":      "a stand-in",
		share + "kata-containers/guest.img":    string(image),
		share + "defaults/kata-containers/configuration-qemu.toml": "[hypervisor.qemu]\n" +
			"path = \"/opt/kata/bin/qemu-system-x86_64\"\n" +
			"kernel = \"/opt/kata/share/kata-containers/vmlinux\"\n" +
			"image = \"/opt/kata/share/kata-containers/guest.img\"\n",
	}
	for file, content := range k.more {
		files[file] = content
	}
	for file, content := range files {
		if content == "" {
			continue
		}
		file = filepath.Join(dir, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o755)); err != nil {
			m.Fatal(err)
		}
	}
	tarball := filepath.Join(m.TempDir(), "kata.tar.zst")
	if out, err := exec.CommandContext(m.Context(), "tar", "-C", dir, "--zstd", "-cf", tarball, "./opt").CombinedOutput(); err != nil {
		m.Fatalf("tar: %v: %s", err, out)
	}
	return handOverKata(m, tarball, name)
}

func handOverKata(m *machine, tarball, name string) []string {
	m.Helper()
	m.handOver(tarball, name)
	content, err := os.ReadFile(tarball)
	if err != nil {
		m.Fatal(err)
	}
	return []string{"--kata-from=/in/" + name, fmt.Sprintf("--kata-sha256=%x", sha256.Sum256(content))}
}

// watch is output that tells when a text is in it.
type watch struct {
	all  bytes.Buffer // not embedded: its ReadFrom would pass Write by
	text string
	seen chan struct{}
	once sync.Once
}

func (w *watch) Write(p []byte) (int, error) {
	w.all.Write(p)
	if w.text != "" && bytes.Contains(w.all.Bytes(), []byte(w.text)) {
		w.once.Do(func() { close(w.seen) })
	}
	return len(p), nil
}

// killAt runs the script and kills the machine as soon as its output has text,
// or reached says so. It reports whether that happened.
func (m *machine) killAt(text string, reached func() bool, env []string, args ...string) (killed bool) {
	m.Helper()
	cmd := m.command(env, append([]string{"/in/prepare-node.sh", "--kubernetes-version=" + host.version, "--kubernetes-from=/in/kubernetes"}, args...)...)
	out := &watch{text: text, seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		m.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !killed {
		select {
		case <-out.seen:
			killed = true
		case <-tick.C:
			killed = reached != nil && reached()
		case err := <-ended:
			select {
			case <-out.seen:
				return true // and then it was fast
			default:
			}
			if err != nil {
				m.Fatalf("ended before it was killed: %v\n%s", err, tail(out.all.String()))
			}
			return false
		}
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.Fatal(err)
	}
	<-ended
	return true
}
