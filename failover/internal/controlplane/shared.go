package controlplane

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is one control plane for all tests of a package. It starts when the
// first test asks for it, and stops after the last:
//
//	var cluster controlplane.Shared
//
//	func TestMain(m *testing.M) {
//		goleak.VerifyTestMain(cluster.Main(m))
//	}
//
//	func TestSomething(t *testing.T) {
//		c := cluster.Get(t)
//
// Tests keep apart by namespaces, names of nodes and the like.
type Shared struct {
	// Options are those of the control plane.
	Options Options

	once    sync.Once
	cluster *Cluster
	err     error
}

// Runner is what os.Exit or goleak.VerifyTestMain runs.
type Runner interface{ Run() int }

// Main is the tests of a package, after which the control plane is stopped.
func (s *Shared) Main(m Runner) Runner { return sharedMain{s, m} }

type sharedMain struct {
	shared *Shared
	tests  Runner
}

func (r sharedMain) Run() int {
	code := r.tests.Run()
	if r.shared.cluster == nil {
		return code
	}
	if err := r.shared.cluster.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the control plane:", err)
		return max(code, 1)
	}
	return code
}

// Get is the control plane. If the test fails, what the logs got meanwhile is
// shown.
func (s *Shared) Get(t testing.TB) *Cluster {
	t.Helper()
	// Not the test's context: it ends before the next test begins.
	s.once.Do(func() { s.cluster, s.err = start(context.Background(), s.Options) })
	if s.err != nil {
		t.Fatalf("start the control plane: %v", s.err)
	}
	from := s.cluster.logEnds()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.cluster.logs(from))
		}
	})
	return s.cluster
}

func (c *Cluster) logEnds() map[string]int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.group.logEnds()
}
