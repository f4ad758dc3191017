package sdkserver

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/coder/websocket"

	"torikumi/pkg/problem"
	httpservice "torikumi/pkg/service"
)

// overWebSocket serves streams to clients that ask for a WebSocket, as Agones's SDK
// server does, and engines whose HTTP clients read no streams need: each line of the
// answer is one text message. Everything else goes on to next.
func overWebSocket(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.URL.Path != watchPath {
			next.ServeHTTP(w, r)
			return
		}
		if !httpservice.LocalOrigin(r) {
			problem.Write(w, http.StatusForbidden, "pages of other origins may not watch")
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // engines leave the port out of the Origin
		if err != nil {
			return // it has answered
		}
		defer func() { _ = conn.CloseNow() }()
		// What the client says means nothing; that it goes away ends the stream.
		ctx := conn.CloseRead(r.Context())
		get := r.Clone(ctx)
		get.Header.Del("Upgrade")
		get.Header.Del("Connection")
		get.Body = http.NoBody
		messages := &messageWriter{ctx: ctx, conn: conn, header: http.Header{}}
		next.ServeHTTP(messages, get)
		_ = conn.Close(websocket.StatusNormalClosure, "")
	})
}

const watchPath = "/watch/gameserver"

// messageWriter sends the lines of an HTTP answer as messages.
type messageWriter struct {
	ctx    context.Context
	conn   *websocket.Conn
	header http.Header
	rest   []byte // of a line without an end
}

func (m *messageWriter) Header() http.Header { return m.header }
func (m *messageWriter) WriteHeader(int)     {}
func (m *messageWriter) Flush()              {}

func (m *messageWriter) Write(b []byte) (int, error) {
	m.rest = append(m.rest, b...)
	for {
		line, rest, whole := bytes.Cut(m.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		m.rest = rest
		if len(line) == 0 {
			continue
		}
		if err := m.conn.Write(m.ctx, websocket.MessageText, line); err != nil {
			return 0, err
		}
	}
}
