package matchmaker

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/eventually"
	"torikumi/pkg/porttest"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// announcer is a director at an address of this machine, as far as frontends see it.
type announcer struct {
	torikumiv1.UnimplementedAnnouncementServiceServer
	stop func()

	mu      sync.Mutex
	streams map[chan *torikumiv1.Announcement]bool
	// after are the positions that were asked for.
	after []string
}

func announce(t *testing.T, addr string) *announcer {
	t.Helper()
	a := &announcer{streams: make(map[chan *torikumiv1.Announcement]bool)}
	lis, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server, served := grpc.NewServer(), make(chan struct{})
	torikumiv1.RegisterAnnouncementServiceServer(server, a)
	go func() { defer close(served); _ = server.Serve(lis) }()
	a.stop = sync.OnceFunc(func() { server.Stop(); <-served })
	t.Cleanup(a.stop)
	return a
}

func (a *announcer) Subscribe(req *torikumiv1.SubscribeRequest, out grpc.ServerStreamingServer[torikumiv1.Announcement]) error {
	stream := make(chan *torikumiv1.Announcement, 10)
	a.mu.Lock()
	a.streams[stream] = true
	a.after = append(a.after, req.GetAfter())
	a.mu.Unlock()
	defer func() { a.mu.Lock(); delete(a.streams, stream); a.mu.Unlock() }()
	if err := out.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for {
		select {
		case x := <-stream:
			if err := out.Send(x); err != nil {
				return err
			}
		case <-out.Context().Done():
			return nil
		}
	}
}

func (a *announcer) subscribed() bool { a.mu.Lock(); defer a.mu.Unlock(); return len(a.streams) == 1 }

func (a *announcer) say(position string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for s := range a.streams {
		s <- &torikumiv1.Announcement{Position: position}
	}
}

// resolver is a name whose addresses change.
type resolver struct {
	mu    sync.Mutex
	addrs []netip.Addr
	err   error
	asked int
}

func (r *resolver) set(err error, addrs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.addrs = err, nil
	for _, a := range addrs {
		r.addrs = append(r.addrs, netip.MustParseAddr(a))
	}
}

func (r *resolver) lookUp(_ context.Context, _, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	return r.addrs, r.err
}

func (r *resolver) count() int { r.mu.Lock(); defer r.mu.Unlock(); return r.asked }

// TestListen: all addresses of all names are subscribed to, once each, as they come
// and go.
func TestListen(t *testing.T) {
	port := strconv.Itoa(int(porttest.Hold(t).Port()))
	at := func(ip string) string { return net.JoinHostPort(ip, port) }
	const one, two, three = "127.0.0.1", "127.0.0.2", "127.0.0.3"
	dns := new(resolver)
	dns.set(errors.New("no such host"))
	c := New(Options{
		Store: ticket.NewMemory(ticket.Limits{}), Logger: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
		Directors: []string{at("directors.example"), at(three), at("directors.example")}, LookUp: dns.lookUp,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); c.listenToAll(ctx) }()
	defer func() { cancel(); <-ended }()

	a, b, static := announce(t, at(one)), announce(t, at(two)), announce(t, at(three))
	eventually.True(t, "the address without a name is subscribed to", static.subscribed)
	dns.set(nil, one)
	eventually.True(t, "the first address is subscribed to", a.subscribed)
	dns.set(nil, one, two, three)
	eventually.True(t, "the second address is subscribed to", b.subscribed)

	// One that is gone from the name is heard to its end, and no longer.
	dns.set(nil, two)
	before := dns.count()
	eventually.True(t, "the name is looked up", func() bool { return dns.count() > before+3 })
	if !a.subscribed() {
		t.Error("the subscription to a director that stops was given up")
	}
	a.stop()
	before = dns.count()
	eventually.True(t, "the name is looked up", func() bool { return dns.count() > before+3 })
	a = announce(t, at(one))

	// What cannot be looked up stays as it was. A director that comes back is asked
	// for what came after the last announcement.
	dns.set(errors.New("no server"))
	b.say("x-7")
	eventually.True(t, "it is heard", func() bool { return testutil.ToFloat64(c.metrics.announcements) == 1 })
	before = dns.count()
	eventually.True(t, "the name is looked up", func() bool { return dns.count() > before+3 })
	b.stop()
	b = announce(t, at(two))
	eventually.True(t, "the second address is subscribed to again", b.subscribed)
	if got := b.after[0]; got != "x-7" {
		t.Errorf("subscribed again after %q", got)
	}
	if len(a.after) > 0 {
		t.Error("an address that was gone is subscribed to again")
	}
	dns.set(nil, one, two)
	eventually.True(t, "the first address is subscribed to again", a.subscribed)
	if len(static.after) != 1 {
		t.Errorf("%d subscriptions to one address", len(static.after))
	}
}
