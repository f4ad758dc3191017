//go:build e2e

package netpol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// space is a network namespace. It is gone when its file is closed, or this
// process ends, however that happens.
type space struct{ file *os.File }

// inThread runs f in a thread that ends with it, as its namespace is another.
func inThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

func newSpace(t *testing.T) space {
	t.Helper()
	var s space
	err := inThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		s.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { s.file.Close() })
	s.run(t, "ip", "link", "set", "lo", "up")
	return s
}

func (s space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.file.Fd()) }

func (s space) do(f func() error) error {
	return inThread(func() error {
		if err := unix.Setns(int(s.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

func (s space) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net=" + s.path()}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
	return string(out)
}

// network is a node that routes between hosts, each with a cable of its own.
type network struct {
	node  space
	hosts map[string]space // by address
}

func newNetwork(t *testing.T, addresses ...string) *network {
	n := &network{node: newSpace(t), hosts: map[string]space{}}
	n.node.run(t, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	for i, address := range addresses {
		s, cable := newSpace(t), "v"+strconv.Itoa(i)
		n.hosts[address] = s
		n.node.run(t, "ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", s.path())
		n.node.run(t, "ip", "addr", "add", nodeAddress+"/32", "dev", cable)
		n.node.run(t, "ip", "link", "set", cable, "up")
		s.run(t, "ip", "addr", "add", address+"/32", "dev", "eth0")
		s.run(t, "ip", "link", "set", "eth0", "up")
		s.run(t, "ip", "route", "add", nodeAddress, "dev", "eth0")
		s.run(t, "ip", "route", "add", "default", "via", nodeAddress)
		n.node.run(t, "ip", "route", "add", address+"/32", "dev", cable)
		serve(t, s)
	}
	n.hosts[nodeAddress] = n.node
	serve(t, n.node)
	return n
}

const nodeAddress = "10.1.0.254"

// serve echoes on the ports that the tests use.
func serve(t *testing.T, s space) {
	t.Helper()
	err := s.do(func() error {
		for _, port := range []string{"80", "81", "85", "86", "8080"} {
			l, err := net.Listen("tcp4", ":"+port)
			if err != nil {
				return err
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
				}
			}()
		}
		p, err := net.ListenPacket("udp4", ":80")
		if err != nil {
			return err
		}
		t.Cleanup(func() { p.Close() })
		go func() {
			b := make([]byte, 16)
			for {
				n, from, err := p.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = p.WriteTo(b[:n], from)
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dropped is how many packets the rules have dropped.
func (n *network) dropped(t *testing.T) int {
	t.Helper()
	out := n.node.run(t, "nft", "list", "counter", "inet", Table, "dropped")
	_, after, _ := strings.Cut(out, "packets ")
	number, _, _ := strings.Cut(after, " ")
	count, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("no counter in %s", out)
	}
	return count
}

// reaches sends from one host to another and reports whether there is an
// answer. If there is none, the rules have dropped it.
func (n *network) reaches(t *testing.T, from, to, protocol, port string) bool {
	t.Helper()
	before := n.dropped(t)
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		answered <- n.hosts[from].do(func() error { return ask(ctx, protocol+"4", net.JoinHostPort(to, port)) })
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-answered:
			cancel()
			if err != nil {
				t.Fatalf("%s to %s %s/%s: %v", from, to, protocol, port, err)
			}
			return true
		case <-tick.C:
			if n.dropped(t) == before {
				continue
			}
			cancel()
			return <-answered == nil
		}
	}
}

func ask(ctx context.Context, network, address string) error {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		return errors.Join(ctx.Err(), err)
	}
	return nil
}
