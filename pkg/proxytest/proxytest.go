// Package proxytest is a TCP proxy for tests: it loses what networks lose, and what
// processes leave of their connections when they are killed.
package proxytest

import (
	"io"
	"net"
	"sync"
	"testing"

	"torikumi/pkg/porttest"
)

// Proxy passes connections on. It is safe for concurrent use.
type Proxy struct {
	// Addr is where it listens.
	Addr string

	t      testing.TB
	target string
	work   sync.WaitGroup

	mu    sync.Mutex
	mode  mode
	lis   net.Listener
	conns map[net.Conn]bool
}

// mode is what happens to connections, and to what the target says on them.
type mode int

const (
	pass mode = iota
	swallow
	cutAtAnswer
	refuse
)

// New makes a proxy that listens at an address and passes on to the target until the
// test ends. The address may be 127.0.0.1:0: the port that it gets is nobody else's
// while it refuses connections.
func New(t testing.TB, listen, target string) *Proxy {
	t.Helper()
	if listen == "127.0.0.1:0" {
		listen = porttest.Hold(t).String()
	}
	p := &Proxy{Addr: listen, t: t, target: target, conns: make(map[net.Conn]bool)}
	p.listen()
	t.Cleanup(func() { p.Refuse(); p.work.Wait() })
	return p
}

// listen begins to; mu is held, or nobody else has p.
func (p *Proxy) listen() {
	p.t.Helper()
	lis, err := net.Listen("tcp", p.Addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.lis, p.Addr = lis, lis.Addr().String()
	p.work.Go(func() { p.accept(lis) })
}

// Swallow loses all that the target says from now on.
func (p *Proxy) Swallow() { p.set(swallow) }

// CutAtAnswer ends a connection when the target says something on it.
func (p *Proxy) CutAtAnswer() { p.set(cutAtAnswer) }

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = m
}

// Refuse ends all connections, and takes no more.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = refuse
	_ = p.lis.Close() // it may be closed already
	p.end()
}

// Restore ends all connections, and passes new ones on.
func (p *Proxy) Restore() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
	if p.mode == refuse {
		p.listen()
	}
	p.mode = pass
}

// end ends all connections; mu is held.
func (p *Proxy) end() {
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *Proxy) accept(lis net.Listener) {
	for {
		in, err := lis.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		if !p.keep(lis, in, out) {
			return
		}
		p.work.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
		p.work.Go(func() { p.answer(in, out); _, _ = in.Close(), out.Close() })
	}
}

// keep has connections ended with the others. It reports whether the listener is
// still in use; else they are ended at once.
func (p *Proxy) keep(lis net.Listener, conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.mode != refuse && p.lis == lis
	for _, c := range conns {
		if kept {
			p.conns[c] = true
		} else {
			_ = c.Close()
		}
	}
	return kept
}

// answer passes on what the target says, as the mode has it.
func (p *Proxy) answer(in, out net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := out.Read(buffer)
		p.mu.Lock()
		m := p.mode
		p.mu.Unlock()
		switch {
		case err != nil || m == cutAtAnswer || m == refuse:
			return
		case m == swallow:
			continue
		}
		if _, err := in.Write(buffer[:n]); err != nil {
			return
		}
	}
}
