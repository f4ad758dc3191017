package process_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"torikumi/miniagones/internal/fleet"
	"torikumi/miniagones/internal/process"
	"torikumi/pkg/eventually"
)

// alive reports whether a process runs; one that only waits to be collected by
// its parent doesn't.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// pids reads the numbers that a program has written to its output.
func pids(t *testing.T, out *output, n int) (list []int) {
	t.Helper()
	eventually.True(t, "the program tells its processes", func() bool { return strings.Count(out.String(), "\n") >= n })
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		pid, err := strconv.Atoi(strings.TrimPrefix(line, "[s] "))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, pid)
	}
	return list
}

func TestStopEndsGroup(t *testing.T) {
	for name, c := range map[string]struct {
		command string
		grace   time.Duration
		want    string
	}{
		"listens":          {`sh -c 'sleep 600 & echo $!; echo $$; wait'`, time.Minute, "signal: terminated"},
		"does not listen":  {`sh -c 'trap "" TERM; sleep 600 & echo $!; echo $$; wait; wait; sleep 600'`, 50 * time.Millisecond, "signal: killed"},
		"no grace at all":  {`sh -c 'sleep 600 & echo $!; echo $$; wait'`, 0, ""},
		"child holds pipe": {`sh -c '(trap "" TERM; sleep 600) & echo $!; echo $$; exec sleep 600'`, time.Minute, "signal: terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			var out output
			i := start(t, backend(t, process.Options{Command: c.command, Output: &out}))
			list := pids(t, &out, 2)
			i.Stop(c.grace)
			i.Stop(c.grace)
			<-i.Done()
			var exit *fleet.Failure
			if !errors.As(i.Err(), &exit) || c.want != "" && exit.Reason != c.want {
				t.Errorf("got %v, want %s", i.Err(), c.want)
			}
			for _, pid := range list {
				eventually.True(t, fmt.Sprintf("process %d has ended", pid), func() bool { return !alive(pid) })
			}
		})
	}
}

func TestExitEndsGroup(t *testing.T) {
	var out output
	i := start(t, backend(t, process.Options{Command: `sh -c 'sleep 600 & echo $!'`, Output: &out}))
	<-i.Done()
	for _, pid := range pids(t, &out, 1) {
		eventually.True(t, "what it left has ended", func() bool { return !alive(pid) })
	}
}

func TestParentKilled(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "PROCESS_TEST_PARENT=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var child int
	eventually.True(t, "the parent has a child", func() bool {
		lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lists {
			b, _ := os.ReadFile(l)
			if child, err = strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
				name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
				return string(name) == "sleep\n"
			}
		}
		return false
	})
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "the child has ended with it", func() bool { return !alive(child) })
}
