package gameservers

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
)

// TestTooManyConnections: a server over WebSocket that may open no more files takes
// newcomers again as soon as others have gone.
func TestTooManyConnections(t *testing.T) {
	const files = 64
	for name, program := range map[string]func(*testing.T) string{
		"Python": func(t *testing.T) string {
			need(t, "python3", "python3")
			return "python3 -B " + filepath.Join(examples, "python", "websocket.py")
		},
		"Cpp":    func(t *testing.T) string { return cpp(t, "websocket") },
		"CSharp": func(t *testing.T) string { return "mono " + csharp(t, "WebSocket") },
		"Go":     goServer,
	} {
		t.Run(name, func(t *testing.T) {
			addr := porttest.Hold(t)
			pid := start(t, new(ailingGate), int(addr.Port()), []string{"sh", "-c", fmt.Sprintf("ulimit -n %d; exec %s", files, program(t))})
			eventually.True(t, "the server takes players", func() bool { return upgraded(addr.String()) })
			var open []net.Conn
			eventually.True(t, "the server may open no more files", func() bool {
				if conn, err := net.Dial("tcp", addr.String()); err == nil {
					t.Cleanup(func() { _ = conn.Close() })
					open = append(open, conn)
				}
				all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
				return err == nil && len(all) >= files && len(open) > files
			})
			for _, conn := range open {
				_ = conn.Close()
			}
			eventually.True(t, "the server takes players again", func() bool { return upgraded(addr.String()) })
		})
	}
}

// upgraded reports whether a server speaks WebSocket with a newcomer.
func upgraded(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	answer := make([]byte, 12)
	_, err = io.ReadFull(conn, answer)
	return err == nil && strings.HasSuffix(string(answer), " 101")
}
