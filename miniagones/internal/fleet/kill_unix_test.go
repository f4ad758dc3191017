//go:build unix

package fleet_test

import (
	"errors"
	"strconv"
	"syscall"
	"testing"
	"time"

	"torikumi/miniagones/internal/conformance"
	"torikumi/miniagones/internal/fleet"
	"torikumi/pkg/agones"
)

func pid(t testing.TB, s *fleet.Server) int {
	t.Helper()
	answer, err := conformance.Command(t.Context(), gameAddr(s), "PID")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(answer)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestKilledServer(t *testing.T) {
	r := run(t, fleet.Options{Ready: 1, Max: 3, Backend: children(t, conformance.ModeServe)})
	waitReady(t, r, 1)
	taken := clients(r).take(t, "m-1")
	waitReady(t, r, 1)
	sub := r.Subscribe()
	defer sub.Close()
	for _, s := range r.Snapshot().Servers {
		was := s.State
		if err := syscall.Kill(pid(t, s), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		e := follow(t, sub, "Unhealthy", func(e fleet.Event) bool { return e.Server.State == agones.Unhealthy })
		if e.Server.UID != s.UID || e.From != was {
			t.Errorf("%s was %s and ends from %s", e.Server.Name, was, e.From)
		}
		follow(t, sub, "gone", func(e fleet.Event) bool { return e.Gone && e.Server.UID == s.UID })
		if f := r.Snapshot().LastFailure; f == nil || f.Server != s.Name || f.Reason != "signal: killed" || f.ExitCode != -1 {
			t.Errorf("last failure %+v", f)
		}
	}
	waitReady(t, r, 1)
	for _, s := range r.Snapshot().Servers {
		if s.Name == taken.GetGameServerName() {
			t.Errorf("%s is still there", s.Name)
		}
	}
}

func TestStopEndsProcesses(t *testing.T) {
	for _, mode := range []string{conformance.ModeServe, conformance.ModeStubborn} {
		t.Run(mode, func(t *testing.T) {
			r := run(t, fleet.Options{Ready: 2, Max: 2, Backend: children(t, mode), Grace: 100 * time.Millisecond})
			waitReady(t, r, 2)
			var pids []int
			for _, s := range r.Snapshot().Servers {
				pids = append(pids, pid(t, s))
			}
			r.stop()
			for _, p := range pids {
				// They were our children and have been waited for, so nothing of
				// them is left to signal.
				if err := syscall.Kill(p, 0); !errors.Is(err, syscall.ESRCH) {
					t.Errorf("process %d: %v", p, err)
				}
			}
		})
	}
}
