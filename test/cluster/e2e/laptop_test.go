//go:build e2e

package e2e

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/requirements"
	"torikumi/test/cluster/cluster"
)

// TestLaptop types what docs/deploy.md tells a user to, in "On a laptop", and gets
// two players into one match.
func TestLaptop(t *testing.T) {
	t.Parallel()
	if err := cluster.Requirements(requirements.Suite()); err != nil {
		t.Fatal(err)
	}
	folder, err := cluster.DefaultState(cluster.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.Open(folder); !errors.Is(err, cluster.ErrNoCluster) {
		t.Fatalf("a cluster of yours is in the way (torikumi-cluster down ends it): %v", err)
	}
	for _, port := range []string{"8080", "8081"} {
		lis, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatalf("kubectl is to forward this port: %v", err)
		}
		_ = lis.Close()
	}
	t.Cleanup(func() {
		if err := cluster.Down(context.WithoutCancel(t.Context()), folder); err != nil {
			t.Errorf("end the cluster: %v", err)
		}
	})
	script := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c",
		"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n"+typed(t)+"\nwait $!\n")
	script.Dir, script.WaitDelay = root, 10*time.Second // what it has begun may hold its output
	out, err := script.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	ours := func(connection string) bool {
		return slices.ContainsFunc(c.Nodes(), func(n cluster.NodeStatus) bool { return strings.HasPrefix(connection, n.IP.String()+":") })
	}
	matched := regexp.MustCompile(`"status": ?"matched".*?"connection": ?"([^"]+)".*?"jwt": ?"([^"]+)"`).FindAllStringSubmatch(string(out), -1)
	if len(matched) != 2 || matched[0][1] != matched[1][1] || !ours(matched[0][1]) || matched[0][2] == matched[1][2] {
		t.Errorf("the two players are not in one match on this cluster: %q", matched)
	}
}

// typed is what is to be typed there, without what is marked as not run.
func typed(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## On a laptop\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	caption := ""
	for part := range strings.SplitSeq(section, "\n\n") {
		switch {
		case !strings.HasPrefix(part, "    "):
			caption = part
		case !strings.Contains(caption, "not run"):
			blocks = append(blocks, strings.ReplaceAll("\n"+part, "\n    ", "\n"))
		}
	}
	if !found || len(blocks) != 3 {
		t.Fatalf("the section has %d blocks to run, want 3", len(blocks))
	}
	return strings.Join(blocks, "\n")
}
