//go:build !linux

package service

import (
	"net"
	"net/netip"
	"time"
)

// portRetry is short, as another server, which most often has the port, can't be
// told from a connection: long enough for one that is about to end.
const portRetry = 500 * time.Millisecond

// portHolder knows nothing here.
func portHolder(netip.AddrPort) holder { return holder{} }

// owner knows nothing either.
func owner(string) (program string, pid int) { return "", 0 }

// endSilence does nothing: how long a silent connection lasts is the system's.
func endSilence(*net.TCPConn) {}
