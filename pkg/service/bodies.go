package service

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// bodyTimeout is how long a client may take to send the body of a request, whether
	// the route reads it or not: net/http reads to its end before it answers.
	bodyTimeout = 10 * time.Second
	// stopPatience is how long requests that have not come to their end get when the
	// service stops. Those that have get all of ShutdownTimeout.
	stopPatience = 500 * time.Millisecond
)

// arrivals are the connections on which part of a request is missing. It gives each
// a deadline, and ends them all when the service stops.
type arrivals struct {
	timeout time.Duration

	mu       sync.Mutex
	missing  map[net.Conn]bool
	stopping bool
}

func newArrivals(timeout time.Duration) *arrivals {
	return &arrivals{timeout: timeout, missing: make(map[net.Conn]bool)}
}

// LimitBodies gives the requests of a server that [Run] does not serve the same time
// to come to their end as those of others have.
func LimitBodies(s *http.Server) { newArrivals(bodyTimeout).attach(s) }

// connKey is where a request's context holds its connection.
type connKey struct{}

// attach makes a server keep to it.
func (a *arrivals) attach(s *http.Server) {
	s.Handler = a.handler(s.Handler)
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if state != http.StateActive {
			a.set(c, state == http.StateNew)
		}
	}
}

// set notes whether part of a request is missing on a connection.
func (a *arrivals) set(c net.Conn, missing bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !missing {
		delete(a.missing, c)
		return
	}
	a.missing[c] = true
	if a.stopping {
		_ = c.SetReadDeadline(time.Now()) // fails if it is closed already
	}
}

// stop ends the connections on which part of a request is missing, now and from now
// on.
func (a *arrivals) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopping = true
	for c := range a.missing {
		_ = c.SetReadDeadline(time.Now()) // as above
	}
}

func (a *arrivals) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, ok := r.Context().Value(connKey{}).(net.Conn)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		if r.ProtoMajor > 1 {
			// Its requests share the connection, which is not held up by any of them.
			if r.ContentLength != 0 {
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(a.timeout)) // it can
			}
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength == 0 {
			a.set(conn, false)
			next.ServeHTTP(w, r)
			return
		}
		_ = conn.SetReadDeadline(time.Now().Add(a.timeout)) // fails if it is closed already
		a.set(conn, true)
		whole := *r
		whole.Body = &arriving{ReadCloser: r.Body, arrived: func() {
			a.set(conn, false)
			_ = conn.SetReadDeadline(time.Time{}) // as above
		}}
		next.ServeHTTP(w, &whole)
	})
}

// arriving is a body that tells when it has come to its end.
type arriving struct {
	io.ReadCloser
	arrived func()
}

func (b *arriving) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) && b.arrived != nil {
		b.arrived()
		b.arrived = nil
	}
	return n, err
}
