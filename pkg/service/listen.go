package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	// portRetry is how long an address is tried again that no server has: a
	// connection from this machine may have the port, and soon give it back.
	portRetry = 5 * time.Second
	portPause = 100 * time.Millisecond
	// addressInUse and excludedPort are Windows's errors for a port that is taken,
	// and for one that it keeps from programs.
	addressInUse = syscall.Errno(10048)
	excludedPort = syscall.Errno(10013)
)

// Listen listens on a TCP address. If the port is taken, the error says by whom,
// as far as the system tells. It tries again for some seconds unless that is
// another server.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	return listen(ctx, addr, func() (net.Listener, error) { return net.Listen("tcp", addr) })
}

func listen(ctx context.Context, addr string, try func() (net.Listener, error)) (net.Listener, error) {
	ctx, cancel := context.WithTimeout(ctx, portRetry)
	defer cancel()
	for {
		l, err := try()
		taken := errors.Is(err, syscall.EADDRINUSE) || runtime.GOOS == "windows" && errors.Is(err, addressInUse)
		if err != nil && !taken {
			return nil, withAdvice(err)
		}
		if err == nil {
			return l, nil
		}
		holder := portHolder(addr)
		select {
		case <-time.After(portPause):
			if !holder.server {
				continue
			}
		case <-ctx.Done():
		}
		return nil, fmt.Errorf("%w: %s", err, holder.text(addr))
	}
}

// withAdvice explains Windows's refusal, which looks like a lack of rights.
func withAdvice(err error) error {
	if runtime.GOOS == "windows" && errors.Is(err, excludedPort) {
		return fmt.Errorf("%w: Windows may keep the port for itself: netsh int ipv4 show excludedportrange protocol=tcp", err)
	}
	return err
}

// holder is who has a port.
type holder struct {
	// server: it listens there. Otherwise it is the near end of a connection to
	// peer, if that is known.
	server bool
	peer   netip.AddrPort
	// program has it, unknown if it is another user's.
	program string
	pid     int
}

func (h holder) text(addr string) string {
	who := "another program"
	if h.program != "" {
		who = fmt.Sprintf("%q (process %d)", h.program, h.pid)
	}
	switch {
	case h.server:
		return "the port has " + who
	case h.peer.IsValid():
		_, port, _ := net.SplitHostPort(addr) // net.Listen has read it
		return fmt.Sprintf("no server has the port, but a connection of %s to %s: the port is one of those that the system gives to connections; "+
			"reserve it: sysctl -w net.ipv4.ip_local_reserved_ports=%s", who, h.peer, port)
	}
	return "another program has the port, or a connection that goes out from it"
}

// portOf is the port of an address that a listener was refused.
func portOf(addr string) (uint16, bool) {
	_, text, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, false
	}
	port, err := strconv.ParseUint(text, 10, 16)
	return uint16(port), err == nil
}
