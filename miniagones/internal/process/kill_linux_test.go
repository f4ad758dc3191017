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
		"child holds pipe": {`sh -c '(trap "" TERM; sleep 600) & echo $!; echo $$; exec sleep 600'`, 300 * time.Millisecond, "signal: terminated"},
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

// TestLauncherScript: a script that does not exec, as Unreal's packages have, ends at
// SIGTERM; the server that it has started saves and ends by itself, or at the end of the
// grace.
func TestLauncherScript(t *testing.T) {
	const server = `(trap "echo saved; exit 0" TERM; sh -c "echo \$PPID"; while :; do sleep 0.05; done)`
	for name, c := range map[string]struct {
		command, said string
		grace         time.Duration
	}{
		"saves":           {`sh -c '` + server + `; true'`, "[s] saved\n", time.Minute},
		"does not listen": {`sh -c '` + strings.Replace(server, `"echo saved; exit 0"`, `""`, 1) + `; true'`, "", 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			var out output
			i := start(t, backend(t, process.Options{Command: c.command, Output: &out}))
			pid := pids(t, &out, 1)[0]
			i.Stop(c.grace)
			<-i.Done()
			if got := out.String(); !strings.HasSuffix(got, c.said) {
				t.Errorf("output %q, want %q at its end", got, c.said)
			}
			eventually.True(t, "the server has ended", func() bool { return !alive(pid) })
		})
	}
}

// TestLinesTakeTheShellsPlace: no shell is left between us and the program.
func TestLinesTakeTheShellsPlace(t *testing.T) {
	for _, line := range []string{`sleep 600`, `FOO=1 sleep 600`, `cd / && sleep 600`, `cd /; FOO=1 sleep 600`} {
		var out output
		b := backend(t, process.Options{Command: `echo $$; ` + line, Output: &out})
		i := start(t, b)
		pid := pids(t, &out, 1)[0]
		eventually.True(t, line+" is the process itself", func() bool {
			name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
			return string(name) == "sleep\n"
		})
		i.Stop(0)
		<-i.Done()
	}
}
