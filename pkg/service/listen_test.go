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

// connect makes a connection whose near end has the port.
func connect(t *testing.T) net.Conn {
	t.Helper()
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	conn, err := net.Dial("tcp", server.Addr().String())
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
	conn := connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // not as long as it takes
	_, err := service.Listen(ctx, conn.LocalAddr().String())
	for _, want := range []string{"no server has the port", conn.RemoteAddr().String(), "ip_local_reserved_ports=", "(process " + strconv.Itoa(os.Getpid()) + ")"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}

func TestListenWaitsForAConnectionToEnd(t *testing.T) {
	conn := connect(t)
	addr, tries := conn.LocalAddr().String(), 0
	l, err := service.ListenBy(t.Context(), addr, func() (net.Listener, error) {
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
