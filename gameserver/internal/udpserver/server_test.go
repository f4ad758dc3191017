package udpserver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"torikumi/pkg/eventually"

	"go.uber.org/goleak"

	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeGate admits whoever comes; the token is the player's name.
type fakeGate struct {
	mu       sync.Mutex
	calls    int
	lose     bool            // answers get lost
	present  map[string]bool // player
	block    chan struct{}   // unless nil, admissions wait for it
	waiting  int
	departed []string
}

func (g *fakeGate) Admit(ctx context.Context, raw, _ string) (gateapi.Admission, error) {
	g.mu.Lock()
	g.calls++
	block := g.block
	g.waiting++
	g.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return gateapi.Admission{}, ctx.Err()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.present[raw] = true
	if g.lose {
		return gateapi.Admission{}, errors.New("answer lost")
	}
	return gateapi.Admission{Player: raw, MatchID: "m", Admission: "of-" + raw}, nil
}

func (g *fakeGate) Depart(_ context.Context, player, _ string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.present, player)
	g.departed = append(g.departed, player)
	return nil
}

func (g *fakeGate) Report(context.Context, gateapi.Presence) ([]gateapi.RefusedStay, error) {
	return nil, nil
}

func (g *fakeGate) Backfill(context.Context) (gateapi.Backfill, error) {
	return gateapi.Backfill{}, errors.New("not asked for")
}

func (g *fakeGate) Roster(context.Context) (r gateapi.Roster, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.present {
		r.Present = append(r.Present, gateapi.Player{Player: p, Admission: "of-" + p})
	}
	return r, nil
}

func open(t *testing.T, g *fakeGate, rate int) (*Server, net.Conn) {
	t.Helper()
	g.present = map[string]bool{}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := New(Options{
		Conn: conn, Gate: g, Idle: time.Minute, GateTimeout: gateTimeout(g), PresenceInterval: time.Minute, MaxPending: 8, MaxPendingPerIP: 6,
		StrangerRate: rate, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a, peer(t, conn.LocalAddr().String())
}

// Players returns who is here.
func (u *Server) Players() []wire.Player {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.present()
}

// gateTimeout is short where answers get lost.
func gateTimeout(g *fakeGate) time.Duration {
	if g.lose {
		return 100 * time.Millisecond
	}
	return time.Minute
}

func peer(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestLostAdmission: the gate has let somebody in, and its answer was lost.
func TestLostAdmission(t *testing.T) {
	g := &fakeGate{lose: true}
	_, c := open(t, g, 1000)
	_, _ = c.Write([]byte("JOIN ann"))
	eventually.True(t, "the gate is told that ann is not here", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.departed) > 0 && len(g.present) == 0
	})
}

// TestPendingIsBounded: newcomers from one IP address cannot fill the queue, and
// a repeated JOIN is no second call.
func TestPendingIsBounded(t *testing.T) {
	g := &fakeGate{block: make(chan struct{})}
	a, c := open(t, g, 100000)
	for range 20 {
		_, _ = c.Write([]byte("JOIN ann"))
	}
	for i := range 20 {
		_, _ = peer(t, c.RemoteAddr().String()).Write([]byte("JOIN p" + string(rune('a'+i))))
	}
	// Datagrams are handled in order: who gets an answer now came after all of them.
	last := peer(t, c.RemoteAddr().String())
	_, _ = last.Write([]byte("HELLO"))
	_ = last.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := last.Read(make([]byte, 1500)); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, "all workers are busy", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.waiting == workers })
	eventually.True(t, "the limit of the address is reached", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.pending) == 6
	})
	close(g.block)
	eventually.True(t, "those who waited are in", func() bool { return len(a.Players()) == 6 })
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls != 6 {
		t.Errorf("%d calls for 6 newcomers", g.calls)
	}
}

// TestAdmissionOfAnEndedMatch: the match ended while the gate was asked.
func TestAdmissionOfAnEndedMatch(t *testing.T) {
	g := &fakeGate{block: make(chan struct{})}
	a, c := open(t, g, 1000)
	_, _ = c.Write([]byte("JOIN ann"))
	eventually.True(t, "the gate is asked", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.waiting == 1 })
	a.Change("m", "")
	close(g.block)
	eventually.True(t, "ann is not let in", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return len(g.departed) == 1 })
	if p := a.Players(); len(p) != 0 {
		t.Errorf("players = %v", p)
	}
	a.Change("", "m") // it begins anew
	_, _ = c.Write([]byte("JOIN bob"))
	eventually.True(t, "bob is let in", func() bool { return len(a.Players()) == 1 })
}

// awayGate gives no answer to reports while it is away.
type awayGate struct {
	fakeGate
	away atomic.Bool
}

func (g *awayGate) Roster(context.Context) (gateapi.Roster, error) {
	if g.away.Load() {
		return gateapi.Roster{}, errors.New("away")
	}
	return gateapi.Roster{}, nil
}

// TestGateLost: only reports without an answer say that the gate is away, not time that
// has passed without reports.
func TestGateLost(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var passed atomic.Int64
	g, start := new(awayGate), time.Now()
	a := New(Options{
		Conn: conn, Gate: g, Idle: time.Minute, GateTimeout: time.Minute, PresenceInterval: time.Millisecond, MaxPending: 8, MaxPendingPerIP: 6,
		StrangerRate: 1000, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return start.Add(time.Duration(passed.Load())) },
	})
	still := func(when string) {
		passed.Add(int64(time.Hour))
		if lost := a.GateLost(); lost != 0 {
			t.Errorf("%s: the gate counts as lost for %v", when, lost)
		}
	}
	still("before the first report")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	g.away.Store(true)
	eventually.True(t, "the gate is lost", func() bool { passed.Add(int64(time.Second)); return a.GateLost() >= time.Minute })
	g.away.Store(false)
	eventually.True(t, "the gate is back", func() bool { return a.GateLost() == 0 })
	still("while the gate answers")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestChange: the gate may know of the next match before the server does.
func TestChange(t *testing.T) {
	a, c := open(t, &fakeGate{}, 1000) // who lets in to match "m"
	_, _ = c.Write([]byte("JOIN ann"))
	eventually.True(t, "ann is let in", func() bool { return len(a.Players()) == 1 })
	for _, change := range [][2]string{{"before", ""}, {"", "m"}, {"before", "m"}} {
		if a.Change(change[0], change[1]); len(a.Players()) != 1 {
			t.Errorf("sent away by %q", change)
		}
	}
	if a.Change("", "after"); len(a.Players()) != 0 {
		t.Error("ann is in the match of others")
	}
}

func TestMemoryOfStrangersIsBounded(t *testing.T) {
	var f goodbyes
	now := time.Now()
	for i := range 5 * maxGoodbyes {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), uint16(i))
		f.add(goodbye{addr: addr, word: []byte(wire.Bye), until: now.Add(goodbyeTime)})
	}
	if len(f.by) > maxGoodbyes || len(f.line) > maxGoodbyes {
		t.Errorf("%d addresses, %d in line", len(f.by), len(f.line))
	}
	f.expire(now.Add(goodbyeTime))
	if len(f.by) != 0 || len(f.line) != 0 {
		t.Errorf("%d addresses, %d in line after their time", len(f.by), len(f.line))
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter(3)
	now := time.Unix(1000, 0)
	a := netip.MustParseAddr("10.0.0.1")
	for i := range 5 {
		if got := l.allow(a, now); got != (i < 3) {
			t.Errorf("datagram %d: %v", i, got)
		}
	}
	if !l.allow(a, now.Add(time.Second)) {
		t.Error("the next second is not allowed")
	}
}
