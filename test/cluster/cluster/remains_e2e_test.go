//go:build e2e

package cluster

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// survey lists what is on this machine: links, routes, rules, cgroups, mounts,
// named network namespaces.
func survey(t *testing.T) []string {
	t.Helper()
	var all []string
	add := func(kind string, lines ...string) {
		for _, line := range lines {
			if line = strings.TrimSpace(line); line != "" {
				all = append(all, kind+": "+line)
			}
		}
	}
	links, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		add("link", l.Name())
	}
	for kind, args := range map[string][]string{
		"route": {"ip", "route", "show", "table", "all"},
		"nft":   {"nft", "list", "tables"},
		"netns": {"ip", "netns"},
	} {
		out, err := run(t.Context(), args[0], args[1:]...)
		if err != nil {
			t.Fatal(err)
		}
		add(kind, strings.Split(out, "\n")...)
	}
	mounts, _, err := hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	for _, mount := range mounts {
		groups, err := filepath.Glob(filepath.Join(mount, "*/"))
		if err != nil {
			t.Fatal(err)
		}
		add("cgroup", groups...)
	}
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if f := strings.Fields(line); len(f) > 4 {
			add("mount", f[4])
		}
	}
	return all
}

// Other clusters on this machine come and go, and the node images that are made beside
// this test, and the containers that are run beside it.
var others = regexp.MustCompile(`\btk\d+(n\d+)?\b|torikumi-\d+|/torikumi-image-|/ctrd-|/k8s\.io/?$|/proc/|10\.(77|128|129|13\d)\.`)

// compare reports what is new on this machine, and processes of the cluster.
func compare(t *testing.T, before, after []string, folder string) {
	t.Helper()
	for _, line := range after {
		if !slices.Contains(before, line) && !others.MatchString(line) {
			t.Errorf("left: %s", line)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		cmdline, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		exe, _ := os.Readlink(filepath.Join(p, "exe"))
		if strings.Contains(string(cmdline), folder) || strings.HasPrefix(exe, folder) {
			t.Errorf("left: process %s: %q", filepath.Base(p), cmdline)
		}
	}
}

// marks are what a cluster has on the host while it is up.
func marks(s *state) []string {
	return []string{"/sys/class/net/" + s.bridge(), filepath.Join(cgroups, "pids", s.cgroup())}
}

// The command dies at any moment: the next up finds what it has left.
func TestCrash(t *testing.T) {
	before := survey(t)
	o := testOptions(t, "crash")
	t.Cleanup(func() {
		if err := Down(context.WithoutCancel(t.Context()), o.State); err != nil {
			t.Errorf("down: %v", err)
		}
	})
	command := filepath.Join(t.TempDir(), "torikumi-cluster")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", command, "../cmd/torikumi-cluster").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, reached := range []string{"make the network", "prepare it for nodes"} {
		cmd := exec.CommandContext(t.Context(), command, "up", "--name=crash", "--games=0", "--state="+o.State)
		progress := &until{text: reached, seen: make(chan struct{})}
		cmd.Stderr = progress
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-progress.seen:
		case err := <-ended:
			t.Fatalf("ended early: %v: %s", err, progress.all)
		}
		_ = cmd.Process.Kill()
		<-ended
		s, err := readState(o.State)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(marks(s)[0]); err != nil {
			t.Fatalf("the crash has left no bridge, so this tests nothing: %v", err)
		}
	}
	o.Nodes = DefaultNodes(0)
	c, err := Up(t.Context(), o)
	if err != nil {
		t.Fatalf("up over the remains: %v", err)
	}
	// Everything loses its life, as at the end of a power cut of the host.
	for _, p := range c.state.Machines {
		if err := p.kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := Down(t.Context(), o.State); err != nil {
		t.Fatal(err)
	}
	for _, mark := range marks(c.state) {
		if _, err := os.Stat(mark); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("left: %s", mark)
		}
	}
	compare(t, before, survey(t), o.State)
}

// until is output that tells when a text is in it.
type until struct {
	all  []byte
	text string
	seen chan struct{}
	said bool
}

func (u *until) Write(p []byte) (int, error) {
	u.all = append(u.all, p...)
	if !u.said && strings.Contains(string(u.all), u.text) {
		u.said = true
		close(u.seen)
	}
	return len(p), nil
}

// Down ends only what is the cluster's.
func TestDownSparesOthers(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p.Started = "1" // the recorded one had this id before
	folder := t.TempDir()
	c := newCluster(folder, &state{Name: "spare", Index: -1, Machines: map[string]process{"gone": p}})
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	if err := Down(context.Background(), folder); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Errorf("a process of somebody else was ended: %v", err)
		ended <- err
	default:
	}
}
