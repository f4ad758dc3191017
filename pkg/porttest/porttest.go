// Package porttest keeps ports for tests: for a server that comes later or
// comes back, and for one that never comes.
package porttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
)

// Hold returns an address on 127.0.0.1 whose port is the test's until it ends.
// Connections to it are refused until someone listens there, which net.Listen
// may do as often as it likes. The system gives the port to nobody who asks for
// any port, neither for a listener nor for a connection: a port that is found by
// listening and closing again is anybody's.
//
// Outside Linux nothing keeps the port after it is found.
func Hold(t testing.TB) netip.AddrPort {
	t.Helper()
	addr, release, err := hold()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return addr
}

// UDP returns a port of 127.0.0.1 for a program that will listen there over UDP. Nobody
// can keep one for it, but the system gives this one to nobody who asks for any port.
func UDP(t testing.TB) int {
	t.Helper()
	low := 32768 // Linux's default
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(text), &low)
	}
	const first = 10_000
	if low <= first {
		t.Fatalf("any port may be from %d", low)
	}
	for range 100 {
		port := first + rand.N(low-first)
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue // somebody has it
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no port is free")
	return 0
}
