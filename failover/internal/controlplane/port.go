package controlplane

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Ports are taken from below the range that the kernel gives to outgoing
// connections, so that none takes an API server's port while it is stopped.
const (
	firstPort = 20000
	ports     = 2000
)

// port is a free port of loopback, kept from other test processes by a lock
// until it is closed.
type port struct {
	number int
	lock   *os.File
}

func reservePort() (*port, error) {
	dir := filepath.Join(os.TempDir(), "torikumi-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, i := range rand.Perm(ports) {
		n := firstPort + i
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(n)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && free(n) {
			return &port{number: n, lock: f}, nil
		}
		f.Close()
	}
	return nil, fmt.Errorf("none of the ports from %d to %d is free", firstPort, firstPort+ports-1)
}

func free(n int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

func (p *port) url(scheme string) string {
	return fmt.Sprintf("%s://127.0.0.1:%d", scheme, p.number)
}

func (p *port) close() { p.lock.Close() }
