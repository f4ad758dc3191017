package conformance

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy passes TCP on, until it is told to lose something.
type proxy struct {
	addr, target string
	lis          net.Listener
	wg           sync.WaitGroup

	mu    sync.Mutex
	mode  mode
	conns map[net.Conn]bool
}

// mode is what happens to what the server says.
type mode int

const (
	pass mode = iota
	lose
	cut
	closed
)

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: lis.Addr().String(), target: target, lis: lis, conns: make(map[net.Conn]bool)}
	p.wg.Go(p.accept)
	t.Cleanup(func() { p.refuse(); p.wg.Wait() })
	return p
}

// swallow loses all that the server says from now on.
func (p *proxy) swallow() { p.set(lose) }

// cutAtAnswer ends connections when the server says something.
func (p *proxy) cutAtAnswer() { p.set(cut) }

// restore passes on again, over new connections.
func (p *proxy) restore() {
	p.end()
	p.set(pass)
}

// refuse refuses connections from now on, and ends those that stand.
func (p *proxy) refuse() {
	p.set(closed)
	_ = p.lis.Close()
	p.end()
}

func (p *proxy) set(m mode) {
	p.mu.Lock()
	p.mode = m
	p.mu.Unlock()
}

func (p *proxy) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) accept() {
	for {
		in, err := p.lis.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.conns[in], p.conns[out] = true, true
		if p.mode == closed {
			_, _ = in.Close(), out.Close()
		}
		p.mu.Unlock()
		p.wg.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
		p.wg.Go(func() { p.answer(in, out); _, _ = in.Close(), out.Close() })
	}
}

// answer passes on what the server says, as the mode has it.
func (p *proxy) answer(in, out net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := out.Read(buffer)
		p.mu.Lock()
		m := p.mode
		p.mu.Unlock()
		switch {
		case err != nil || m == cut || m == closed:
			return
		case m == lose:
			continue
		}
		if _, err := in.Write(buffer[:n]); err != nil {
			return
		}
	}
}
