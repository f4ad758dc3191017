//go:build linux

package porttest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"torikumi/pkg/porttest"
)

// A server comes, goes with a connection still open, and comes back.
func TestAServerMayComeAndGo(t *testing.T) {
	addr := porttest.Hold(t).String()
	for range 3 {
		if c, err := net.Dial("tcp", addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("connected to %v with error %v before anyone listened", c, err)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		out, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		in, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		in.Close() // the server's end waits for the last packets of the other
		if _, err := io.ReadAll(out); err != nil {
			t.Error(err)
		}
		out.Close()
	}
}

// Who asks for any port of a range with one port gets that one if it is free,
// and none if it is held.
func TestNobodyElseGetsIt(t *testing.T) {
	var port uint16
	only := func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			const ipLocalPortRange = 51
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_IP, ipLocalPortRange, int(port)<<16|int(port))
		})
		return errors.Join(err, failed)
	}
	listen := func() error {
		l, err := (&net.ListenConfig{Control: only}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
		if err == nil {
			l.Close()
		}
		return err
	}
	there, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	dial := func() error {
		c, err := (&net.Dialer{Control: only}).DialContext(t.Context(), "tcp4", there.Addr().String())
		if err == nil {
			c.Close()
		}
		return err
	}
	t.Run("held", func(t *testing.T) {
		port = porttest.Hold(t).Port()
		if err := listen(); errors.Is(err, syscall.ENOPROTOOPT) {
			t.Skip("needs Linux 6.3: ", err)
		} else if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a listener got the port, or failed otherwise: %v", err)
		}
		if err := dial(); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("a connection got the port, or failed otherwise: %v", err)
		}
	})
	// What is let go may be had, or somebody else was quicker.
	for range 20 {
		if err := dial(); err == nil || errors.Is(err, syscall.ENOPROTOOPT) {
			return
		}
		t.Run("let go", func(t *testing.T) { port = porttest.Hold(t).Port() })
	}
	t.Error("nobody gets a port that is let go")
}

// A port for UDP is none of those that the system gives to who asks for any.
func TestUDP(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil {
		t.Fatal(err)
	}
	if port := porttest.UDP(t); port >= low && port <= high {
		t.Errorf("got %d, one of %s", port, text)
	}
}
