//go:build e2e

package image_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"torikumi/pkg/eventually"
)

// authority is a cluster's CA, or somebody else's.
func authority(t *testing.T) (cert []byte, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "kubernetes"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// apiServer refuses whoever asks, as one without anonymous access does, and counts.
func apiServer(t *testing.T, address string, pair tls.Certificate) (at string, asked *atomic.Int32, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int32)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	s.Listener.Close()
	s.Listener, s.TLS = l, &tls.Config{Certificates: []tls.Certificate{pair}}
	s.Config.ErrorLog = log.New(t.Output(), "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return l.Addr().String(), asked, s.Close
}

// TestFenceStopsContainers lets the watchdog run with real API servers' certificates,
// a real curl and real containers, of this machine's containerd and of containerd 2.
func TestFenceStopsContainers(t *testing.T) {
	dir, err := containerd2()
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"containerd 2": dir + ":" + os.Getenv("PATH"), "of this machine": os.Getenv("PATH")} {
		t.Run(name, func(t *testing.T) {
			if name == "of this machine" {
				if _, err := exec.LookPath("containerd"); err != nil {
					t.Skip("no containerd")
				}
			}
			fenceContainers(t, path)
		})
	}
}

func fenceContainers(t *testing.T, path string) {
	root := t.TempDir()
	address := filepath.Join(root, "c.sock")
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
	start := func(name string, args ...string) *exec.Cmd {
		t.Helper()
		cmd := exec.Command(name, args...) // ended by what is cleaned up, in its order
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(root, "bin")+":"+path)
		cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.WaitDelay = 5 * time.Second
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		})
		return cmd
	}
	write("bin/systemctl", "#!/bin/sh\necho \"$@\" >>"+root+"/systemctl\n", 0o755)
	ctr := strings.TrimSpace(lookPath(t, "ctr", path))
	write("bin/ctr", "#!/bin/sh\nexec "+ctr+" --address "+address+" \"$@\"\n", 0o755)
	do := func(args ...string) (string, error) {
		out, err := exec.Command(filepath.Join(root, "bin/ctr"), append([]string{"--namespace", "k8s.io"}, args...)...).CombinedOutput()
		return string(out), err
	}
	write("containerd.toml", fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n[ttrpc]\naddress = %q\n", root+"/root", root+"/state", address, address+".ttrpc"), 0o644)
	start(lookPath(t, "containerd", path), "--config", filepath.Join(root, "containerd.toml"), "--log-level", "warn")
	eventually.Within(t, time.Minute, "containerd answers", func() error { _, err := do("version"); return err })

	system := debian(t, "bookworm")
	run := func(id, uid string, labels ...string) {
		t.Helper()
		args := []string{"run", "--detach", "--rootfs", "--label", "io.kubernetes.pod.uid=" + uid}
		for _, l := range labels {
			args = append(args, "--label", l)
		}
		if out, err := do(append(args, system, id, "/bin/sleep", "1000")...); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() { // or its shim stays, and runc knows its name
			if out, err := do("tasks", "delete", "--force", id); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			_, _ = do("containers", "delete", id)
		})
	}
	run("sandbox", "1", "agones.dev/role=gameserver", "io.cri-containerd.kind=sandbox")
	run("game", "1") // PID 1 of a container ignores SIGTERM, unless it says otherwise
	run("voice", "2", "app=voice")
	running := func() []string {
		out, err := do("tasks", "ls")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var ids []string
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) == 3 && f[2] == "RUNNING" {
				ids = append(ids, f[0])
			}
		}
		slices.Sort(ids)
		return ids
	}

	ca, pair := authority(t)
	_, other := authority(t)
	first, _, stopFirst := apiServer(t, "127.0.0.1:0", pair)
	second, asked, stopSecond := apiServer(t, "127.0.0.1:0", pair)
	write("etc/kubernetes/pki/ca.crt", string(ca), 0o644)
	write("etc/kubernetes/kubelet.conf", "clusters:\n- cluster:\n    server: https://"+first+"\n", 0o600)
	write("fence", regexp.MustCompile(`([\s=<])/(etc|run)/`).ReplaceAllString(printed(t, "/usr/local/bin/torikumi-fence"), "${1}"+root+"/${2}/"), 0o755)
	start("env", "FENCE_AFTER=3", "FENCE_EVERY=1", "FENCE_GRACE=2", "FENCE_SERVERS="+second, filepath.Join(root, "fence"))
	stopFirst()
	at := asked.Load()
	eventually.Within(t, time.Minute, "the second API server is asked for longer than any time", func() error {
		if n := asked.Load() - at; n < 8 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
	if ids := running(); !slices.Equal(ids, []string{"game", "sandbox", "voice"}) {
		t.Errorf("with one of two API servers %v run", ids)
	}
	stopSecond()
	apiServer(t, second, other) // somebody else's, at its address
	eventually.Within(t, time.Minute, "the game is stopped, and nothing else", func() error {
		if ids := running(); !slices.Equal(ids, []string{"voice"}) {
			return fmt.Errorf("%v run", ids)
		}
		return nil
	})
	if calls, _ := os.ReadFile(filepath.Join(root, "systemctl")); !strings.HasPrefix(string(calls), "stop kubelet\n") || strings.Contains(string(calls), "start") {
		t.Errorf("%s", calls)
	}
	apiServer(t, first, pair)
	eventually.Within(t, time.Minute, "the kubelet is started", func() error {
		if calls, _ := os.ReadFile(filepath.Join(root, "systemctl")); !strings.HasSuffix(string(calls), "\nstart kubelet\n") {
			return fmt.Errorf("%s", calls)
		}
		return nil
	})
}

// lookPath is where a program is by another PATH.
func lookPath(t *testing.T, name, path string) string {
	t.Helper()
	for dir := range strings.SplitSeq(path, ":") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("no %s in %s", name, path)
	return ""
}
