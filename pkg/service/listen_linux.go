package service

import (
	"bufio"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// portRetry is how long a port is tried again that no server has: longer than most
// connections last.
const portRetry = 5 * time.Second

// portHolder looks into /proc for the socket that keeps a listener from an address.
// A server counts before connections.
func portHolder(wanted netip.AddrPort) holder {
	var found holder
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, s := range sockets(table) {
			const listening, closed, waiting = "0A", "07", "06"
			if !collide(s.local, wanted) || s.state == closed || s.state == waiting || found.server {
				continue
			}
			found = holder{server: s.state == listening, inode: s.inode}
			if !found.server {
				found.peer = s.peer
			}
		}
	}
	return found
}

// collide reports whether a socket keeps a listener from an address. No address is
// any; an IPv6 socket on any address mostly has those of IPv4 as well.
func collide(local, wanted netip.AddrPort) bool {
	have, want := local.Addr(), wanted.Addr()
	return local.Port() == wanted.Port() &&
		(have == want || !want.IsValid() || want.IsUnspecified() || have.IsUnspecified() && (have.Is6() || want.Is4()))
}

// tcpUserTimeout is TCP_USER_TIMEOUT of tcp(7), which package syscall does not have for
// all machines.
const tcpUserTimeout = 0x12

// endSilence has a connection end after silence. If it cannot, all works but that.
func endSilence(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return // it is closed
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(silence.Milliseconds()))
	})
}

type socket struct {
	local, peer  netip.AddrPort
	state, inode string
}

// sockets reads a table of the kernel; rows that are not as expected are passed
// over.
func sockets(table string) []socket {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close() //nolint:errcheck // it is only read
	var out []socket
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 {
			continue
		}
		local, ok := endpoint(fields[1])
		peer, ok2 := endpoint(fields[2])
		if ok && ok2 {
			out = append(out, socket{local, peer, fields[3], fields[9]})
		}
	}
	return out
}

// endpoint reads an address as the kernel writes it: words of four bytes, each
// the least significant byte first, on the machines that we know.
func endpoint(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	ip, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(ip)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(ip); i += 4 {
		slices.Reverse(ip[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok
}

// owner finds the process that has a socket, if we may see its files. It looks
// through those of every process.
func owner(inode string) (program string, pid int) {
	if inode == "" || inode == "0" {
		return "", 0
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", 0
	}
	for _, link := range links {
		if to, err := os.Readlink(link); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		process := filepath.Dir(filepath.Dir(link))
		name, err := os.ReadFile(filepath.Join(process, "comm"))
		pid, err2 := strconv.Atoi(filepath.Base(process))
		if err == nil && err2 == nil {
			return strings.TrimSpace(string(name)), pid
		}
	}
	return "", 0
}
