//go:build !linux

package porttest

import (
	"net"
	"net/netip"
)

func hold() (netip.AddrPort, func(), error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, nil, err
	}
	addr, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return netip.AddrPort{}, nil, err
	}
	return addr, func() {}, l.Close()
}
