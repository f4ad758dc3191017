//go:build e2e

package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"torikumi/images/internal/build"
	"torikumi/pkg/eventually"
	"torikumi/pkg/requirements"
)

// containerd is one of the test's own, which no other can meet.
type containerd struct {
	*testing.T
	dir string
}

func startContainerd(t *testing.T) *containerd {
	t.Helper()
	// Not t.TempDir: the path of a socket must be short.
	dir, err := os.MkdirTemp("", "ctrd-")
	if err != nil {
		t.Fatal(err)
	}
	c := &containerd{t, dir}
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n", dir+"/root", dir+"/state", c.socket())
	if err := os.WriteFile(dir+"/config.toml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd := exec.Command("containerd", "--log-level=warn", "--config", dir+"/config.toml")
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
		if mounts, _ := os.ReadFile("/proc/self/mountinfo"); bytes.Contains(mounts, []byte(dir)) {
			t.Errorf("mounts are left below %s", dir)
			return // what is mounted there must not be deleted
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	eventually.NoError(t, "containerd answers", func() error {
		_, err := c.try("version")
		return err
	})
	return c
}

func (c *containerd) socket() string { return filepath.Join(c.dir, "containerd.sock") }

func (c *containerd) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ctr", append([]string{"--address", c.socket(), "--namespace", "k8s.io"}, args...)...).CombinedOutput()
	return string(out), err
}

func (c *containerd) ctr(args ...string) string {
	c.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.Fatalf("ctr %q: %v: %s", args, err, out)
	}
	return out
}

// TestContainerd imports every image into a containerd and runs its program as
// nonroot, with a root file system that is read-only.
func TestContainerd(t *testing.T) {
	if err := requirements.Containerd().Lacking(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	code, out, problems := images(t.Context(), "--source="+root, "--output="+dir, "--arch=amd64", "--tag=e2e")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, problems)
	}
	t.Log("\n" + out)
	stamp, err := build.ReadStamp(t.Context(), root, "")
	if err != nil {
		t.Fatal(err)
	}
	c := startContainerd(t)
	for _, p := range build.Programs() {
		c.ctr("images", "import", filepath.Join(dir, p.Name+".tar"))
		image := "docker.io/torikumi/" + p.Name + ":e2e"
		if listed := c.ctr("images", "list", "--quiet"); !strings.Contains("\n"+listed, "\n"+image+"\n") {
			t.Fatalf("imported as\n%s", listed)
		}
		for arg, want := range map[string]string{"--version": " " + stamp.Tag + " (" + stamp.Revision[:12], "--help": "--"} {
			id := p.Name + strings.TrimPrefix(arg, "-")
			if said := c.ctr("run", "--rm", "--read-only", image, id, "/"+p.Name, arg); !strings.Contains(said, want) {
				t.Errorf("%s %s says %q, want %q", p.Name, arg, said, want)
			}
		}
	}
	c.serves("docker.io/torikumi/evaluator:e2e")
}

// serves starts a service as Kubernetes would, looks at its process, and stops
// it.
func (c *containerd) serves(image string) {
	c.Helper()
	logs := filepath.Join(c.dir, "log")
	c.ctr("run", "--detach", "--read-only", "--log-uri", "file://"+logs, image, "service")
	stopped := false
	defer func() {
		if !stopped {
			_, _ = c.try("tasks", "kill", "--signal", "SIGKILL", "service")
			_, _ = c.try("tasks", "delete", "service")
		}
	}()
	said := func() string {
		text, err := os.ReadFile(logs)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			c.Fatal(err)
		}
		return string(text)
	}
	eventually.True(c.T, "the service listens", func() bool { return strings.Contains(said(), "listening service=evaluator") })

	fields := strings.Fields(c.ctr("tasks", "list"))
	if len(fields) != 6 {
		c.Fatalf("tasks: %q", fields)
	}
	status, err := os.ReadFile("/proc/" + fields[4] + "/status")
	if err != nil || !strings.Contains(string(status), "\nUid:\t65532\t65532\t") || !strings.Contains(string(status), "\nGid:\t65532\t65532\t") {
		c.Errorf("%v: not nonroot:\n%s", err, status)
	}
	mounts, err := os.ReadFile("/proc/" + fields[4] + "/mountinfo")
	if err != nil || !strings.Contains(string(mounts), " / / ro,") {
		c.Errorf("%v: the root file system can be written:\n%s", err, mounts)
	}

	c.ctr("tasks", "kill", "--signal", "SIGTERM", "service")
	eventually.True(c.T, "the service has stopped", func() bool { return strings.Contains(c.ctr("tasks", "list"), "STOPPED") })
	if out, err := c.try("tasks", "delete", "service"); err != nil {
		c.Errorf("after SIGTERM: %v: %s\n%s", err, out, said())
	} else {
		stopped = true
	}
	c.ctr("containers", "delete", "service")
}
