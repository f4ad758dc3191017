// Package udpserver is the network side of the reference dedicated server: it takes
// datagrams, asks the gate about newcomers, keeps the sessions of those who were
// let in, and tells the gate when they go. It is where a player's path ends.
//
// Nothing that a stranger sends costs more than a bounded amount: a stranger has
// no session, is asked about by a bounded number of workers, is remembered in
// tables of fixed size, and gets answers no longer than max(64, what they sent)
// bytes.
package udpserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"torikumi/gameserver/internal/gateapi"
	"torikumi/gameserver/internal/wire"
	"torikumi/pkg/rpc"
)

// Gate is the gate as the server needs it.
type Gate interface {
	Admit(ctx context.Context, raw, key string) (gateapi.Admission, error)
	Depart(ctx context.Context, player, admission string) error
	Report(ctx context.Context, p gateapi.Presence) ([]gateapi.RefusedStay, error)
	Roster(ctx context.Context) (gateapi.Roster, error)
	Backfill(ctx context.Context) (gateapi.Backfill, error)
}

// Options are what a [Server] needs; all are required but Now.
type Options struct {
	Conn net.PacketConn
	Gate Gate
	// Idle is how long a player may be silent.
	Idle time.Duration
	// GateTimeout is how long a newcomer waits for a gate that is out of reach.
	GateTimeout time.Duration
	// PresenceInterval is the time between two reports of who is here.
	PresenceInterval time.Duration
	// Backfill asks the gate for others when somebody has left.
	Backfill bool
	// MaxPending is how many newcomers wait for the gate at a time, in all and
	// from one IP address.
	MaxPending, MaxPendingPerIP int
	// StrangerRate is how many datagrams a second of strangers from one IP
	// address are looked at.
	StrangerRate int
	Logger       *slog.Logger
	Now          func() time.Time
}

const (
	// workers ask the gate at the same time.
	workers = 4
	// goodbyeTime is how long the last word to an address is repeated when
	// something still comes from it.
	goodbyeTime = 10 * time.Second
	// maxGoodbyes bounds the addresses for which that holds.
	maxGoodbyes = 1024
	// smallest is what a stranger may always be answered with, in bytes.
	smallest = 64
)

// Server serves one match at a time. It is safe for concurrent use.
type Server struct {
	o         Options
	secret    []byte
	joins     chan *pending
	departing chan struct{} // has room for one: something is to be told to the gate

	mu        sync.Mutex
	sessions  map[netip.AddrPort]*session
	players   map[string]*session
	pending   map[netip.AddrPort]*pending
	perIP     map[netip.Addr]int
	last      goodbyes
	strangers limiter           // datagrams of strangers that are no JOIN
	joinRate  limiter           // JOINs
	leavers   map[string]string // admission → player, to be told to the gate
	short     bool              // somebody has left, and the gate is to be asked for others
	suspect   bool              // the gate may believe in players who are not here
	clearing  bool              // newcomers have to wait until that is cleared up
	ended     string            // the match that was over last
	match     string            // of the last admission
	gateAway  time.Time         // since when it answers no reports; zero: it does
	closed    bool
}

// session is a player who is here.
type session struct {
	addr      netip.AddrPort
	player    wire.Player
	match     string
	admission string
	token     digest
	heard     time.Time
}

// New makes a server on an open socket.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{
		o: o, secret: []byte(rand.Text()), joins: make(chan *pending, o.MaxPending), departing: make(chan struct{}, 1),
		sessions: map[netip.AddrPort]*session{}, players: map[string]*session{},
		pending: map[netip.AddrPort]*pending{}, perIP: map[netip.Addr]int{}, leavers: map[string]string{},
		strangers: newLimiter(o.StrangerRate), joinRate: newLimiter(o.StrangerRate),
	}
}

// Run serves until ctx ends. Then it sends everybody away (KICK shutdown), tells
// the gate as far as it answers within a second, closes the socket and returns
// nil. The error is that of the socket.
func (u *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error { u.work(ctx); return nil })
	}
	group.Go(func() error { u.report(ctx); return nil })
	group.Go(func() error { u.sweep(ctx); return nil })
	group.Go(func() error { u.keepReporting(ctx); return nil })
	group.Go(func() error { return u.read(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		u.close()
		return u.o.Conn.Close()
	})
	return group.Wait()
}

func (u *Server) close() {
	u.mu.Lock()
	u.closed = true
	for _, s := range u.sessions {
		u.remove(s, wire.Encode(wire.Kick, wire.KickBody{Reason: wire.KickShutdown}))
	}
	u.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	u.notify(ctx)
}

// Change sends the players of the match ended away, and those who wait for an
// answer about it, and all who are not of the match begun; either may be empty.
// The gate may be ahead, so that players of the next match can be here before its
// beginning is known.
func (u *Server) Change(ended, begun string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if ended != "" {
		u.ended = ended
	}
	if u.ended == begun {
		u.ended = ""
	}
	for _, s := range u.sessions {
		if u.over(s.match) || begun != "" && s.match != begun {
			u.remove(s, wire.Encode(wire.Kick, wire.KickBody{Reason: wire.KickMatchOver}))
		}
	}
}

// over reports whether a match is the one that was over last; mu is held.
func (u *Server) over(match string) bool { return u.ended != "" && match == u.ended }

func (u *Server) read(ctx context.Context) error {
	// One byte more than the longest JOIN shows that a datagram is too long.
	buf := make([]byte, wire.MaxJoin+1)
	for {
		n, from, err := u.o.Conn.ReadFrom(buf)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Windows reports what became of earlier datagrams, and those
			// that are longer than the buffer, as errors of the read.
			if n == 0 && !transient(err) {
				return fmt.Errorf("read from socket: %w", err)
			}
		}
		if udp, ok := from.(*net.UDPAddr); ok && n > 0 {
			addr := udp.AddrPort()
			u.handle(buf[:n], netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()))
		}
	}
}

// send writes a datagram; what is lost, the other side asks for again.
func (u *Server) send(to netip.AddrPort, b []byte) {
	_, _ = u.o.Conn.WriteTo(b, net.UDPAddrFromAddrPort(to))
}

// sweep ends the sessions of the silent.
func (u *Server) sweep(ctx context.Context) {
	for range rpc.Ticks(ctx, max(u.o.Idle/8, 10*time.Millisecond)) {
		u.mu.Lock()
		now := u.o.Now()
		for _, s := range u.sessions {
			if now.Sub(s.heard) >= u.o.Idle {
				u.remove(s, wire.Encode(wire.Kick, wire.KickBody{Reason: wire.KickTimeout}))
				u.o.Logger.Info("player is silent", "player", s.player.Player, "match", s.match)
			}
		}
		u.last.expire(now)
		u.mu.Unlock()
	}
}

// remove ends a session with a last word; mu is held.
func (u *Server) remove(s *session, word []byte) {
	delete(u.sessions, s.addr)
	if u.players[s.player.Player] == s {
		delete(u.players, s.player.Player)
	}
	u.last.add(goodbye{addr: s.addr, word: word, token: s.token, until: u.o.Now().Add(goodbyeTime)})
	u.leavers[s.admission] = s.player.Player
	u.wake()
	u.send(s.addr, word)
}

func (u *Server) wake() {
	select {
	case u.departing <- struct{}{}:
	default:
	}
}
