package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/problem"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// events streams the states of a ticket as server-sent events: "ticket" with the
// ticket as JSON, at once and after each change; "problem" if the stream breaks
// on our side. It ends after the final state, and with it the connection. A client
// that comes back with the id of its last event, to any frontend, is told what is
// new; one that knows the end gets 204, after which browsers ask no more.
//
// Thousands wait this way. So the stream takes the connection over from
// net/http, whose handler would keep its buffers, its request and a deep stack
// as long as it runs: 27 kB of each player's 40.
func (s *server) events(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	if _, err := query(r); err != nil {
		return err
	}
	if len(r.Header.Values("Last-Event-ID")) > 1 {
		return refuse(http.StatusBadRequest, "the request cannot be read", problem.Field{Field: "Last-Event-ID", Rule: "must be given once"})
	}
	id := r.PathValue("id")
	found, err := s.o.Service.Get(r.Context(), caller, id)
	if err != nil {
		return err // an answer of its own
	}
	last := r.Header.Get("Last-Event-ID")
	if last == eventID(found) && ended(found) {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	caller.Claims = nil // it is kept for as long as the stream
	head := w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("X-Accel-Buffering", "no")
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2 has no connection of its own
		s.streamWithin(w, r, caller, id, last)
		return nil
	}
	head.Set("Connection", "close")
	setDate(head)
	s.o.Streams.Go(func() { s.stream(conn, head, caller, id, last) })
	return errTaken
}

// stream writes the answer. It returns when the ticket has ended, the client has
// gone or does not read, or the service stops.
func (s *server) stream(conn net.Conn, head http.Header, caller api.Caller, id, last string) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("event stream panicked", "panic", p, "stack", string(debug.Stack()))
		}
		conn.Close()
		s.finish(eventsRoute, http.StatusOK)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	out := newEventWriter(connWriter{conn, head}, last)
	s.o.Streams.Go(func() {
		if !discard(conn) || !out.heard(ctx) {
			cancel()
		}
	})
	if err := s.o.Service.Watch(ctx, caller, id, s.heartbeat, out.send); err != nil && ctx.Err() == nil {
		out.problem(err)
	}
}

// streamWithin is stream within the handler.
func (s *server) streamWithin(w http.ResponseWriter, r *http.Request, caller api.Caller, id, last string) {
	out := newEventWriter(responseWriter{w, http.NewResponseController(w)}, last)
	if err := s.o.Service.Watch(r.Context(), caller, id, s.heartbeat, out.send); err != nil && r.Context().Err() == nil {
		out.problem(err)
	}
}

// ended reports whether a ticket has its final state.
func ended(t *torikumiv1.Ticket) bool {
	switch t.GetState() {
	case torikumiv1.TicketState_ASSIGNED, torikumiv1.TicketState_CANCELLED, torikumiv1.TicketState_EXPIRED:
		return true
	}
	return false
}

// eventID is the same at every frontend for what a client sees of a ticket, but for
// the join token.
func eventID(t *torikumiv1.Ticket) string {
	h := xxhash.New()
	add := func(text string) { _, _ = fmt.Fprintf(h, "%d:%s", len(text), text) } // in memory
	add(t.GetState().String())
	add(t.GetReason())
	for _, p := range t.GetPlayers() {
		// Frontends of two versions may write it in two ways: a client is told twice then.
		text, _ := proto.MarshalOptions{Deterministic: true}.Marshal(p) // fails for texts that are not UTF-8 alone
		add(string(text))
	}
	add(fmt.Sprint(t.GetParty().GetSize()))
	for _, id := range t.GetParty().GetMissing() {
		add(id)
	}
	if a := t.GetAcceptance(); a != nil {
		add(a.GetProposalId())
		add(fmt.Sprint(len(a.GetAccepted())))
	}
	return strconv.FormatUint(h.Sum64(), 36)
}

// news returns a ticket as streams send it, with its id as an event; nil if that is the
// last that the client has.
func news(t *torikumiv1.Ticket, last string) (id string, data []byte, err error) {
	if id = eventID(t); id == last {
		return id, nil, nil
	}
	if data, err = (protojson.MarshalOptions{UseProtoNames: true}).Marshal(t); err != nil {
		return "", nil, fmt.Errorf("marshal ticket: %w", err)
	}
	return id, data, nil
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

// eventWriter writes events. It is safe for concurrent use.
type eventWriter struct {
	mu   sync.Mutex
	conn eventConn
	// begun is closed when something has been written.
	begun chan struct{}
	// last is the id of the event that the client has already.
	last   string
	failed bool
}

// newEventWriter writes to conn for a client that has the event last already.
func newEventWriter(conn eventConn, last string) *eventWriter {
	return &eventWriter{conn: conn, begun: make(chan struct{}), last: last}
}

// probe is the time after which one who has gone has answered a heartbeat.
const probe = 500 * time.Millisecond

// heard reports whether a client that sends nothing more still listens: else the
// answer to the first heartbeat makes the second fail. The ticket comes before both.
func (e *eventWriter) heard(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-e.begun:
	}
	if e.send(nil) != nil {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(probe):
		return e.send(nil) == nil
	}
}

// send writes a ticket, unless the client has it already, or a heartbeat for none.
func (e *eventWriter) send(t *torikumiv1.Ticket) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t == nil {
		return e.write(": still searching\n\n")
	}
	id, data, err := news(t, e.last)
	if err != nil {
		return err
	}
	if data == nil {
		return e.write(": nothing new\n\n")
	}
	e.last = id
	return e.write("id: %s\nevent: ticket\ndata: %s\n\n", id, data)
}

// problem is the last word.
func (e *eventWriter) problem(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	data, _ := json.Marshal(asProblem(err)) // strings and numbers: cannot fail
	_ = e.write("event: problem\ndata: %s\n\n", data)
}

// write is called with mu held; once it has failed it writes no more.
func (e *eventWriter) write(format string, args ...any) error {
	if e.failed {
		return net.ErrClosed
	}
	var text bytes.Buffer
	select {
	case <-e.begun:
	default:
		e.conn.begin(&text)
		close(e.begun)
	}
	fmt.Fprintf(&text, format, args...)
	err := e.conn.write(text.Bytes())
	e.failed = err != nil
	return err
}
