//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"torikumi/loadgen/loadgen"
	"torikumi/pkg/config"
	"torikumi/pkg/eventually"
	"torikumi/test/cluster/cluster"
)

const (
	// root is the repository's, seen from here.
	root = "../../.."
	// testdata is what is applied, seen from the root.
	testdata = "test/cluster/e2e/testdata/"
	// patience bounds the wait for a deployment.
	patience = 5 * time.Minute
)

// setup is what a harness is made of.
type setup struct {
	// suite and games are folders of kustomizations.
	suite, games string
	nodes        []cluster.NodeOptions
	// images are tars that all nodes get.
	images []string
}

// harness is a cluster with the suite on it.
type harness struct {
	*testing.T
	setup
	cluster *cluster.Cluster
	// node is the address of a node that players come in by.
	node string
	// secrets are those that the suite was started with.
	secrets []byte
}

// clusterEnv names the state folder of a cluster that runs already, has the suite's
// images, and is left as it is.
const clusterEnv = "TORIKUMI_E2E_CLUSTER"

// newHarness makes a cluster, which ends with the test, or takes the one that
// clusterEnv names. Its nodes have the images.
func newHarness(t *testing.T, s setup) *harness {
	t.Helper()
	if folder := os.Getenv(clusterEnv); folder != "" {
		c, err := cluster.Open(folder)
		if err != nil {
			t.Fatalf("%s: %v", clusterEnv, err)
		}
		for _, image := range s.images {
			if err := c.LoadImage(t.Context(), image); err != nil {
				t.Fatal(err)
			}
		}
		return (&harness{T: t, setup: s, cluster: c}).enter()
	}
	if err := cluster.Requirements(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c, err := cluster.Up(t.Context(), cluster.Options{
		Name: strings.ToLower(t.Name()), State: filepath.Join(t.TempDir(), "cluster"), Nodes: s.nodes, Images: s.images, Progress: logWriter{t},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("end the cluster: %v", err)
		}
	})
	t.Logf("%5.1fs cluster", time.Since(began).Seconds())
	return (&harness{T: t, setup: s, cluster: c}).enter()
}

// enter finds the way in, and shows what there is if the test fails.
func (h *harness) enter() *harness {
	for _, n := range h.cluster.Nodes() {
		if n.Labels["node-type"] == "gcp-permanent" {
			h.node = n.IP.String()
		}
	}
	h.Cleanup(func() {
		if h.Failed() {
			h.dump()
		}
	})
	return h
}

// logWriter writes to the test's log.
type logWriter struct{ t *testing.T }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

// run runs a command in the repository's root; its output is returned.
func (h *harness) run(stdin []byte, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(h.Context(), name, args...)
	cmd.Dir, cmd.Stdin = root, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+h.cluster.Kubeconfig)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// kubectl has to succeed.
func (h *harness) kubectl(args ...string) string {
	h.Helper()
	out, err := h.run(nil, h.cluster.Kubectl(), args...)
	if err != nil {
		h.Fatal(err)
	}
	return out
}

// namespaces makes them and the Secrets of the suite, as a user does first.
func (h *harness) namespaces() {
	h.Helper()
	if h.secrets == nil {
		h.makeSecrets("--allocator=false")
	}
	if _, err := h.run(h.secrets, h.cluster.Kubectl(), "apply", "--server-side", "-f", "-"); err != nil {
		h.Fatal(err)
	}
}

// makeSecrets makes the Secrets that the suite is started with.
func (h *harness) makeSecrets(settings ...string) {
	h.Helper()
	cmd := exec.CommandContext(h.Context(), "go", append([]string{"run", "./local", "secrets", "--namespaces"}, settings...)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		h.Fatalf("make secrets: %v", err)
	}
	h.secrets = out
}

// deploy does what the manifests tell a user to do, and waits until a game can be
// played.
func (h *harness) deploy() {
	h.Helper()
	began := time.Now()
	h.namespaces()
	h.kubectl("apply", "-k", testdata+h.suite)
	h.eventually("the Fleet is known", func() error {
		_, err := h.run(nil, h.cluster.Kubectl(), "apply", "-k", testdata+h.games)
		return err
	})
	h.available()
	h.Logf("%5.1fs suite", time.Since(began).Seconds())
}

