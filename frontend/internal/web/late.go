package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// late is the answer of a call that waits, over HTTP/1. net/http ends the context of such
// a call when the client does not send any more. But the client may have closed its half of the
// connection alone, and still listen. So the connection is taken over then, and the answer is
// begun, a letter at a time: if the client has gone, a letter fails, and the call ends.
type late struct {
	http.ResponseWriter // of which the header is used
	minor               int
	streams             *sync.WaitGroup
	// stop keeps the connection from being taken over; false: too late.
	stop func() bool
	// end ends the call.
	end context.CancelFunc
	// over is closed when the call is over, and settled when it is known who has the
	// connection.
	over, settled chan struct{}
	// conn is set if it was taken over; then sent is how much of the answer was sent.
	conn net.Conn
	sent int
	code int
	body bytes.Buffer
}

// outlast returns the request with a context that ends when the client has gone, and not when it
// only sends nothing more. The answer has to be closed.
func (a *answer) outlast(r *http.Request, streams *sync.WaitGroup, beat time.Duration) *http.Request {
	ctx, end := context.WithCancel(context.WithoutCancel(r.Context()))
	l := &late{
		ResponseWriter: a.ResponseWriter, minor: r.ProtoMinor, streams: streams, end: end,
		over: make(chan struct{}), settled: make(chan struct{}), code: http.StatusOK,
	}
	l.stop = context.AfterFunc(r.Context(), func() {
		defer close(l.settled)
		l.take(beat)
	})
	a.late = l
	return r.WithContext(ctx)
}

// take takes the connection over, and finds out until the call is over whether the client is
// there.
func (l *late) take(beat time.Duration) {
	l.streams.Add(1)
	conn, _, err := http.NewResponseController(l.ResponseWriter).Hijack()
	if err != nil { // then the call goes on as it is
		l.streams.Done()
		return
	}
	l.conn = conn
	_ = conn.SetReadDeadline(time.Now().Add(probe)) // fails if it is closed already
	if !discard(conn) {
		l.end()
		return
	}
	begin := l.begin()
	for pause := probe; l.sent < len(begin); pause = beat {
		if l.write([]byte(begin[l.sent:l.sent+1])) != nil {
			l.end()
			return
		}
		l.sent++
		select {
		case <-l.over:
			return
		case <-time.After(pause):
		}
	}
}

// begin is what every answer begins with.
func (l *late) begin() string { return fmt.Sprintf("HTTP/1.%d ", l.minor) }

func (l *late) write(b []byte) error {
	err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = l.conn.Write(b)
	}
	return err
}

// settle ends the watch over the client, and reports whether the connection was taken over.
func (l *late) settle() bool {
	if l.stop() {
		close(l.settled)
	}
	select {
	case <-l.over:
	default:
		close(l.over)
	}
	<-l.settled
	return l.conn != nil
}

func (l *late) WriteHeader(code int) { l.code = code }

func (l *late) Write(b []byte) (int, error) { return l.body.Write(b) }

// close sends the rest of the answer if the connection was taken over.
func (l *late) close() {
	defer l.end()
	if !l.settle() {
		return
	}
	defer l.streams.Done()
	defer l.conn.Close()
	setDate(l.Header())
	resp := http.Response{
		StatusCode: l.code, ProtoMajor: 1, ProtoMinor: l.minor, Header: l.Header(), Close: true,
		ContentLength: int64(l.body.Len()), Body: io.NopCloser(&l.body),
	}
	var text bytes.Buffer
	if resp.Write(&text) == nil { // in memory
		_ = l.write(text.Bytes()[l.sent:]) // the client is gone if this fails
	}
}

// discard reads until nothing can come any more, and reports whether the client has
// said so: then it may have closed its half of the connection alone. So it may if nothing has
// come until the deadline, if there is one.
func discard(conn net.Conn) bool {
	var b [64]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

// setDate sets the header that net/http sets in the answers that it writes.
func setDate(h http.Header) { h.Set("Date", time.Now().UTC().Format(http.TimeFormat)) }
