package service_test

import (
	"net"
	"syscall"
	"testing"

	"torikumi/pkg/service"
)

// TestSilenceEndsConnections: the kernel gives up a peer that acknowledges nothing.
func TestSilenceEndsConnections(t *testing.T) {
	l, err := service.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ms int
	if controlErr := raw.Control(func(fd uintptr) { ms, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, 0x12) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
	if ms != 30_000 {
		t.Errorf("TCP_USER_TIMEOUT is %d ms", ms)
	}
}