// available waits until all deployments are, and four game servers Ready.
func (h *harness) available() {
	h.Helper()
	for _, namespace := range []string{"torikumi", "open-match", "agones-system"} {
		h.kubectl("-n", namespace, "wait", "--for=condition=Available", "--timeout=5m", "deployment", "--all")
		h.kubectl("-n", namespace, "rollout", "status", "--timeout=5m", "deployment")
	}
	h.kubectl("-n", "open-match", "rollout", "status", "--timeout=5m", "statefulset/redis")
	h.eventually("game servers are Ready", func() error {
		out, err := h.run(nil, h.cluster.Kubectl(), "-n", "games", "get", "gameservers", "-o", "jsonpath={.items[*].status.state}")
		if err == nil && strings.Count(out, "Ready") < 4 {
			err = fmt.Errorf("states: %s", out)
		}
		return err
	})
}

// kill ends a container of a node at once, by its ID as a pod's status has it.
func (h *harness) kill(node, container string) {
	h.Helper()
	cmd, err := h.cluster.Command(h.Context(), node, "ctr", "-n", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", strings.TrimPrefix(container, "containerd://"))
	if err != nil {
		h.Errorf("kill %s on %s: %v", container, node, err)
		return
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Errorf("kill %s on %s: %v\n%s", container, node, err, out)
	}
}

// eventually waits until f has no error.
func (h *harness) eventually(what string, f func() error) {
	h.Helper()
	eventually.Within(h.T, patience, what, f)
}

// players is a load of players who join; change may alter it.
func (h *harness) players(change func(*loadgen.Config)) *loadgen.Report {
	h.Helper()
	var cfg loadgen.Config
	config.Default(&cfg)
	cfg.Target, cfg.Wait = loadgen.Frontend, loadgen.SSE
	cfg.Frontend, cfg.FrontendGRPC, cfg.Issuer = "http://"+h.node+":30080", h.node+":30600", "http://"+h.node+":30081"
	cfg.Rate, cfg.Duration, cfg.Timeout, cfg.Stay = 1, 20*time.Second, time.Minute, 3*time.Second
	cfg.SkillDev, cfg.Regions = 0, []string{"eu"} // the rules are tested elsewhere
	change(&cfg)
	if err := config.Validate(&cfg); err != nil {
		h.Fatal(err)
	}
	report, err := loadgen.Run(h.Context(), cfg, loadgen.Env{})
	if err != nil {
		h.Fatal(err)
	}
	var text bytes.Buffer
	report.WriteText(&text)
	h.Log(text.String())
	return report
}

// during plays while something happens to the suite, for as long as that takes.
func (h *harness) during(disturb func(), change func(*loadgen.Config)) *loadgen.Report {
	h.Helper()
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(disturb)
	return h.players(change)
}

// dump shows what there is, when a test has failed.
func (h *harness) dump() {
	for _, args := range [][]string{
		{"get", "pods,gameservers,fleets", "-A", "-o", "wide"},
		{"get", "events", "-A", "--sort-by=.lastTimestamp"},
		{"-n", "torikumi", "logs", "--all-containers", "--prefix", "--tail=60", "-l", "app.kubernetes.io/part-of=torikumi"},
		{"-n", "agones-system", "logs", "--all-containers", "--prefix", "--tail=60", "-l", "app.kubernetes.io/part-of=torikumi"},
		{"-n", "games", "logs", "--all-containers", "--prefix", "--tail=20", "-l", "app.kubernetes.io/part-of=torikumi", "--max-log-requests=50"},
	} {
		cmd := exec.Command(h.cluster.Kubectl(), append([]string{"--kubeconfig=" + h.cluster.Kubeconfig}, args...)...)
		out, err := cmd.CombinedOutput()
		h.Logf("kubectl %s (%v)\n%s", strings.Join(args, " "), err, out)
	}
}
