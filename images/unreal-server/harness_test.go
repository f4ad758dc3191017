package unrealserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"torikumi/pkg/eventually"
)

// script is like the one that Unreal exports: it waits for the server, and
// passes no signal on.
const script = `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
chmod +x "$here/Arena/Binaries/Linux/ArenaServer" || echo "chmod failed"
"$here/Arena/Binaries/Linux/ArenaServer" Arena "$@"
`

// report is what the server says of itself, in a line.
type report struct {
	PID  int
	Args []string
	Home string
	Dir  string
}

// TestMain is also the server of the export, which is a copy of this program.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "ArenaServer" {
		os.Exit(server())
	}
	takeSignals()
	os.Exit(m.Run())
}

// takeSignals undoes what nohup and a shell's background jobs do: a signal that is
// ignored when a shell script starts cannot be trapped there. One that this process
// takes is not ignored by those that it starts.
func takeSignals() {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// server writes to Saved/, says ready, and ends with a code of its own once
// ARENA_WAITS_FOR comes, or at once.
func server() int {
	go func() { // a test that is killed leaves nothing behind
		_, _ = io.Copy(io.Discard, os.NewFile(3, "the test"))
		os.Exit(98)
	}()
	for _, arg := range os.Args {
		if dir, ok := strings.CutPrefix(arg, "-userdir="); ok {
			if err := os.WriteFile(filepath.Join(dir, "Saved", "game.sav"), []byte("saved"), 0o600); err != nil {
				fmt.Println(err)
				return 99
			}
		}
	}
	waitsFor := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "USR1": syscall.SIGUSR1}[os.Getenv("ARENA_WAITS_FOR")]
	signals := make(chan os.Signal, 128) // one for which there is no room is lost
	if waitsFor != 0 {
		signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	}
	dir, _ := os.Getwd()
	line, _ := json.Marshal(report{os.Getpid(), os.Args[1:], os.Getenv("HOME"), dir})
	fmt.Println("ready", string(line))
	if waitsFor != 0 {
		for s := range signals {
			fmt.Println("got", s)
			if s == waitsFor {
				break
			}
		}
	}
	var code int
	_, _ = fmt.Sscan(os.Getenv("ARENA_CODE"), &code)
	return code
}

// harness is an export and a data folder, for a user who is not root.
type harness struct {
	*testing.T
	game, data, entrypoint string
	env                    []string
	alive                  *os.File // ends with the test
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	// Not t.TempDir: only its owner may look into it.
	base, err := os.MkdirTemp("", "unreal-server-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("chmod", "-R", "u+w", base).Run() // what tests made read-only
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	alive, test, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { alive.Close(); test.Close() })
	h := &harness{T: t, alive: alive, game: filepath.Join(base, "game"), data: filepath.Join(base, "data"), entrypoint: filepath.Join(base, "entrypoint")}
	own, err := os.ReadFile("entrypoint.sh")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binaries := filepath.Join(h.game, "Arena", "Binaries", "Linux")
	err = errors.Join(os.MkdirAll(binaries, 0o755), os.Mkdir(h.data, 0o777), os.Chmod(base, 0o755), os.Chmod(h.data, 0o777),
		os.WriteFile(h.entrypoint, own, 0o755), os.WriteFile(filepath.Join(h.game, "ArenaServer.sh"), []byte(script), 0o755),
		copyFile(program, filepath.Join(binaries, "ArenaServer")))
	if err != nil {
		t.Fatal(err)
	}
	h.env = []string{"PATH=" + os.Getenv("PATH"), "UNREAL_DIR=" + h.game, "UNREAL_DATA=" + h.data, "GORACE=atexit_sleep_ms=0"}
	return h
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// command is the entrypoint with more variables, as NAME=VALUE.
func (h *harness) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.entrypoint, args...)
	cmd.Env = append(append([]string{}, h.env...), env...)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{h.alive}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	// All that it has started, with it.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// run runs the entrypoint to its end.
func (h *harness) run(env []string, args ...string) (code int, output string) {
	h.Helper()
	cmd := h.command(h.Context(), env, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// serve runs the server to its end and returns what it said.
func (h *harness) serve(env []string, args ...string) report {
	h.Helper()
	code, out := h.run(env, args...)
	if code != 0 {
		h.Fatalf("%q: exit %d:\n%s", env, code, out)
	}
	return h.parse(out)
}

func (h *harness) parse(out string) report {
	h.Helper()
	_, line, ok := strings.Cut(out, "ready ")
	var r report
	if err := json.Unmarshal([]byte(strings.SplitN(line, "\n", 2)[0]), &r); !ok || err != nil {
		h.Fatalf("the server did not start: %v\n%s", err, out)
	}
	return r
}

// running is a server that waits for signals.
type running struct {
	*harness
	cmd    *exec.Cmd
	lines  *bufio.Scanner
	stderr bytes.Buffer
	report report
}

func (h *harness) start(env ...string) *running {
	h.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{harness: h, cmd: h.command(ctx, env)}
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { cancel(); _ = r.cmd.Wait() })
	r.lines = bufio.NewScanner(out)
	r.report = h.parse(r.expect("ready") + "\n")
	return r
}

// expect returns the next line that begins so.
func (r *running) expect(begin string) string {
	r.Helper()
	for r.lines.Scan() {
		if strings.HasPrefix(r.lines.Text(), begin) {
			return r.lines.Text()
		}
	}
	r.Fatalf("ended before %q:\n%s", begin, &r.stderr)
	return ""
}

func (r *running) signal(s syscall.Signal) {
	r.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.Fatal(err)
	}
}

// wait returns the exit code once everything has ended.
func (r *running) wait() int {
	r.Helper()
	for r.lines.Scan() {
		r.Log(r.lines.Text())
	}
	var exit *exec.ExitError
	if err := r.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		r.Fatal(err)
	}
	if runs(r.report.PID) {
		r.Error("the server is still there")
	}
	return r.cmd.ProcessState.ExitCode()
}

// runs reports whether a process does anything still. One that has ended, and whose parent was
// gone by then, stays a zombie where process 1 waits for nobody, as in many containers.
func runs(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return runtime.GOOS != "linux" // elsewhere there are no such files
	}
	// "pid (name) state …": the name may have spaces and brackets.
	state := bytes.TrimLeft(stat[bytes.LastIndexByte(stat, ')')+1:], " ")
	return !bytes.HasPrefix(state, []byte("Z")) && !bytes.HasPrefix(state, []byte("X"))
}

// TestZombie: a process that has ended does not run, whether or not it was waited for.
func TestZombie(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("without /proc a zombie looks like any process")
	}
	cmd := exec.Command("cat")
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if !runs(pid) {
		t.Error("a process that waits for input does not run")
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "it has ended", func() bool { return !runs(pid) })
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("it is no zombie: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if runs(pid) {
		t.Error("it runs after it was waited for")
	}
}
