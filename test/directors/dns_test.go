package directors_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// name is the only one that the DNS server knows.
const name = "director.torikumi.test"

// dns is a DNS server on loopback, whose answers for name can be changed.
type dns struct {
	conn net.PacketConn

	mu    sync.Mutex
	addrs []netip.Addr
}

// resolver is what TestMain puts in the place of the system's.
var resolver = new(dns)

func (d *dns) open() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.conn = conn
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	go d.serve()
	return nil
}

func (d *dns) set(t testing.TB, addrs ...string) {
	t.Helper()
	var ips []netip.Addr
	for _, a := range addrs {
		ips = append(ips, netip.MustParseAddrPort(a).Addr())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.addrs = ips
}

func (d *dns) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := d.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if answer, err := d.answer(buf[:n]); err == nil {
			_, _ = d.conn.WriteTo(answer, from) // who has no answer asks again
		}
	}
}

func (d *dns) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	q := m.Questions[0]
	if !strings.EqualFold(q.Name.String(), name+".") {
		m.RCode = dnsmessage.RCodeNameError
		return m.Pack()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.addrs {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: a.As4()},
			})
		}
	}
	return m.Pack()
}
