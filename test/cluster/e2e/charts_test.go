//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"torikumi/loadgen/loadgen"
	"torikumi/test/cluster/cluster"
)

// agonesInstall and openMatchInstall name folders, each with what a chart renders to
// with manifests/values (*.yaml) and the images that it names (*.tar).
const (
	agonesInstall    = "AGONES_INSTALL"
	openMatchInstall = "OPEN_MATCH_INSTALL"
)

// TestCharts plays on the real Open Match and the real Agones, by hand.
func TestCharts(t *testing.T) {
	charts := installs(t)
	h := newHarness(t, setup{
		suite: "charts", games: "games", nodes: cluster.DefaultNodes(2),
		images: append(makeImages(t, used...), charts.images...),
	})
	h.makeSecrets() // those of the allocator too, which miniagones makes itself
	h.namespaces()
	authority := h.certificate()
	for _, base := range []string{"agones", "games", "open-match"} {
		h.kubectl("apply", "--server-side", "-k", "manifests/base/"+base)
	}
	began := time.Now()
	for _, manifest := range charts.manifests {
		h.kubectl("apply", "--server-side", "-f", manifest)
	}
	h.deploy()
	h.Logf("%5.1fs charts and suite", time.Since(began).Seconds())
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
	before, idle := h.usages("permanent"), time.Now()
	everybody("through the allocator service")
	h.Log("on the permanent node, with players: " + report(before, h.usages("permanent"), time.Since(idle)))

	h.kubectl("-n", "torikumi", "set", "env", "deployment/director", "DIRECTOR_ALLOCATOR=kubernetes",
		"DIRECTOR_ALLOCATOR_CA=", "DIRECTOR_ALLOCATOR_CERT=", "DIRECTOR_ALLOCATOR_KEY=")
	h.available()
	everybody("through the Kubernetes API")

	// Killed when a server has been allocated and nobody has come: some of these
	// matches are not assigned yet. Open Match keeps their tickets for a minute.
	const kills = 5
	r := h.during(func() {
		for range kills {
			h.eventually("a server waits for its players", func() error {
				out, err := h.run(nil, h.cluster.Kubectl(), "-n", "games", "get", "gameservers", "-o",
					`jsonpath={range .items[?(@.status.state=="Allocated")]}{.metadata.name}{"="}{.metadata.annotations.agones\.dev/sdk-torikumi-admitted}{" "}{end}`)
				if err == nil && !strings.Contains(out, "= ") {
					err = fmt.Errorf("admitted: %s", out)
				}
				return err
			})
			h.killDirectors()
			h.kubectl("-n", "torikumi", "rollout", "status", "--timeout=5m", "deployment", "director")
		}
	}, func(c *loadgen.Config) { overTLS(c); c.Duration, c.Timeout = time.Minute, 4*time.Minute })
	h.confirmed(fmt.Sprintf("director killed %d times", kills), r)
	h.eventually("no game server is left Allocated", func() error {
		out, err := h.run(nil, h.cluster.Kubectl(), "-n", "games", "get", "gameservers", "-o", "jsonpath={.items[*].status.state}")
		if err == nil && strings.Contains(out, "Allocated") {
			err = fmt.Errorf("states: %s", out)
		}
		return err
	})

	// Agones has to end the game servers before it goes.
	h.kubectl("delete", "-k", testdata+h.games, "--timeout=2m")
	h.kubectl("-n", "games", "wait", "--for=delete", "gameservers", "--all", "--timeout=5m")
	for _, manifest := range charts.manifests {
		h.kubectl("delete", "--ignore-not-found", "--timeout=3m", "-f", manifest)
	}
	h.kubectl("delete", "-k", testdata+h.suite, "--timeout=3m")
	h.nothingLeft()
}

// installed is what the charts of others are installed from.
type installed struct{ manifests, images []string }

// installs finds it; without any the test is skipped, as nothing that CI may have
// makes it.
func installs(t *testing.T) (all installed) {
	t.Helper()
	if os.Getenv(agonesInstall) == "" && os.Getenv(openMatchInstall) == "" {
		t.Skipf("by hand: %s and %s name folders with rendered charts and their images (docs/cluster.md)", agonesInstall, openMatchInstall)
	}
	for _, variable := range []string{agonesInstall, openMatchInstall} {
		manifests, err := filepath.Glob(filepath.Join(os.Getenv(variable), "*.yaml"))
		if err != nil || len(manifests) == 0 {
			t.Fatalf("%s: no manifests in %q: %v", variable, os.Getenv(variable), err)
		}
		images, err := filepath.Glob(filepath.Join(os.Getenv(variable), "*.tar"))
		if err != nil || len(images) == 0 {
			t.Fatalf("%s: no images in %q: %v", variable, os.Getenv(variable), err)
		}
		all.manifests, all.images = append(all.manifests, manifests...), append(all.images, images...)
	}
	return all
}

// killDirectors ends the directors without a word, and their pods, which would
// start them again only after a while.
func (h *harness) killDirectors() {
	h.Helper()
	const each = `{range .items[*]}{.metadata.name} {.spec.nodeName} {.status.containerStatuses[0].containerID} {.metadata.deletionTimestamp}{"\n"}{end}`
	for line := range strings.Lines(h.kubectl("-n", "torikumi", "get", "pods", "-l", "app.kubernetes.io/name=director", "-o", "jsonpath="+each)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue // it does not run, or ends
		}
		h.kill(f[1], f[2])
		h.kubectl("-n", "torikumi", "delete", "pod", f[0], "--wait=false")
	}
}
