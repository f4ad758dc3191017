//go:build e2e

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A machine that lacks something runs nothing. In CI that is a failure.
func TestMain(m *testing.M) {
	if err := Requirements(); err != nil {
		fmt.Fprintln(os.Stderr, "the tests of the cluster do not run:", err)
		if os.Getenv("CI") == "true" {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const probeImage = "docker.io/torikumi/cluster-probe:dev"

// probe makes the image of the tests' pods.
func probe(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	program, file := filepath.Join(dir, "probe"), filepath.Join(dir, "probe.tar")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := writeImage(file, probeImage, program); err != nil {
		t.Fatal(err)
	}
	return file
}

// progress shows the steps of Up, in the test's log.
type progress struct{ *testing.T }

func (p progress) Write(b []byte) (int, error) {
	p.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

func testOptions(t *testing.T, name string) Options {
	return Options{Name: name, State: filepath.Join(t.TempDir(), "state"), Progress: progress{t}}
}

// kubectl runs it and returns its output.
func kubectl(t *testing.T, c *Cluster, args ...string) string {
	t.Helper()
	out, err := run(t.Context(), c.Kubectl(), append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// eventually waits for a condition, for as long as a slow machine may take.
func eventually(t *testing.T, condition func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := wait(ctx, 100*time.Millisecond, condition); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) expectReady(t *testing.T, node string, want bool) {
	t.Helper()
	eventually(t, func() error {
		n, err := c.client.CoreV1().Nodes().Get(t.Context(), node, metav1.GetOptions{})
		if err == nil && NodeReady(n) != want {
			err = fmt.Errorf("node %s: ready is %v, want %v", node, !want, want)
		}
		return err
	})
}

func TestCluster(t *testing.T) {
	before := survey(t)
	o := testOptions(t, "e2e")
	o.Images = []string{probe(t)}
	c, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	down := func() {
		if err := c.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("down: %v", err)
		}
	}
	t.Cleanup(down)
	if _, err := Up(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is up already") {
		t.Errorf("up over a cluster that runs: %v", err)
	}
	kubectl(t, c, "apply", "-f", "testdata/probe.yaml")
	kubectl(t, c, "-n", "probes", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=2m")

	for _, part := range []struct {
		name string
		test func(*testing.T, *Cluster)
	}{
		{"nodes", testNodes}, {"pods", testPods}, {"host ports", testHostPort}, {"services", testServices},
		{"network policies", testPolicies}, {"registry", testRegistry}, {"another node", testAddNode}, {"cable", testCable},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, c) })
	}

	down()
	down() // twice is nothing
	if _, err := os.Stat(o.State); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state folder is left: %v", err)
	}
	compare(t, before, survey(t), o.State)
}

func testNodes(t *testing.T, c *Cluster) {
	for i, n := range c.Nodes() {
		k, err := c.client.CoreV1().Nodes().Get(t.Context(), n.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !NodeReady(k) {
			t.Errorf("%s is not ready", n.Name)
		}
		want := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.IP.String()}, {Type: corev1.NodeHostName, Address: n.Name}}
		if len(k.Status.Addresses) != 2 || k.Status.Addresses[0] != want[0] || k.Status.Addresses[1] != want[1] {
			t.Errorf("%s has the addresses %v, want %v", n.Name, k.Status.Addresses, want)
		}
		label := []string{"node-type=gcp-permanent", "hardware=game-runner"}[i]
		key, value, _ := strings.Cut(label, "=")
		if k.Labels[key] != value {
			t.Errorf("%s has not the label %s", n.Name, label)
		}
	}
}

func testPods(t *testing.T, c *Cluster) {
	if out := kubectl(t, c, "-n", "probes", "logs", "game"); out != "probe listens" {
		t.Errorf("logs: %q", out)
	}
	if out := kubectl(t, c, "-n", "probes", "exec", "game", "--", "/probe", "resolve", "kubernetes.default.svc.cluster.local"); out != "10.96.0.1" {
		t.Errorf("DNS says that the API server is at %q", out)
	}
}

// A player is a program on the host.
func testHostPort(t *testing.T, c *Cluster) {
	conn, err := net.Dial("udp", netip.AddrPortFrom(c.Nodes()[1].IP, 7654).String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, func() error {
		if _, err := conn.Write([]byte("ping")); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		b := make([]byte, 64)
		n, err := conn.Read(b)
		if err == nil && string(b[:n]) != "game ping" {
			t.Errorf("the answer is %q", b[:n])
		}
		return err
	})
}

// get asks for a URL from a pod.
func get(t *testing.T, c *Cluster, pod, url string) string {
	t.Helper()
	return kubectl(t, c, "-n", "probes", "exec", pod, "--", "/probe", "get", url)
}

func testServices(t *testing.T, c *Cluster) {
	for _, pod := range []string{"other", "neighbour", "game"} { // another node, the same, the very pod
		eventually(t, func() error {
			if out := get(t, c, pod, "http://game.probes/"); out != "hello from game" {
				return fmt.Errorf("%s gets %q", pod, out)
			}
			return nil
		})
	}
	// Where there is no Service there is nobody, outside of the cluster neither.
	if out := get(t, c, "game", "http://10.96.200.200/"); !strings.Contains(out, "connection refused") {
		t.Errorf("the address of no Service: %q", out)
	}
}

func testPolicies(t *testing.T, c *Cluster) {
	kubectl(t, c, "apply", "-f", "testdata/policy.yaml")
	eventually(t, func() error {
		if out := get(t, c, "neighbour", "http://game.probes/"); !strings.HasPrefix(out, "refused") {
			return fmt.Errorf("a pod that the policy does not name gets %q", out)
		}
		return nil
	})
	if out := get(t, c, "other", "http://game.probes/"); out != "hello from game" {
		t.Errorf("the pod that the policy names gets %q", out)
	}
	// The kubelet's probes pass.
	kubectl(t, c, "-n", "probes", "wait", "--for=condition=Ready", "pod/game", "--timeout=1m")
	kubectl(t, c, "delete", "-f", "testdata/policy.yaml")
	eventually(t, func() error {
		if out := get(t, c, "neighbour", "http://game.probes/"); out != "hello from game" {
			return fmt.Errorf("without the policy a pod gets %q", out)
		}
		return nil
	})
}

func testRegistry(t *testing.T, c *Cluster) {
	image, err := tarball.ImageFromPath(c.state.Images[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(c.Registry()+"/probe:pulled", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	kubectl(t, c, "-n", "probes", "run", "pulled", "--image="+ref.String(), "--image-pull-policy=Always")
	kubectl(t, c, "-n", "probes", "wait", "--for=condition=Ready", "pod/pulled", "--timeout=2m")
	if out := get(t, c, "pulled", "http://"+c.Registry()+"/v2/"); !strings.HasPrefix(out, "only nodes") {
		t.Errorf("the registry answers a pod %q", out)
	}
}

func testAddNode(t *testing.T, c *Cluster) {
	o := NodeOptions{Name: "extra", Labels: map[string]string{"hardware": "other"}, Taints: []string{"only=tests:NoSchedule"}}
	if err := c.AddNode(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := c.AddNode(t.Context(), o); err == nil || !strings.Contains(err.Error(), `a node "extra" already`) {
		t.Errorf("a second node of the same name: %v", err)
	}
	n, err := c.client.CoreV1().Nodes().Get(t.Context(), "extra", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// It may still have the one of a node that is not ready.
	if !slices.Contains(n.Spec.Taints, corev1.Taint{Key: "only", Value: "tests", Effect: corev1.TaintEffectNoSchedule}) {
		t.Errorf("its taints are %v", n.Spec.Taints)
	}
	p := c.state.Machines["extra"]
	if err := c.KillNode(t.Context(), "extra"); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Error("a node that was killed runs")
	}
	c.expectReady(t, "extra", false)
	// One that takes its place has another name.
	kubectl(t, c, "delete", "node", "extra")
}

func testCable(t *testing.T, c *Cluster) {
	if err := c.UnplugNode(t.Context(), "game-1"); err != nil {
		t.Fatal(err)
	}
	c.expectReady(t, "game-1", false)
	if err := c.PlugNode(t.Context(), "game-1"); err != nil {
		t.Fatal(err)
	}
	c.expectReady(t, "game-1", true)
}
