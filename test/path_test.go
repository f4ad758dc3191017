//go:build unix

package test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/local/demo"
	"torikumi/local/suite"
	"torikumi/pkg/eventually"
	"torikumi/pkg/service"
)

// quiet is a suite on free ports of this machine that logs what is wrong.
func quiet(l suite.Launcher, logs io.Writer) suite.Options {
	return suite.Options{
		HTTPListen: "127.0.0.1:0", GRPCListen: "127.0.0.1:0", IssuerListen: "127.0.0.1:0",
		ServerArgs: []string{program("torikumi"), "server"}, RegistrationInterval: 20 * time.Millisecond,
		Log:       service.Config{LogLevel: slog.LevelWarn, LogFormat: "text", ShutdownTimeout: 5 * time.Second},
		LogOutput: logs, Launcher: l,
	}
}

// TestWholePath plays everything in one process with real game servers, and
// sees that nothing is left behind.
func TestWholePath(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Setenv("TMPDIR", t.TempDir())
	logs := new(output)
	r := play(t, demo.Options{Players: 24, Seed: 7, Refill: true, Suite: quiet(suite.InProcess{}, logs)})
	if r.Players != 24 {
		t.Errorf("%d players", r.Players)
	}
	eventually.NoError(t, "no goroutine is left", func() error { return goleak.Find(before) })
	empty(t, os.TempDir())
	noChildren(t)
}

// play runs a demo and checks every field of its result.
func play(t *testing.T, o demo.Options) demo.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var progress bytes.Buffer
	o.Progress = &progress
	r, err := demo.Run(ctx, o)
	if err != nil {
		t.Fatalf("%v\n%s\n%v", err, progress.String(), o.Suite.LogOutput)
	}
	if !r.OK || r.Err != nil {
		t.Fatalf("not OK: %v\n%s\n%v", r.Err, progress.String(), o.Suite.LogOutput)
	}
	if r.Admitted != o.Players || r.Players != o.Players {
		t.Errorf("%d of %d players admitted, want all of %d", r.Admitted, r.Players, o.Players)
	}
	if r.Intruders < 4 || r.Refused != r.Intruders { // one of each kind at least
		t.Errorf("%d of %d intruders refused", r.Refused, r.Intruders)
	}
	// Two to four players make a match.
	if r.Matches < o.Players/4 || r.Matches > o.Players/2 || r.ServersRecycled != r.Matches {
		t.Errorf("%d matches, %d servers recycled", r.Matches, r.ServersRecycled)
	}
	if r.WaitP50 <= 0 || r.WaitP95 < r.WaitP50 {
		t.Errorf("waits: p50 %v ms, p95 %v ms", r.WaitP50, r.WaitP95)
	}
	return r
}

// empty sees that no file is left in the directory of temporary files.
func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("left behind: %s", filepath.Join(dir, e.Name()))
	}
}

// noChildren sees that this process has no child, not even a dead one, and
// that no game server of ours was left to init. It knows how on Linux only.
func noChildren(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Fatalf("no processes in /proc: %v", err)
	}
	for _, file := range stats {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// "pid (name) state ppid ...": the name may have spaces.
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		ours := bytes.Contains(line, []byte(builtIn))
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) || ours {
			t.Errorf("process left behind: %s %s", b, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}
