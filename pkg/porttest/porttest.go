// Package porttest keeps TCP ports for tests: for a server that comes later or
// comes back, and for one that never comes.
package porttest

import (
	"net/netip"
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
