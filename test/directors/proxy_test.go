//go:build linux

package directors_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// proxy passes connections on until it is cut.
type proxy struct {
	t          *testing.T
	listen, to string
	lis        net.Listener
	work       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T, listen, to string) *proxy {
	t.Helper()
	p := &proxy{t: t, listen: listen, to: to}
	p.mend()
	t.Cleanup(p.cut)
	return p
}

func (p *proxy) mend() {
	p.t.Helper()
	lis, err := net.Listen("tcp", p.listen)
	if err != nil {
		p.t.Fatal(err)
	}
	p.lis = lis
	p.work.Go(func() {
		for {
			from, err := lis.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", p.to)
			if err != nil {
				_ = from.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, from, to)
			p.mu.Unlock()
			p.work.Go(func() { _, _ = io.Copy(to, from); _ = to.Close() })
			p.work.Go(func() { _, _ = io.Copy(from, to); _ = from.Close() })
		}
	})
}

func (p *proxy) cut() {
	_ = p.lis.Close() // it may be closed already
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.work.Wait()
}
