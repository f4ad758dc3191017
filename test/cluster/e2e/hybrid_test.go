//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"torikumi/loadgen/loadgen"
	"torikumi/pkg/tlstest"
	"torikumi/test/cluster/cluster"
)

// TestHybrid applies what a studio with machines of its own does: everything but
// games on one permanent node, which takes nothing else, players at its port over
// TLS, games under Kata's RuntimeClass on the studio's nodes. One of these dies, and
// a machine of a cloud takes its place until it is back.
func TestHybrid(t *testing.T) {
	t.Parallel()
	onPremises := map[string]string{"node-location": "onprem", "hardware": "game-runner"}
	h := newHarness(t, setup{
		suite: "hybrid", games: "hybrid-games", images: append(makeImages(t, append([]string{"failover"}, used...)...), writeMachines(t)),
		nodes: []cluster.NodeOptions{
			{Name: "permanent", Labels: map[string]string{"node-type": "gcp-permanent"}, Taints: []string{"node-role.kubernetes.io/control-plane:NoSchedule"}},
			{Name: "game-1", Labels: onPremises},
			{Name: "game-2", Labels: onPremises},
		},
	})
	for node, kind := range map[string]string{"permanent": "gcp-permanent", "game-1": "onpremise", "game-2": "onpremise"} {
		h.kubectl("label", "node", node, "node-restriction.kubernetes.io/node-type="+kind) // no kubelet can
	}
	cloud := startCloud(t, h.cluster)
	h.namespaces()
	h.kubectl("-n", "torikumi", "create", "configmap", "machines", "--from-literal=url="+cloud.url)
	authority := h.certificate()
	h.deploy()
	h.noRestarts()
	h.Log("\n" + h.kubectl("get", "pods,gameservers", "-A", "-o", "wide"))

	overTLS := func(c *loadgen.Config) {
		c.Frontend, c.FrontendCA = "https://"+h.node+":30443", authority
	}
	everybody := func(when string) {
		t.Helper()
		if r := h.players(overTLS); !r.OK {
			t.Errorf("%s: not everybody has played", when)
		}
	}
	everybody("at first")

	began, before := time.Now(), h.usages("permanent")
	if err := h.cluster.UnplugNode(t.Context(), "game-1"); err != nil {
		t.Fatal(err)
	}
	var machine string
	h.eventually("a machine has the games of the dead node", func() error {
		var err error
		if machine, err = cloud.only(); err != nil {
			return err
		}
		return h.readyOn(machine)
	})
	t.Logf("%5.1fs from the cable to a game server on %s", time.Since(began).Seconds(), machine)
	h.Log("on the permanent node, without players: " + report(before, h.usages("permanent"), time.Since(began)))
	h.Log("\n" + h.kubectl("get", "nodes,nodefailovers,gameservers", "-A", "-o", "wide", "--show-labels"))
	everybody("with a machine of the cloud")

	began = time.Now()
	if err := h.cluster.PlugNode(t.Context(), "game-1"); err != nil {
		t.Fatal(err)
	}
	h.eventually("the machine is gone, and its Node", func() error {
		if _, err := cloud.only(); err == nil {
			return errors.New("it runs")
		}
		nodes, phase := h.kubectl("get", "nodes", "-o", "name"), h.kubectl("get", "nodefailovers", "-o", "jsonpath={.items[*].status.phase}")
		if strings.Contains(nodes, machine) || phase != "Completed" {
			return fmt.Errorf("the failover is %s, nodes are %s", phase, nodes)
		}
		return h.readyOn("game-1")
	})
	t.Logf("%5.1fs from the cable to the end of %s", time.Since(began).Seconds(), machine)
	everybody("when the node is back")
	h.Log(h.memory())
	h.kubectl("-n", "torikumi", "delete", "configmap", "machines")
	h.deleteAll()
}

// readyOn returns an error unless a game server on a node is Ready.
func (h *harness) readyOn(node string) error {
	out, err := h.run(nil, h.cluster.Kubectl(), "-n", "games", "get", "gameservers", "-o", `jsonpath={range .items[?(@.status.nodeName=="`+node+`")]}{.status.state} {end}`)
	if err == nil && !strings.Contains(out, "Ready") {
		err = fmt.Errorf("game servers on %s: %q", node, out)
	}
	return err
}

// certificate makes that of the players' port, and returns the file of its
// authority.
func (h *harness) certificate() (authority string) {
	h.Helper()
	a := tlstest.NewAuthority(h)
	cert, key := a.Issue(h, h.node)
	h.kubectl("-n", "torikumi", "create", "secret", "tls", "frontend-tls", "--cert="+cert, "--key="+key)
	return a.File
}
