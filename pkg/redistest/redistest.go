// Package redistest gives tests a Redis: one in the process, and Redis itself.
package redistest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
)

// Each runs a test with an embedded Redis, and with Redis itself where this machine
// has it.
func Each(t *testing.T, run func(t *testing.T, address string)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { run(t, miniredis.RunT(t).Addr()) })
	t.Run("redis-server", func(t *testing.T) { run(t, Start(t).Address) })
}

// Server is a redis-server that can be killed and started again with its data.
type Server struct {
	t    testing.TB
	path string
	dir  string
	port int
	// Address is host:port.
	Address string
	cmd     *exec.Cmd
}

// Start starts Redis as it is meant to be set up: no write is confirmed that
// is not on the disk. It skips the test on a machine without Redis, but in CI.
func Start(t testing.TB) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal("redis-server is not installed, which CI has to have")
	}
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	at := porttest.Hold(t) // nobody else gets it while Redis is away
	s := &Server{t: t, path: path, dir: t.TempDir(), port: int(at.Port()), Address: at.String()}
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// Run starts it, after Kill again.
func (s *Server) Run() {
	s.t.Helper()
	s.cmd = exec.Command(s.path, "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always")
	endWithTest(s.cmd)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: s.Address})
	defer func() { _ = client.Close() }() // it has answered
	eventually.True(s.t, "Redis answers", func() bool { return client.Ping(s.t.Context()).Err() == nil })
}

// Kill ends it as a power cut would.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.t.Errorf("kill Redis: %v", err)
	}
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}

// Wipe removes its data, after Kill.
func (s *Server) Wipe() {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.dir, "appendonlydir")); err != nil {
		s.t.Fatal(err)
	}
}
