//go:build e2e

package cluster

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A filter as Docker's, in a network namespace of the test's own.
func TestFilteredForward(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // not unlocked: the namespace ends with the thread
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Error(err)
			return
		}
		testForward(t)
	}()
	<-done
}

func testForward(t *testing.T) {
	s := &state{Index: 7}
	must := func(args ...string) string {
		out, err := run(t.Context(), args[0], args[1:]...)
		if err != nil {
			t.Error(err)
		}
		return strings.TrimSpace(out)
	}
	if err := s.admit(t.Context()); err != nil {
		t.Error(err)
	}
	if tables := must("nft", "list", "tables"); tables != "" {
		t.Errorf("where nothing is filtered there are now %s", tables)
	}
	must("iptables", "-P", "FORWARD", "DROP")
	before := must("iptables", "-S", "FORWARD")
	for range 2 { // as if a crash had come between
		if err := s.admit(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if rules := must("iptables", "-S", "FORWARD"); !strings.Contains(rules, "-i tk7") || !strings.Contains(rules, "-o tk7") {
		t.Errorf("the bridge does not pass:\n%s", rules)
	}
	if err := s.dismiss(t.Context()); err != nil {
		t.Error(err)
	}
	if after := must("iptables", "-S", "FORWARD"); after != before {
		t.Errorf("left:\n%s", after)
	}
}
