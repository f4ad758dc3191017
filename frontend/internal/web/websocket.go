package web

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/coder/websocket"

	"torikumi/frontend/internal/api"
	"torikumi/pkg/problem"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// webSocketRoute is another that goes on without its handler.
	webSocketRoute = "GET /v1/tickets/{id}/websocket"
	// subprotocol is what the messages are called in the handshake.
	subprotocol = "torikumi.v1"
	// bearerSubprotocol begins the one that brings a player token: scripts of web pages
	// can set no header of the handshake, and a URL would be in logs.
	bearerSubprotocol = "torikumi.bearer."
	// lastEventID is the parameter for what event streams have a header for.
	lastEventID = "last_event_id"
)

// message is what a server-sent event has, under the same names.
type message struct {
	Event string          `json:"event"`
	ID    string          `json:"id,omitempty"`
	Data  json.RawMessage `json:"data"`
}

// webSocket streams what events does, as messages of text. What is wrong before
// the handshake is a problem; after it the stream's end is a close code.
func (s *server) webSocket(w http.ResponseWriter, r *http.Request, caller api.Caller) error {
	values, err := query(r, lastEventID)
	if err != nil {
		return err
	}
	if err := s.checkHandshake(w, r); err != nil {
		return err
	}
	id, last := r.PathValue("id"), values.Get(lastEventID)
	found, err := s.o.Service.Get(r.Context(), caller, id)
	if err != nil {
		return err // an answer of its own
	}
	known := last == eventID(found) && ended(found)
	caller.Claims = nil // it is kept for as long as the stream
	// The origin is checked already, by the rule of all routes.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{subprotocol}, InsecureSkipVerify: true})
	if err != nil {
		return nil // Accept has answered
	}
	s.o.Streams.Go(func() { s.streamMessages(conn, caller, id, last, known) })
	return errTaken
}

// streamMessages returns when the ticket has ended, the client has gone, does not read
// or speaks, or the service stops. known says that the client knows the end: no join token is
// made for it then.
func (s *server) streamMessages(conn *websocket.Conn, caller api.Caller, id, last string, known bool) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("WebSocket panicked", "panic", p, "stack", string(debug.Stack()))
		}
		_ = conn.CloseNow() // an error says that it is closed
		s.finish(webSocketRoute, http.StatusSwitchingProtocols)
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.o.Streams.Go(func() {
		defer cancel()
		// This answers pings and notes the end, too. The library's CloseRead does the
		// same, but waits for itself, for 15 s, when a client speaks.
		if _, _, err := conn.Reader(ctx); err == nil {
			_ = conn.Close(websocket.StatusPolicyViolation, "clients have nothing to say")
		}
	})
	send := func(t *torikumiv1.Ticket) error {
		if t == nil { // a heartbeat, which is not waited for here
			s.o.Streams.Go(func() { ping(ctx, conn) })
			return nil
		}
		event, data, err := news(t, last)
		if err != nil || data == nil {
			return err
		}
		last = event
		return sendMessage(ctx, conn, message{Event: "ticket", ID: event, Data: data})
	}
	var err error
	if !known {
		err = s.o.Service.Watch(ctx, caller, id, s.heartbeat, send)
	}
	switch {
	case ctx.Err() != nil: // the client has gone
	case err != nil:
		p := asProblem(err)
		data, _ := json.Marshal(p) // strings and numbers: cannot fail
		_ = sendMessage(ctx, conn, message{Event: "problem", Data: data})
		_ = conn.Close(closeCode(p), p.Reason)
	default:
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}
}

// sendMessage writes one message within the time that a client has to read it.
func sendMessage(ctx context.Context, conn *websocket.Conn, m message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

// ping keeps proxies from closing a quiet connection, and ends one whose client does
// not answer in time.
func ping(ctx context.Context, conn *websocket.Conn) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if conn.Ping(ctx) != nil {
		_ = conn.CloseNow() // and with it the stream
	}
}

// closeCode says in RFC 6455's words what a problem does.
func closeCode(p problem.Problem) websocket.StatusCode {
	switch {
	case p.Reason == "stopping":
		return websocket.StatusServiceRestart
	case p.Status == http.StatusServiceUnavailable:
		return websocket.StatusTryAgainLater
	case p.Status >= http.StatusInternalServerError:
		return websocket.StatusInternalError
	}
	return websocket.StatusPolicyViolation
}

// webSocketTokens returns the Authorization headers, and the tokens among the
// subprotocols as such.
func webSocketTokens(r *http.Request) []string {
	all := slices.Clone(r.Header.Values("Authorization"))
	for _, p := range list(r.Header, "Sec-WebSocket-Protocol") {
		if raw, ok := strings.CutPrefix(p, bearerSubprotocol); ok {
			all = append(all, "Bearer "+raw)
		}
	}
	return all
}

// checkHandshake checks what the library would refuse in plain text, and which page
// asks: browsers let every page open a WebSocket.
func (s *server) checkHandshake(w http.ResponseWriter, r *http.Request) error {
	has := func(name, value string) bool {
		return slices.ContainsFunc(list(r.Header, name), func(v string) bool { return strings.EqualFold(v, value) })
	}
	if r.ProtoMajor != 1 || !has("Connection", "upgrade") || !has("Upgrade", "websocket") {
		if r.ProtoMajor == 1 { // HTTP/2 forbids them
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
		}
		return refuse(http.StatusUpgradeRequired, "this path is a WebSocket: use its protocol, over HTTP/1.1")
	}
	foreign := func(origin string) bool { return origin != "" && !s.browsers.Allows(origin) && !isHost(origin, r.Host) }
	if slices.ContainsFunc(r.Header.Values("Origin"), foreign) {
		p := problem.New(http.StatusForbidden, "pages of this origin may not call")
		p.Reason = "foreign_origin"
		return &api.Error{Problem: p}
	}
	var wrong []problem.Field
	check := func(ok bool, name, rule string) {
		if !ok {
			wrong = append(wrong, problem.Field{Field: name, Rule: rule})
		}
	}
	keys := r.Header.Values("Sec-WebSocket-Key")
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.Join(keys, "")))
	check(len(keys) == 1 && err == nil && len(key) == 16, "Sec-WebSocket-Key", "must be 16 bytes in base64")
	// Browsers end a connection for which none of their subprotocols was chosen.
	offered := list(r.Header, "Sec-WebSocket-Protocol")
	check(len(offered) == 0 || slices.Contains(offered, subprotocol), "Sec-WebSocket-Protocol", "must have "+subprotocol+", if any")
	version := slices.Equal(r.Header.Values("Sec-WebSocket-Version"), []string{"13"})
	check(version, "Sec-WebSocket-Version", "must be 13")
	if !version {
		w.Header().Set("Sec-WebSocket-Version", "13")
	}
	if len(wrong) > 0 {
		return refuse(http.StatusBadRequest, "the handshake of the WebSocket is wrong", wrong...)
	}
	return nil
}

// isHost reports whether an origin is that of the host to which a page calls.
func isHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// list returns the elements of a header that is a list.
func list(h http.Header, name string) []string {
	var all []string
	for _, line := range h.Values(name) {
		for v := range strings.SplitSeq(line, ",") {
			if v = strings.TrimSpace(v); v != "" {
				all = append(all, v)
			}
		}
	}
	return all
}
