package echo

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"torikumi/pkg/rpc"
)

// Result is what became of a datagram.
type Result string

// The results; all but Answered were dropped.
const (
	Answered    Result = "answered"
	Malformed   Result = "malformed"    // is no request
	SourceLimit Result = "source_limit" // too many from there
	TotalLimit  Result = "total_limit"  // too many in all
	Unsent      Result = "unsent"       // the system did not take the answer
)

// Results returns all of them.
func Results() []Result {
	return []Result{Answered, Malformed, SourceLimit, TotalLimit, Unsent}
}

// longest is the longest datagram that there is, so that none is cut to the length of
// a request.
const longest = 1 << 16

// Options are what a Server needs; all are required but Now.
type Options struct {
	// Conns are open sockets.
	Conns  []*net.UDPConn
	Limits Limits
	// Count is called with the result of each datagram, by several goroutines.
	Count  func(Result)
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Server answers on its sockets.
type Server struct {
	o       Options
	limiter *limiter
}

// New makes a Server.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, limiter: newLimiter(o.Limits)}
}

// Run answers until ctx ends, closes the sockets and returns nil.
func (s *Server) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, conn := range s.o.Conns {
		health := rpc.NewHealth(s.o.Logger.With("address", conn.LocalAddr().String()), "datagrams cannot be read", "datagrams can be read again")
		for range runtime.GOMAXPROCS(0) {
			group.Go(func() error { s.read(ctx, conn, health); return nil })
		}
	}
	group.Go(func() error {
		<-ctx.Done()
		for _, conn := range s.o.Conns {
			_ = conn.Close() // nothing is kept in it
		}
		return nil
	})
	return group.Wait()
}

// read answers until the socket is closed. What else the system may say of it passes.
func (s *Server) read(ctx context.Context, conn *net.UDPConn, health *rpc.Health) {
	backoff := rpc.Backoff{Min: time.Millisecond, Max: time.Second}
	buf := make([]byte, longest)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return
		}
		health.Record(err)
		if err != nil {
			if backoff.Wait(ctx) != nil {
				return
			}
			continue
		}
		backoff.Reset()
		s.o.Count(s.handle(buf[:n], from, conn.WriteToUDPAddrPort))
	}
}

// handle answers one datagram.
func (s *Server) handle(datagram []byte, from netip.AddrPort, send func([]byte, netip.AddrPort) (int, error)) Result {
	if !reply(datagram) {
		return Malformed
	}
	if result := s.limiter.allow(from.Addr(), s.o.Now()); result != Answered {
		return result
	}
	if _, err := send(datagram, from); err != nil {
		return Unsent
	}
	return Answered
}
