package proxytest_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"torikumi/pkg/proxytest"
)

// echo answers with what it is told.
func echo(t *testing.T) string {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lis.Close() })
	go func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	return lis.Addr().String()
}

// say writes a byte and reads the answer.
func say(t *testing.T, c net.Conn) error {
	t.Helper()
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

func TestProxy(t *testing.T) {
	p := proxytest.New(t, "127.0.0.1:0", echo(t))
	dial := func() net.Conn {
		c, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := dial()
	if err := say(t, c); err != nil {
		t.Fatal(err)
	}
	p.Swallow()
	if err := c.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if err := say(t, c); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("what the target says is not lost: %v", err)
	}
	p.Restore()
	c = dial()
	if err := say(t, c); err != nil {
		t.Error(err)
	}
	p.CutAtAnswer()
	if err := say(t, c); err == nil {
		t.Error("an answer comes through")
	}
	p.Restore()
	standing := dial()
	if err := say(t, standing); err != nil {
		t.Error(err)
	}
	p.Refuse()
	if err := say(t, standing); err == nil {
		t.Error("a connection goes on")
	}
	if _, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a connection is taken: %v", err)
	}
	p.Restore()
	if err := say(t, dial()); err != nil {
		t.Error(err)
	}
}
