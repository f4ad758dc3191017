package service_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"torikumi/pkg/service"
)

func TestListenNamesTheServer(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	_, err = service.Listen(t.Context(), other.Addr().String())
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" && !strings.Contains(err.Error(), "(process "+strconv.Itoa(os.Getpid())+")") {
		t.Error(err)
	}
}

var loopback = net.IPv4(127, 0, 0, 1)

// connect makes a connection on an address of this machine, whose near end has the
// port. It is bound before it connects: otherwise connections to elsewhere may have
// the port too.
func connect(t *testing.T, host net.IP) net.Conn {
	t.Helper()
	server, err := net.ListenTCP("tcp", &net.TCPAddr{IP: host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: host}}).Dial("tcp", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); accepted.Close() })
	return conn
}

func TestListenNamesTheConnection(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere nobody says who has a port")
	}
	conn := connect(t, loopback)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // not as long as it takes
	_, err := service.Listen(ctx, conn.LocalAddr().String())
	for _, want := range []string{"no server has the port", conn.RemoteAddr().String(), "ip_local_reserved_ports=", "(process " + strconv.Itoa(os.Getpid()) + ")"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

// Who listens on another address of the machine does not have the port.
func TestListenNamesWhoHasTheAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere nobody says who has a port")
	}
	conn := connect(t, loopback)
	_, port, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	refused := func(host, want string) {
		t.Helper()
		l, err := service.Listen(ctx, net.JoinHostPort(host, port))
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v does not say %q", host, err, want)
		}
	}
	other, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip("the port is taken on 127.0.0.2 too:", err)
	}
	defer other.Close()
	for _, host := range []string{"127.0.0.1", "::ffff:127.0.0.1", "localhost"} {
		refused(host, "no server has the port")
	}
	for _, host := range []string{"127.0.0.2", "0.0.0.0", "", "::"} {
		refused(host, "the port has ")
	}
}

// A server on any address has the port of each.
func TestListenNamesTheServerOnAnyAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere nobody says who has a port")
	}
	for network, hosts := range map[string][]string{"tcp": {"::1", "::ffff:127.0.0.1"}, "tcp4": {"::"}} {
		other, err := net.Listen(network, ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		_, port, err := net.SplitHostPort(other.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range append(hosts, "127.0.0.1", "localhost", "127.0.0.2", "") {
			_, err := service.Listen(t.Context(), net.JoinHostPort(host, port))
			if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
				continue // no IPv6
			}
			if err == nil || !strings.Contains(err.Error(), "the port has ") {
				t.Errorf("%s, %q: %v", network, host, err)
			}
		}
	}
}

// A server of IPv4 does not have the port of IPv6.
func TestListenTellsIPv6FromIPv4(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere nobody says who has a port")
	}
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("no IPv6:", err)
	} else {
		l.Close()
	}
	conn := connect(t, net.IPv6loopback)
	_, port, err := net.SplitHostPort(conn.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp4", "0.0.0.0:"+port)
	if err != nil {
		t.Skip("the port is taken in IPv4 too:", err)
	}
	defer other.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := service.Listen(ctx, "[::1]:"+port); err == nil || !strings.Contains(err.Error(), "no server has the port") {
		t.Error(err)
	}
}

func TestListenWaitsForAConnectionToEnd(t *testing.T) {
	conn := connect(t, loopback)
	addr, tries := conn.LocalAddr().String(), 0
	l, err := service.ListenBy(t.Context(), func() (net.Listener, error) {
		tries++
		l, err := net.Listen("tcp", addr)
		if err != nil && tries == 1 { // reset, so that the port is free at once
			if err := errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close()); err != nil {
				t.Error(err)
			}
		}
		return l, err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil || tries < 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
}
