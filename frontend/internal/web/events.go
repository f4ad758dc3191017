package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/frontend/internal/api"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// events streams the states of a ticket as server-sent events: "ticket" with the
// ticket as JSON, at once and after each change; "problem" if the stream breaks
// on our side. It ends after the final state, and with it the connection.
//
// Thousands wait this way. So the stream takes the connection over from
// net/http, whose handler would keep its buffers, its request and a deep stack
// as long as it runs: 27 kB of each player's 40.
func (s *server) events(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	id := r.PathValue("id")
	if _, err := s.o.Service.Get(r.Context(), caller, id); err != nil {
		return err // an answer of its own
	}
	caller.Claims = nil // it is kept for as long as the stream
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("X-Accel-Buffering", "no")
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2 has no connection of its own
		s.streamWithin(w, r, caller, id)
		return nil
	}
	head.Set("Connection", "close")
	s.o.Streams.Go(func() { s.stream(conn, head, caller, id) })
	return errTaken
}

// stream writes the answer. It returns when the ticket has ended, the client has
// gone or does not read, or the service stops.
func (s *server) stream(conn net.Conn, head http.Header, caller api.Caller, id string) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("event stream panicked", "panic", p, "stack", string(debug.Stack()))
		}
		conn.Close()
		s.finish(eventsRoute, http.StatusOK)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.o.Streams.Go(func() { discard(conn); cancel() })
	out := &eventWriter{conn: connWriter{conn, head}}
	if err := s.o.Service.Watch(ctx, caller, id, s.heartbeat, out.send); err != nil && !out.failed && ctx.Err() == nil {
		out.problem(err)
	}
}

// streamWithin is stream within the handler.
func (s *server) streamWithin(w http.ResponseWriter, r *http.Request, caller api.Caller, id string) {
	out := &eventWriter{conn: responseWriter{w, http.NewResponseController(w)}}
	if err := s.o.Service.Watch(r.Context(), caller, id, s.heartbeat, out.send); err != nil && !out.failed && r.Context().Err() == nil {
		out.problem(err)
	}
}

// discard reads until the connection has ended.
func discard(conn net.Conn) {
	var b [64]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return
		}
	}
}

// eventConn is where an event stream is written to; each write has a time limit.
type eventConn interface {
	// begin writes the head of the answer.
	begin(*bytes.Buffer)
	write([]byte) error
}

// connWriter writes to a connection that was taken over.
type connWriter struct {
	net.Conn
	head http.Header
}

func (c connWriter) begin(text *bytes.Buffer) {
	text.WriteString("HTTP/1.1 200 OK\r\n")
	_ = c.head.Write(text) // in memory
	text.WriteString("\r\n")
}

func (c connWriter) write(b []byte) error {
	err := c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = c.Conn.Write(b)
	}
	return err
}

// responseWriter writes to an answer.
type responseWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (responseWriter) begin(*bytes.Buffer) {}

func (w responseWriter) write(b []byte) error {
	err := w.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err == nil {
		_, err = w.ResponseWriter.Write(b)
	}
	if err == nil {
		err = w.control.Flush()
	}
	if err == nil { // else it would end the stream between two events
		err = w.control.SetWriteDeadline(time.Time{})
	}
	return err
}

// eventWriter writes events.
type eventWriter struct {
	conn  eventConn
	begun bool
	// id is that of the last ticket.
	id     int
	failed bool
}

// send writes a ticket, or a heartbeat for none.
func (e *eventWriter) send(t *torikumiv1.Ticket) error {
	if t == nil {
		return e.write(": still searching\n\n")
	}
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(t)
	if err != nil {
		return fmt.Errorf("marshal ticket: %w", err)
	}
	e.id++
	return e.write("id: %d\nevent: ticket\ndata: %s\n\n", e.id, data)
}

// problem is the last word.
func (e *eventWriter) problem(err error) {
	data, _ := json.Marshal(asProblem(err)) // strings and numbers: cannot fail
	_ = e.write("event: problem\ndata: %s\n\n", data)
}

func (e *eventWriter) write(format string, args ...any) error {
	var text bytes.Buffer
	if !e.begun {
		e.conn.begin(&text)
		e.begun = true
	}
	fmt.Fprintf(&text, format, args...)
	err := e.conn.write(text.Bytes())
	e.failed = err != nil
	return err
}
