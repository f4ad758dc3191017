package controller_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"torikumi/miniagones/internal/conformance"
	v1 "torikumi/miniagones/kubernetes/api/v1"
	"torikumi/pkg/agones"
)

var listensOn = regexp.MustCompile(`grpc=(\S+) http=(\S+)`)

// process runs a controller in a process of its own.
func (h *harness) process(more ...string) (cmd *exec.Cmd, grpc string) {
	h.Helper()
	cmd = exec.Command(os.Args[0], h.settings(append([]string{"--allocator-insecure"}, more...)...)...)
	cmd.Env = append(os.Environ(), programVariable+"=controller")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { kill(cmd) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := listensOn.FindStringSubmatch(lines.Text()); m != nil {
			return cmd, m[1]
		}
	}
	h.Fatal("the controller does not listen")
	return nil, ""
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill() // it may be dead
	_ = cmd.Wait()         // killed is how it ends
}

// distinct checks that no two servers have a port, and each its own pod.
func (h *harness) distinct(servers []v1.GameServer) {
	h.Helper()
	ports := make(map[int32]string)
	for _, gs := range servers {
		for _, p := range gs.Status.Ports {
			if other := ports[p.Port]; other != "" {
				h.Errorf("%s and %s have port %d", gs.Name, other, p.Port)
			}
			ports[p.Port] = gs.Name
		}
	}
	h.eventually("a pod for each server", func() error {
		pods := new(corev1.PodList)
		if err := h.Admin.List(h.Context(), pods, client.InNamespace(h.namespace)); err != nil || len(pods.Items) != len(servers) {
			return fmt.Errorf("%d pods, %w", len(pods.Items), err)
		}
		return nil
	})
}

// TestKilledWhileScaling: a controller that is killed in the midst of its work
// leaves nothing that the next one can't go on with: no server is lost, doubled or
// given the port of another.
func TestKilledWhileScaling(t *testing.T) {
	h := newHarness(t, "killed")
	f := h.fleet("arena", conformance.ModeServe, 12)
	h.create(f)
	for round := range 3 {
		cmd, _ := h.process()
		h.eventually("some servers are there", func() error {
			if len(h.servers()) <= 2*round {
				return fmt.Errorf("%d servers", len(h.servers()))
			}
			return nil
		})
		kill(cmd)
		if n := len(h.servers()); n > 12 {
			t.Errorf("%d servers after %d kills", n, round+1)
		}
		h.release()
	}
	h.process()
	h.distinct(h.ready(12))
}

// release gives the lease of a controller that was killed to the next: it would be
// over by itself after 15 s.
func (h *harness) release() {
	h.Helper()
	if err := h.Admin.DeleteAllOf(context.Background(), &coordinationv1.Lease{}, client.InNamespace("agones-system")); err != nil {
		h.Fatal(err)
	}
}

// TestTwoControllers: one leads, both allocate, and when the one that leads is
// killed the other goes on.
func TestTwoControllers(t *testing.T) {
	h := newHarness(t, "two")
	first, a := h.process()
	f := h.fleet("arena", conformance.ModeServe, 3)
	h.create(f)
	h.ready(3)
	_, b := h.process()
	t.Run("OneWins", func(t *testing.T) { h.race(a, b) })
	kill(first)
	h.release()
	h.eventually("the other one leads", func() error {
		h.scale(f, 5)
		return count(h.in(agones.Ready), 2)
	})
	h.distinct(h.servers())
	if n := len(h.in(agones.Allocated)); n != 3 {
		t.Errorf("%d servers Allocated, want 3", n)
	}
}

// race has ten callers want three servers of two allocators, until those are given: an
// allocator may learn later than others that one is Ready.
func (h *harness) race(a, b string) {
	h.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	taken := make(map[string]int)
	ctx, cancel := context.WithTimeout(h.Context(), limit)
	defer cancel()
	for i := range 10 {
		wg.Go(func() {
			for {
				resp, err := h.tryTake([]string{a, b}[i%2], "arena")
				if c := status.Code(err); err != nil && c != codes.ResourceExhausted && c != codes.Aborted {
					h.Errorf("caller %d: %v", i, err)
					return
				}
				mu.Lock()
				if err == nil {
					taken[resp.GetGameServerName()]++
				}
				if len(taken) == 3 {
					cancel()
				}
				mu.Unlock()
				if err == nil || ctx.Err() != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	for name, n := range taken {
		if n != 1 {
			h.Errorf("%s went to %d callers", name, n)
		}
	}
	if len(taken) != 3 {
		h.Errorf("%d of 3 servers were allocated", len(taken))
	}
}
