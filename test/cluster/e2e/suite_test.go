//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/loadgen/loadgen"
	"torikumi/test/cluster/cluster"
)

// TestSuite applies the suite as a user would, and plays on it while it is
// disturbed in every way that an operator knows.
func TestSuite(t *testing.T) {
	t.Parallel() // they wait more than they work
	h := newHarness(t, setup{suite: "suite", games: "suite-games", nodes: cluster.DefaultNodes(2), images: makeImages(t, used...)})
	h.makeSecrets("--allocator=false", "--backfill")
	h.deploy()
	h.noRestarts()
	h.Log("\n" + h.kubectl("get", "pods,gameservers", "-A", "-o", "wide"))
	for _, c := range []struct {
		name string
		run  func(*harness)
	}{
		{"Play", (*harness).play},
		{"FilledUp", (*harness).filledUp},
		{"PodsDeleted", (*harness).podsDeleted},
		{"RollingUpdate", (*harness).rollingUpdate},
		{"RedisKilled", (*harness).redisKilled},
		{"NodeDrained", (*harness).nodeDrained},
		{"DeletedAndApplied", (*harness).deletedAndApplied},
	} {
		if !t.Run(c.name, func(t *testing.T) { inner := *h; inner.T = t; c.run(&inner) }) {
			return
		}
	}
	h.Log(h.memory())
}

// noRestarts: whatever the order in which it was applied, no program gave up.
func (h *harness) noRestarts() {
	h.Helper()
	out := h.kubectl("get", "pods", "-A", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[*].restartCount}{"\n"}{end}`)
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) > 0 && slices.ContainsFunc(fields[1:], func(n string) bool { return n != "0" }) {
			h.Errorf("containers have restarted: %s", line)
		}
	}
}

// play: everybody finds a match, joins, stays and leaves, and servers are used up
// and replaced.
func (h *harness) play() {
	r := h.players(func(c *loadgen.Config) { c.Duration = 15 * time.Second })
	if !r.OK {
		h.Error("not everybody has played")
	}
}

// podsDeleted: all pods of the suite go in turn, each when the one before is back.
// Whoever has been told that there is a ticket gets a match, and whoever is in a
// match stays.
func (h *harness) podsDeleted() {
	r := h.during(func() {
		for _, service := range []string{"matchfunction", "evaluator", "director", "frontend"} {
			for _, pod := range strings.Fields(h.kubectl("-n", "torikumi", "get", "pods", "-l", "app.kubernetes.io/name="+service, "-o", "name")) {
				h.kubectl("-n", "torikumi", "delete", pod, "--wait=true")
				h.kubectl("-n", "torikumi", "rollout", "status", "--timeout=5m", "deployment", service)
			}
		}
	}, func(c *loadgen.Config) { c.Duration = time.Minute })
	h.confirmed("pods deleted", r)
}

// confirmed checks that nothing is lost but creates that nobody has confirmed. If
// there are such, one player may be left over without another to play with.
func (h *harness) confirmed(what string, r *loadgen.Report) {
	h.Helper()
	refused := 0
	for n := range maps.Values(r.CreateErrors) {
		refused += n
	}
	if r.Lost > refused%2 || r.Malformed != 0 || r.Play.Left != r.Assigned || r.Created+refused != r.Scheduled {
		h.Errorf("%s: %d of %d tickets lost, %d matches malformed, %d of %d players stayed to the end", what, r.Lost, r.Created, r.Malformed, r.Play.Left, r.Assigned)
	}
	if refused > 0 {
		h.Logf("%s: %d of %d creates were not confirmed: %v", what, refused, r.Scheduled, r.CreateErrors)
	}
}

// rollingUpdate replaces every pod of the suite, in order.
func (h *harness) rollingUpdate() {
	r := h.during(func() {
		h.kubectl("-n", "torikumi", "rollout", "restart", "deployment", "frontend", "director", "matchfunction", "evaluator")
		h.available()
	}, func(c *loadgen.Config) { c.Duration = 40 * time.Second })
	h.confirmed("rolling update", r)
	if len(r.CreateErrors) > 0 {
		h.Errorf("in a rolling update no request may fail: %v", r.CreateErrors)
	}
}

// redisKilled: Redis ends at once and starts again in its pod, which keeps its data.
func (h *harness) redisKilled() {
	r := h.during(func() {
		node := h.kubectl("-n", "open-match", "get", "pod", "redis-0", "-o", "jsonpath={.spec.nodeName}")
		id := h.kubectl("-n", "open-match", "get", "pod", "redis-0", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
		h.kill(node, id)
		h.eventually("Redis is back", func() error {
			out, err := h.run(nil, h.cluster.Kubectl(), "-n", "open-match", "get", "pod", "redis-0", "-o", "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}")
			if err == nil && out != "1 true" {
				err = fmt.Errorf("restarts and readiness: %s", out)
			}
			return err
		})
	}, func(c *loadgen.Config) {})
	h.confirmed("Redis killed", r)
}

// nodeDrained: only players of games on the node are sent away, and the next ones
// play elsewhere.
func (h *harness) nodeDrained() {
	const node = "game-1"
	there := func() string {
		return h.kubectl("-n", "games", "get", "gameservers", "-o", `jsonpath={range .items[?(@.status.nodeName=="`+node+`")]}{.metadata.name} {end}`)
	}
	if there() == "" {
		h.Fatalf("no game server is on %s", node)
	}
	r := h.during(func() {
		h.kubectl("cordon", node)
		h.kubectl(append([]string{"-n", "games", "delete", "gameservers", "--wait=true", "--ignore-not-found"}, strings.Fields(there())...)...)
	}, func(c *loadgen.Config) { c.Duration = 30 * time.Second })
	if r.Lost != 0 || r.Malformed != 0 || len(r.CreateErrors) != 0 {
		h.Errorf("tickets lost: %d, malformed matches: %d, create errors: %v", r.Lost, r.Malformed, r.CreateErrors)
	}
	for reason := range r.Play.FailedBy {
		if !slices.Contains([]string{"kicked_shutdown", "no_answer_to_ping", "no_answer_to_join"}, reason) {
			h.Errorf("players failed for another reason than their server's end: %v", r.Play.FailedBy)
		}
	}
	if left := there(); left != "" {
		h.Errorf("still on %s: %s", node, left)
	}
	h.kubectl("uncordon", node)
	h.available()
}

// deletedAndApplied: what was applied can be deleted, leaves nothing, and can be
// applied again.
func (h *harness) deletedAndApplied() {
	h.deleteAll()
	h.deploy()
	h.play()
}

// deleteAll deletes what was applied; nothing of it may be left.
func (h *harness) deleteAll() {
	h.Helper()
	h.kubectl("delete", "-k", testdata+h.games, "--timeout=2m")
	h.kubectl("delete", "-k", testdata+h.suite, "--timeout=3m")
	h.nothingLeft()
}

// nothingLeft waits until nothing of the suite is in the cluster.
func (h *harness) nothingLeft() {
	h.Helper()
	h.eventually("nothing is left", func() error {
		left, err := h.run(nil, h.cluster.Kubectl(), "get", "namespaces,clusterroles,clusterrolebindings,customresourcedefinitions,apiservices,validatingadmissionpolicies,priorityclasses",
			"-l", "app.kubernetes.io/part-of=torikumi", "-o", "name", "--ignore-not-found")
		if err == nil && strings.TrimSpace(left) != "" {
			err = fmt.Errorf("left over: %s", left)
		}
		return err
	})
}
