package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

const (
	maxMessage = 16 << 10 // a token has at most 8 KiB
	maxQueue   = 64
	writeTime  = 5 * time.Second
)

// connection sends without waiting: who does not read must not hold everybody else up.
type connection struct {
	wake chan struct{}

	mu     sync.Mutex
	queue  []string
	board  string // the newest, which replaces one that is not sent yet
	closed bool
}

func newConnection() *connection { return &connection{wake: make(chan struct{}, 1)} }

func (c *connection) change(edit func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	edit()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// send queues a message. Whoever leaves too many unread is dropped.
func (c *connection) send(text string) {
	c.change(func() {
		if c.queue = append(c.queue, text); len(c.queue) > maxQueue {
			c.queue, c.closed = nil, true
		}
	})
}

func (c *connection) show(board string) { c.change(func() { c.board = board }) }

// close ends the connection once what is queued has been sent.
func (c *connection) close() { c.change(func() { c.closed = true }) }

func (c *connection) take() (texts []string, closed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	texts = c.queue
	if c.board != "" && !c.closed {
		texts = append(texts, c.board)
	}
	c.queue, c.board = nil, ""
	return texts, c.closed
}

// write sends what is queued until the connection ends.
func (c *connection) write(ctx context.Context, socket *websocket.Conn) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		}
		texts, closed := c.take()
		for _, text := range texts {
			limit, cancel := context.WithTimeout(ctx, writeTime)
			err := socket.Write(limit, websocket.MessageText, []byte(text))
			cancel()
			if err != nil { // then the socket is closed
				return
			}
		}
		if closed {
			_ = socket.Close(websocket.StatusNormalClosure, "")
			return
		}
	}
}

// serve lets a browser play over WebSocket.
func (g *game) serve(w http.ResponseWriter, r *http.Request) {
	// Pages of any origin may come: the token says who plays, and a browser adds nothing to it by itself.
	socket, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // it has answered
	}
	socket.SetReadLimit(maxMessage)
	ctx, cancel := context.WithCancel(r.Context())
	c := newConnection()
	var writing sync.WaitGroup
	writing.Go(func() { c.write(ctx, socket) })
	defer func() {
		g.gone(c)
		cancel()
		writing.Wait()
		_ = socket.CloseNow()
	}()
	if !g.come(c) {
		return
	}
	for {
		kind, data, err := socket.Read(ctx)
		if err != nil || kind != websocket.MessageText {
			return
		}
		g.message(ctx, c, string(data))
	}
}
