//go:build chaos && linux

package test

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"torikumi/proto/openmatch"
)

// mortal is a service that is killed, and is soon there again, where it was.
type mortal struct {
	c       *chaos
	service string
	n       int
	args    []string

	mu sync.Mutex
	p  *process // nil while it is down
	// all are those that ever ran.
	all []*process
}

// start starts it, again after it was killed.
func (m *mortal) start() {
	ctx, cancel := context.WithTimeout(m.c.ctx, patience)
	defer cancel()
	if ctx.Err() != nil {
		return
	}
	p, err := run(ctx, m.service, m.args)
	if err != nil {
		if m.c.ctx.Err() == nil {
			m.c.violated("process", "%s %d does not start: %v", m.service, m.n, err)
		}
		return
	}
	m.mu.Lock()
	m.p, m.all = p, append(m.all, p)
	m.mu.Unlock()
	m.c.work.Go(func() {
		<-p.done
		if p.err != nil {
			m.c.violated("process", "%s %d: %v", m.service, m.n, p.err)
		}
	})
}

// kill ends it without a warning; it is started again in a moment. It returns when the
// process was there to be killed.
func (m *mortal) kill() (at time.Time, ok bool) {
	p := m.down()
	if p == nil {
		return at, false
	}
	at = time.Now()
	p.kill()
	m.c.work.Go(func() {
		m.c.wait(m.c.some(100, 1500))
		m.start()
	})
	return at, true
}

// stop ends it as a supervisor does, for good.
func (m *mortal) stop() {
	if p := m.down(); p != nil {
		p.Stop()
	}
}

// down takes the process that runs, nil if none does.
func (m *mortal) down() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.p
	m.p = nil
	return p
}

// up reports whether it runs.
func (m *mortal) up() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.p != nil
}

// chaosFrontend is one frontend, with its way to Open Match.
type chaosFrontend struct {
	mortal
	url string
	// made are tickets of Open Match that it has made, and when. It needs mortal's mu.
	made map[string]time.Time
}

// early is how long a frontend may take to write down that Open Match has made a ticket,
// or to have one deleted that nobody waits for.
const early = 5 * time.Second

// see notes what Open Match has made.
func (f *chaosFrontend) see(ctx context.Context, method, phase string, message []byte) {
	if method != "CreateTicket" || phase != after {
		return
	}
	t := new(openmatch.Ticket)
	if err := proto.Unmarshal(message, t); err != nil {
		f.c.violated("process", "frontend %d is answered what cannot be read: %v", f.n, err)
		return
	}
	f.mu.Lock()
	f.made[t.GetId()] = time.Now()
	isDead := f.p == nil || ctx.Err() != nil // another may run by now
	f.mu.Unlock()
	if isDead {
		f.c.shake([]string{t.GetId()})
	}
}

// kill ends it without a warning.
func (f *chaosFrontend) kill() {
	at, ok := f.mortal.kill()
	if !ok {
		return
	}
	var fresh []string
	f.mu.Lock()
	for ticket, made := range f.made {
		if at.Sub(made) < early {
			fresh = append(fresh, ticket)
		}
	}
	f.mu.Unlock()
	f.c.t.Logf("frontend %d: killed by chance", f.n)
	f.c.shake(fresh)
}

// balancer is one address for several: a connection to it goes to one after the other,
// to the first that takes it.
type balancer struct {
	addr  string
	to    []string
	next  atomic.Int64
	conns conns
}

func newBalancer(t *testing.T, to ...string) *balancer {
	t.Helper()
	b := &balancer{to: to}
	b.addr = b.conns.listen(t, b.pass)
	return b
}

func (b *balancer) pass(in net.Conn) {
	for range b.to {
		out, err := net.Dial("tcp", b.to[int(b.next.Add(1))%len(b.to)])
		if err == nil {
			b.conns.pair(in, out, func() { _, _ = io.Copy(out, in) }, func() { _, _ = io.Copy(in, out) })
			return
		}
	}
	_ = in.Close()
}

// conns are the connections of a proxy, which all end with the test.
type conns struct {
	work sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool // nil when it is over
}

// listen calls pass with each connection, and returns the address.
func (c *conns) listen(t *testing.T, pass func(net.Conn)) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.open = make(map[net.Conn]bool)
	c.work.Go(func() {
		for {
			in, err := lis.Accept()
			if err != nil {
				return
			}
			pass(in)
		}
	})
	t.Cleanup(func() {
		_ = lis.Close()
		c.mu.Lock()
		for conn := range c.open {
			_ = conn.Close()
		}
		c.open = nil
		c.mu.Unlock()
		c.work.Wait()
	})
	return lis.Addr().String()
}

// pair runs what copies between two connections, each until one of them has ended.
func (c *conns) pair(in, out net.Conn, copies ...func()) {
	c.mu.Lock()
	over := c.open == nil
	if !over {
		c.open[in], c.open[out] = true, true
	}
	c.mu.Unlock()
	end := sync.OnceFunc(func() {
		_, _ = in.Close(), out.Close()
		c.mu.Lock()
		delete(c.open, in)
		delete(c.open, out)
		c.mu.Unlock()
	})
	if over {
		end()
		return
	}
	for _, f := range copies {
		c.work.Go(func() { defer end(); f() })
	}
}
