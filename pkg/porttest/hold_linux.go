package porttest

import (
	"fmt"
	"net/netip"
	"syscall"
)

// hold binds a socket and does not listen. With SO_REUSEADDR, which net.Listen
// sets too, Linux lets another one bind the port by its number as long as this
// one does not listen, and does not choose it by itself.
func hold() (netip.AddrPort, func(), error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.AddrPort{}, nil, fmt.Errorf("socket: %w", err)
	}
	release := func() { _ = syscall.Close(fd) } // nothing was ever sent on it
	addr, err := bind(fd)
	if err != nil {
		release()
		return netip.AddrPort{}, nil, err
	}
	return addr, release, nil
}

func bind(fd int) (netip.AddrPort, error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return netip.AddrPort{}, fmt.Errorf("set SO_REUSEADDR: %w", err)
	}
	loopback := [4]byte{127, 0, 0, 1}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback}); err != nil {
		return netip.AddrPort{}, fmt.Errorf("bind any port on 127.0.0.1: %w", err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read the port: %w", err)
	}
	bound, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		return netip.AddrPort{}, fmt.Errorf("bound %T, not an IPv4 address", name)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(bound.Addr), uint16(bound.Port)), nil
}
