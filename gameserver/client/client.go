// Package client is a game client for the reference dedicated server: it joins
// with a join token, stays, and leaves, over UDP that may lose what it sends.
// Demo, load tests and tests play with it.
package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"torikumi/gameserver/internal/wire"
	"torikumi/pkg/rpc"
	"torikumi/pkg/token"
)

const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 800 * time.Millisecond
	// maxDatagram is the most that is read of one.
	maxDatagram = 2048
)

// RefusedError says that the server did not let the player in.
type RefusedError struct {
	Reason token.Reason
	Detail string
	// Retryable: the same token may be accepted a little later.
	Retryable bool
}

func (e *RefusedError) Error() string { return fmt.Sprintf("refused: %s %s", e.Reason, e.Detail) }

// KickedError says that the server has sent the player away.
type KickedError struct{ Reason string }

func (e *KickedError) Error() string { return "kicked: " + e.Reason }

// ErrTooLong says that a token does not fit into a JOIN.
var ErrTooLong = errors.New("the token is too long for one datagram")

// Player is one who is in the match.
type Player = wire.Player

// Welcome is what the server says to a player who is let in.
type Welcome struct {
	Player, Team, MatchID string
	// Roster is who is present.
	Roster []Player
}

// Client is one player's socket. Its calls can be made at the same time; they
// are served one after the other.
type Client struct {
	conn net.Conn

	mu    sync.Mutex
	pings int
}

// Dial makes a client for the server at an address, host:port. It sends nothing.
func Dial(addr string) (*Client, error) {
	conn, err := net.Dial("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("dial server: %w", err)
	}
	return &Client{conn: conn}, nil
}

// Close closes the socket; the server hears nothing of it.
func (c *Client) Close() error { return c.conn.Close() }

// Join asks to be let in, again and again until there is an answer or ctx ends.
// The error may be a *RefusedError, a *KickedError or ErrTooLong.
func (c *Client) Join(ctx context.Context, raw string) (Welcome, error) {
	if len(wire.Join)+1+len(raw) > wire.MaxJoin {
		return Welcome{}, ErrTooLong
	}
	var welcome Welcome
	err := c.ask(ctx, wire.Join+" "+raw, func(verb, arg string) (bool, error) {
		switch verb {
		case wire.Welcome:
			var body wire.WelcomeBody
			if err := wire.Decode(arg, &body); err != nil {
				return false, err
			}
			welcome = Welcome{Player: body.Player, Team: body.Team, MatchID: body.MatchID, Roster: body.Roster}
			return true, nil
		case wire.Refused:
			var body wire.RefusedBody
			if err := wire.Decode(arg, &body); err != nil {
				return false, err
			}
			return true, &RefusedError{Reason: body.Reason, Detail: body.Detail, Retryable: body.Retryable}
		}
		return false, nil
	})
	if err != nil {
		return Welcome{}, fmt.Errorf("join: %w", err)
	}
	return welcome, nil
}

// Ping asks for a sign of life; a player who never does is dropped. It returns
// how long the answer took.
func (c *Client) Ping(ctx context.Context) (time.Duration, error) {
	c.mu.Lock()
	c.pings++
	n := strconv.Itoa(c.pings)
	c.mu.Unlock()
	begin := time.Now()
	err := c.ask(ctx, wire.Ping+" "+n, func(verb, arg string) (bool, error) { return verb == wire.Pong && arg == n, nil })
	if err != nil {
		return 0, fmt.Errorf("ping: %w", err)
	}
	return time.Since(begin), nil
}

// Roster asks who is present.
func (c *Client) Roster(ctx context.Context) (matchID string, present []Player, err error) {
	err = c.ask(ctx, wire.Roster, func(verb, arg string) (bool, error) {
		if verb != wire.Roster {
			return false, nil
		}
		var body wire.RosterBody
		if err := wire.Decode(arg, &body); err != nil {
			return false, err
		}
		matchID, present = body.MatchID, body.Players
		return true, nil
	})
	if err != nil {
		return "", nil, fmt.Errorf("roster: %w", err)
	}
	return matchID, present, nil
}

// Leave says good-bye. A server that knows the player no more counts as left.
func (c *Client) Leave(ctx context.Context) error {
	err := c.ask(ctx, wire.Leave, func(verb, _ string) (bool, error) { return verb == wire.Bye, nil })
	var kicked *KickedError
	if err != nil && !errors.As(err, &kicked) {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// Wait waits for the server to send the player away, and returns why.
func (c *Client) Wait(ctx context.Context) error {
	return c.ask(ctx, "", func(string, string) (bool, error) { return false, nil })
}

// ask sends a request until done says that an answer has come. A KICK ends every
// request.
func (c *Client) ask(ctx context.Context, request string, done func(verb, arg string) (bool, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, maxDatagram)
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		if request != "" {
			// A refused or lost datagram is sent again.
			_, _ = c.conn.Write([]byte(request))
		}
		if err := c.conn.SetReadDeadline(time.Now().Add(retry)); err != nil {
			return err
		}
		if err := c.listen(ctx, buf, done); !errors.Is(err, errAgain) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// errAgain says that the time for an answer is over.
var errAgain = errors.New("no answer yet")

func (c *Client) listen(ctx context.Context, buf []byte, done func(verb, arg string) (bool, error)) error {
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n, err := c.conn.Read(buf)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			return errAgain
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Nobody listens there at the moment: no reason to hammer the port.
			pause := rpc.Backoff{Min: firstRetry, Max: firstRetry}
			return cmp.Or(pause.Wait(ctx), errAgain)
		}
		verb, arg, ok := wire.Parse(buf[:n])
		if !ok {
			continue
		}
		if verb == wire.Kick {
			var body wire.KickBody
			if err := wire.Decode(arg, &body); err != nil {
				return err
			}
			return &KickedError{Reason: body.Reason}
		}
		if ok, err := done(verb, arg); ok || err != nil {
			return err
		}
	}
}
