package echo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"torikumi/pkg/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counts are the results so far.
type counts struct {
	mu sync.Mutex
	of map[Result]int
}

func (c *counts) add(r Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[Result]int)
	}
	c.of[r]++
}

func (c *counts) get(r Result) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[r]
}

// start answers on an address until the test ends.
func start(t *testing.T, addr string, o Options) (at *net.UDPAddr, results *counts) {
	t.Helper()
	listen, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", listen)
	if err != nil {
		t.Fatal(err)
	}
	results = new(counts)
	o.Conns, o.Count, o.Logger = []*net.UDPConn{conn}, results.add, slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- New(o).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().(*net.UDPAddr), results
}

func client(t *testing.T, host string, port int) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(host), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func nonce(n int) (out [NonceSize]byte) {
	copy(out[:], fmt.Sprintf("nonce %010d", n))
	return out
}

// ask sends a request and returns the next datagram that comes.
func ask(t *testing.T, conn *net.UDPConn, n int) []byte {
	t.Helper()
	if _, err := conn.Write(Request(nonce(n))); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2048)
	size, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:size]
}

// TestAnswers: on one socket both families are answered, each with its nonce and from
// where it was asked, and never with more than came.
func TestAnswers(t *testing.T) {
	at, results := start(t, ":0", Options{Limits: Limits{Source: 1000, Total: 1000}})
	hosts := []string{"127.0.0.1", "::1"}
	for i, host := range hosts {
		got := ask(t, client(t, host, at.Port), i)
		if !Answers(got, nonce(i)) || Answers(got, nonce(i+1)) || len(got) > len(Request(nonce(i))) {
			t.Errorf("%s: %q", host, got)
		}
	}
	eventually.True(t, "both are counted", func() bool { return results.get(Answered) == len(hosts) })
}

// rubbish is what is no request, answers of beacons among it.
func rubbish() map[string][]byte {
	good := Request(nonce(1))
	changed := slices.Clone(good)
	changed[0] ^= 1
	reply := slices.Clone(good)
	copy(reply, answer)
	return map[string][]byte{
		"nothing": {}, "a byte less": good[:Size-1], "a byte more": append(slices.Clone(good), 0), "another word": changed, "an answer": reply,
		"as long as can be": append(slices.Clone(good), make([]byte, 65507-Size)...), "zeros": make([]byte, Size),
	}
}

// TestRubbish: nothing comes back for it, and a request after it is answered all the same.
func TestRubbish(t *testing.T) {
	at, results := start(t, "127.0.0.1:0", Options{Limits: Limits{Source: 1000, Total: 1000}})
	conn := client(t, "127.0.0.1", at.Port)
	for name, datagram := range rubbish() {
		before := results.get(Malformed)
		if _, err := conn.Write(datagram); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		eventually.True(t, name+" is dropped", func() bool { return results.get(Malformed) == before+1 })
	}
	if got := ask(t, conn, 7); !Answers(got, nonce(7)) { // the first that comes back
		t.Errorf("after rubbish: %q", got)
	}
	if n := results.get(Answered); n > 1 {
		t.Errorf("%d were answered", n)
	}
}

// TestFlood: of very many requests, each is counted once and as many are answered as may
// be, whatever the number of readers.
func TestFlood(t *testing.T) {
	now := time.Unix(1000, 0)
	at, results := start(t, "127.0.0.1:0", Options{Limits: Limits{Source: 30, Total: 50}, Now: func() time.Time { return now }})
	var sent int
	for i := range 400 {
		conn := client(t, "127.0.0.1", at.Port) // many ports are one source
		if _, err := conn.Write(Request(nonce(i))); err != nil {
			t.Fatal(err)
		}
		sent++
		eventually.True(t, "it is counted", func() bool { return results.get(Answered)+results.get(SourceLimit) == sent })
		_ = conn.Close()
	}
	if n := results.get(Answered); n != 30 {
		t.Errorf("%d were answered to one source, want 30", n)
	}
}

