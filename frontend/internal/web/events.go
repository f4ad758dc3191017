package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// events streams the states of a ticket as server-sent events: "ticket" with the
// ticket as JSON, at once and after each change; "problem" if the stream breaks
// on our side. It ends after the final state.
type events struct {
	client    torikumiv1.FrontendServiceClient
	heartbeat time.Duration
}

// update is what the gRPC stream has to say next.
type update struct {
	ticket *torikumiv1.Ticket
	err    error
}

func (e *events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	for _, v := range r.Header.Values("Authorization") {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", v)
	}
	stream, err := e.client.WatchTicket(ctx, &torikumiv1.WatchTicketRequest{TicketId: r.PathValue("id")})
	if err != nil {
		fromError(err).Write(w)
		return
	}
	// Errors that come before the first state are answers of their own.
	first, err := stream.Recv()
	if err != nil {
		fromError(err).Write(w)
		return
	}
	updates := make(chan update)
	go func() {
		for {
			t, err := stream.Recv()
			select {
			case updates <- update{t, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	out := newEventWriter(w)
	if out.ticket(first) != nil {
		return
	}
	e.copy(ctx, out, updates)
}

// copy writes until either side is done.
func (e *events) copy(ctx context.Context, out *eventWriter, updates <-chan update) {
	beat := time.NewTicker(e.heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case u := <-updates:
			switch {
			case errors.Is(u.err, io.EOF):
				return
			case u.err != nil:
				if ctx.Err() == nil {
					_ = out.problem(u.err) // the last word
				}
				return
			}
			err = out.ticket(u.ticket)
		case <-beat.C:
			err = out.comment()
		case <-ctx.Done():
			return
		}
		if err != nil {
			return // the client has gone, or does not read
		}
	}
}

// eventWriter writes events, each within writeTimeout.
type eventWriter struct {
	w    http.ResponseWriter
	conn *http.ResponseController
	id   int
}

func newEventWriter(w http.ResponseWriter) *eventWriter {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	return &eventWriter{w: w, conn: http.NewResponseController(w)}
}

func (e *eventWriter) ticket(t *torikumiv1.Ticket) error {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(t)
	if err != nil {
		return fmt.Errorf("marshal ticket: %w", err)
	}
	e.id++
	return e.write(fmt.Sprintf("id: %d\nevent: ticket\ndata: %s\n\n", e.id, data))
}

func (e *eventWriter) problem(err error) error {
	data, marshalErr := json.Marshal(fromError(err))
	if marshalErr != nil {
		return marshalErr
	}
	return e.write(fmt.Sprintf("event: problem\ndata: %s\n\n", data))
}

func (e *eventWriter) comment() error { return e.write(": still searching\n\n") }

func (e *eventWriter) write(text string) error {
	if err := e.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(e.w, text); err != nil {
		return err
	}
	if err := e.conn.Flush(); err != nil {
		return err
	}
	// The connection may serve another request after this one.
	return e.conn.SetWriteDeadline(time.Time{})
}
