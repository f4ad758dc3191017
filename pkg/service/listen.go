package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"time"
)

const (
	// portPause is the time between two tries, of which there are some for
	// portRetry.
	portPause = 100 * time.Millisecond
	// silence is how long the other end of a connection may acknowledge nothing that was
	// sent to it.
	silence = 30 * time.Second
	// addressInUse and excludedPort are Windows's errors for a port that is taken,
	// and for one that it keeps from programs.
	addressInUse = syscall.Errno(10048)
	excludedPort = syscall.Errno(10013)
)

// Listen listens on a TCP address. If the port is taken, the error says by whom,
// as far as the system tells. It tries again for portRetry unless that is another
// server: a connection from this machine may have the port, and soon give it back.
//
// On Linux a connection ends whose other end is silent for 30 s. Else the kernel sends
// again what was written for a quarter of an hour, and a client whose machine has lost
// its power or its network would seem to wait for as long.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	l, err := listen(ctx, func() (net.Listener, error) { return net.Listen("tcp", addr) })
	if err != nil {
		return nil, err
	}
	return listener{l}, nil
}

// listener ends silent connections. They do not inherit that from a listener for
// Multipath TCP, which those of net are.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		endSilence(tcp)
	}
	return conn, err
}

func listen(ctx context.Context, try func() (net.Listener, error)) (net.Listener, error) {
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
		wanted := refused(err)
		holder := portHolder(wanted)
		select {
		case <-time.After(portPause):
			if !holder.server {
				continue
			}
		case <-ctx.Done():
		}
		return nil, fmt.Errorf("%w: %s", err, holder.text(wanted.Port()))
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
	// inode is that of the socket, if it is known.
	inode string
}

func (h holder) text(port uint16) string {
	who := "another program"
	if program, pid := owner(h.inode); program != "" { // it may be another user's
		who = fmt.Sprintf("%q (process %d)", program, pid)
	}
	switch {
	case h.server:
		return "the port has " + who
	case h.peer.IsValid():
		return fmt.Sprintf("no server has the port, but a connection of %s to %s: the port is one of those that the system gives to connections; "+
			"reserve it: sysctl -w net.ipv4.ip_local_reserved_ports=%d", who, h.peer, port)
	}
	return "another program has the port, or a connection that goes out from it"
}

// refused is the address that the system did not give to a listener: what the name
// of a host stood for. Without an IP address it is any.
func refused(err error) netip.AddrPort {
	var op *net.OpError
	if !errors.As(err, &op) {
		return netip.AddrPort{}
	}
	tcp, ok := op.Addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	wanted := tcp.AddrPort()
	return netip.AddrPortFrom(wanted.Addr().Unmap().WithZone(""), wanted.Port())
}