// TestLimits: a source has its own rate, of IPv6 a /64, and what is over it takes nothing
// from the others.
func TestLimits(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLimiter(Limits{Source: 3, Total: 8})
	for i, c := range []struct {
		from string
		want [5]Result
	}{
		{"192.0.2.1", [5]Result{Answered, Answered, Answered, SourceLimit, SourceLimit}},
		{"::ffff:192.0.2.1", [5]Result{SourceLimit, SourceLimit, SourceLimit, SourceLimit, SourceLimit}},
		{"2001:db8:0:1::1", [5]Result{Answered, Answered, Answered, SourceLimit, SourceLimit}},
		{"2001:db8:0:1:ffff::2", [5]Result{SourceLimit, SourceLimit, SourceLimit, SourceLimit, SourceLimit}},
		{"2001:db8:0:2::1", [5]Result{Answered, Answered, TotalLimit, SourceLimit, SourceLimit}},
	} {
		for j, want := range c.want {
			if got := l.allow(netip.MustParseAddr(c.from), now); got != want {
				t.Errorf("%d: %s, request %d: %s, want %s", i, c.from, j, got, want)
			}
		}
	}
	now = now.Add(time.Second)
	if got := l.allow(netip.MustParseAddr("192.0.2.1"), now); got != Answered {
		t.Errorf("a second later: %s", got)
	}
}

// TestSpoofedSources: whoever writes any sender on their datagrams has at most the total
// sent to others, byte for byte what was sent, and takes no memory.
func TestSpoofedSources(t *testing.T) {
	now := time.Unix(1000, 0)
	s := New(Options{Limits: Limits{Source: 5, Total: 100}, Now: func() time.Time { return now }})
	in, out := 0, 0
	send := func(b []byte, _ netip.AddrPort) (int, error) { out += len(b); return len(b), nil }
	one := func(i int) {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 53)
		datagram := Request(nonce(i))
		in += len(datagram)
		s.handle(datagram, from, send)
	}
	for i := range 100_000 {
		one(i)
	}
	if out != 100*Size {
		t.Errorf("%d bytes were sent to others in a second for %d bytes, want %d", out, in, 100*Size)
	}
	if allocs := testing.AllocsPerRun(1000, func() {
		s.limiter.allow(netip.MustParseAddr("10.0.0.1"), now)
	}); allocs != 0 {
		t.Errorf("%v allocations for a request", allocs)
	}
}

// TestUnsent: what cannot be sent is counted, and nothing more.
func TestUnsent(t *testing.T) {
	s := New(Options{Limits: Limits{Source: 5, Total: 5}})
	failing := func([]byte, netip.AddrPort) (int, error) { return 0, errors.New("no route") }
	if got := s.handle(Request(nonce(1)), netip.MustParseAddrPort("192.0.2.1:1"), failing); got != Unsent {
		t.Errorf("%s", got)
	}
}

// FuzzReply: whatever comes, nothing longer goes back, nothing that is a request, and
// nothing at all unless it is one.
func FuzzReply(f *testing.F) {
	f.Add(Request(nonce(1)))
	for _, datagram := range rubbish() {
		f.Add(datagram)
	}
	s := New(Options{Limits: Limits{Source: 1 << 40, Total: 1 << 40}})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		var sent []byte
		result := s.handle(slices.Clone(datagram), netip.MustParseAddrPort("192.0.2.1:1"), func(b []byte, _ netip.AddrPort) (int, error) {
			sent = slices.Clone(b)
			return len(b), nil
		})
		isRequest := len(datagram) == Size && string(datagram[:8]) == request
		switch {
		case isRequest != (result == Answered) || isRequest != (sent != nil):
			t.Errorf("%q: %s, sent %q", datagram, result, sent)
		case len(sent) > len(datagram) || reply(slices.Clone(sent)):
			t.Errorf("%q is answered with %q", datagram, sent)
		case isRequest && !Answers(sent, [NonceSize]byte(datagram[8:])):
			t.Errorf("%q is answered with another nonce: %q", datagram, sent)
		}
	})
}
