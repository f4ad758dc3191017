package loadgen

import (
	"context"
	"errors"
	"net/http"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/gameserver/client"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// pingEvery keeps a player in the match, and silence without an answer
	// ends it.
	pingEvery = time.Second
	silence   = 5 * time.Second
)

// Reasons why a player was not in the match from the assignment to the leave,
// besides "refused_REASON" and "kicked_REASON" of the server.
const (
	joinFailed = "no_answer_to_join"
	pingFailed = "no_answer_to_ping"
)

// play joins, stays and leaves. The player is free after it, whatever happens.
func (f *frontend) play(ctx context.Context, t ticket, at place, s *stats) {
	defer f.release(t.bearer)
	if f.cfg.Stay == 0 {
		return
	}
	begin := time.Now()
	reason, err := f.visit(ctx, t, at, func() { s.joined(time.Since(begin)) })
	switch {
	case err == nil:
		s.do(func() { s.left++ })
	case ctx.Err() != nil:
		s.do(func() { s.interrupted++ })
	default:
		s.fail(reason, err)
	}
}

// visit is one player's match; joined is called once the player is in.
func (f *frontend) visit(ctx context.Context, t ticket, at place, joined func()) (reason string, err error) {
	c, err := client.Dial(at.connection)
	if err != nil {
		return joinFailed, err
	}
	defer c.Close()
	limit, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	if _, err := client.Enter(limit, c, at.jwt, func(ctx context.Context) (string, error) { return f.renew(ctx, t) }); err != nil {
		return sentAway(err, joinFailed), err
	}
	joined()
	for end := time.Now().Add(f.cfg.Stay); ; {
		if err := within(ctx, c.Ping); err != nil {
			return sentAway(err, pingFailed), err
		}
		left := time.Until(end)
		if left <= 0 {
			break
		}
		if err := rpc.Sleep(ctx, min(pingEvery, left)); err != nil {
			return "", err
		}
	}
	return pingFailed, within(ctx, func(ctx context.Context) (time.Duration, error) { return 0, c.Leave(ctx) })
}

func within(ctx context.Context, ping func(context.Context) (time.Duration, error)) error {
	limit, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	_, err := ping(limit)
	return err
}

// sentAway is the reason that the server gave, or another if it gave none.
func sentAway(err error, other string) string {
	var refused *client.RefusedError
	var kicked *client.KickedError
	switch {
	case errors.As(err, &refused):
		return "refused_" + string(refused.Reason)
	case errors.As(err, &kicked):
		return "kicked_" + kicked.Reason
	}
	return other
}

// renew asks for another join token.
func (f *frontend) renew(ctx context.Context, t ticket) (string, error) {
	if f.cfg.Wait == Watch {
		made, err := f.clients[t.conn].CreateJoinToken(as(ctx, t.bearer), &torikumiv1.CreateJoinTokenRequest{TicketId: t.id})
		return made.GetJwt(), err
	}
	b, err := f.call(ctx, http.MethodPost, f.cfg.Frontend+"/v1/tickets/"+t.id+"/join-token", t.bearer, nil)
	if err != nil {
		return "", err
	}
	var made torikumiv1.JoinToken
	err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, &made)
	return made.GetJwt(), err
}
