package redisstore_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"torikumi/pkg/eventually"
)

// embedded is a Redis in this process.
func embedded(t *testing.T) (address string) {
	t.Helper()
	s := miniredis.RunT(t)
	return s.Addr()
}

// server is a redis-server that can be killed and started again with its data.
type server struct {
	t       testing.TB
	path    string
	dir     string
	port    int
	address string
	cmd     *exec.Cmd
}

// startServer starts Redis as it is meant to be set up: no write is confirmed that
// is not on the disk. It skips the test on a machine without Redis, but in CI.
func startServer(t testing.TB) *server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal("redis-server is not installed, which CI has to have")
	}
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, path: path, dir: t.TempDir(), port: port, address: fmt.Sprint("127.0.0.1:", port)}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.path, "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: s.address})
	defer client.Close()
	eventually.True(s.t, "Redis answers", func() bool { return client.Ping(s.t.Context()).Err() == nil })
}

// kill ends it as a power cut would.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.t.Errorf("kill Redis: %v", err)
	}
	_ = s.cmd.Wait() // it was killed
	s.cmd = nil
}
