//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"torikumi/loadgen/loadgen"
	"torikumi/test/cluster/cluster"
)

// TestHybrid applies what a studio with machines of its own does: everything but
// games on one permanent node, which takes nothing else, players at its port over
// TLS, games under Kata's RuntimeClass on the studio's nodes. One of these dies, and
// a machine of a cloud takes its place until it is back.
func TestHybrid(t *testing.T) {
	t.Parallel()
	onPremises := map[string]string{"node-type": "onpremise", "node-location": "onprem", "hardware": "game-runner"}
	h := newHarness(t, setup{
		suite: "hybrid", games: "hybrid-games", images: append(makeImages(t, append([]string{"failover"}, used...)...), writeMachines(t)),
		nodes: []cluster.NodeOptions{
			{Name: "permanent", Labels: map[string]string{"node-type": "gcp-permanent"}, Taints: []string{"node-role.kubernetes.io/control-plane:NoSchedule"}},
			{Name: "game-1", Labels: onPremises},
			{Name: "game-2", Labels: onPremises},
		},
	})
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

// readyOn reports whether no game server is Ready on a node.
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "play.example.com"}, IPAddresses: []net.IP{net.ParseIP(h.node)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		h.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.Fatal(err)
	}
	dir := h.TempDir()
	cert, secret := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	err = errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(secret, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600),
	)
	if err != nil {
		h.Fatal(err)
	}
	h.kubectl("-n", "torikumi", "create", "secret", "tls", "frontend-tls", "--cert="+cert, "--key="+secret)
	return cert
}
