//go:build chaos && linux

package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"torikumi/gameserver/client"
	"torikumi/pkg/problem"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// together is how long a player waits on the server for the others of the match.
	together = 8 * time.Second
	// again is the pause before a player asks again who was refused for a moment.
	again = 100 * time.Millisecond
)

// chaosPlayer is one player, who comes from outside.
type chaosPlayer struct {
	c    *chaos
	id   string
	dice *rand.Rand
	// cancels is after what time the player cancels; 0: never.
	cancels time.Duration
	skill   int
	bearer  string
	// sure says that a frontend has confirmed the ticket: it must not get lost.
	sure bool
}

// newPlayer makes a player who does not depend on others.
func (c *chaos) newPlayer(n int) *chaosPlayer {
	p := &chaosPlayer{c: c, id: fmt.Sprintf("player-%05d", n), dice: rand.New(rand.NewPCG(c.seed, uint64(n)))}
	p.skill = p.dice.IntN(2000)
	if p.dice.IntN(100) < 8 {
		p.cancels = time.Duration(1+p.dice.IntN(4000)) * time.Millisecond
	}
	return p
}

// frontend is any.
func (p *chaosPlayer) frontend() string { return p.c.frontends[p.dice.IntN(len(p.c.frontends))] }

// request makes one call. The error is *refused for an answer that is a problem.
func (p *chaosPlayer) request(ctx context.Context, at, method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.bearer)
	resp, err := p.c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	r := &refused{status: resp.StatusCode}
	if err := json.Unmarshal(text, &r.problem); err != nil || resp.Header.Get("Content-Type") != problem.ContentType {
		return nil, fmt.Errorf("%d is no problem (%w): %s", resp.StatusCode, err, text)
	}
	return nil, r
}

// call is request for a ticket. It is repeated as long as the frontend says that it
// cannot tell at the moment.
func (p *chaosPlayer) call(ctx context.Context, at, method, path, body string) (*torikumiv1.Ticket, error) {
	for {
		resp, err := p.request(ctx, at, method, path, body)
		var r *refused
		if errors.As(err, &r) && r.status == http.StatusServiceUnavailable {
			if !p.c.wait(again) {
				return nil, p.c.ctx.Err()
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		t := new(torikumiv1.Ticket)
		return t, protojson.Unmarshal(text, t)
	}
}

// play takes a player from Play to the end of the match.
func (p *chaosPlayer) play() {
	var err error
	if p.bearer, err = p.c.minter.MintPlayer(p.id, time.Hour, nil); err != nil {
		p.c.violated("player", "%s: %v", p.id, err)
		return
	}
	for p.c.ctx.Err() == nil {
		ticket, err := p.create()
		if err != nil {
			p.failed("asks for a match", err)
			return
		}
		last, err := p.follow(ticket)
		switch {
		case err != nil:
			p.failed("follows "+ticket, err)
			return
		case last == nil: // Redis has lost it: the player asks again
			continue
		case last.GetState() == torikumiv1.TicketState_ASSIGNED:
			p.enter(last)
		}
		return
	}
}

func (p *chaosPlayer) failed(does string, err error) {
	p.c.ended(p.id)
	if p.c.ctx.Err() == nil {
		p.c.violated("answer", "%s %s: %v", p.id, does, err)
	}
}

// create asks for a match, until there is a ticket.
func (p *chaosPlayer) create() (string, error) {
	called := p.c.now()
	t, err := p.call(p.c.ctx, p.frontend(), http.MethodPost, "/v1/tickets",
		fmt.Sprintf(`{"queue":"session","players":[{"attributes":{"skill":{"number":%d}}}]}`, p.skill))
	var r *refused
	if errors.As(err, &r) && r.status == http.StatusConflict && r.problem.TicketID != "" {
		// An earlier try was answered that its effect is not known.
		p.sure = false
		p.c.began(p.id, r.problem.TicketID)
		return r.problem.TicketID, nil
	}
	if err != nil {
		return "", err
	}
	p.sure = true
	p.c.began(p.id, t.GetId())
	p.c.note(t.GetId(), "create", called, stateOf(t))
	if p.cancels > 0 {
		at := p.frontend()
		p.c.players.Go(func() { p.cancel(at, t.GetId()) })
	}
	return t.GetId(), nil
}

// cancel cancels the ticket after a time; who was assigned meanwhile plays.
func (p *chaosPlayer) cancel(at, ticket string) {
	if !p.c.wait(p.cancels) {
		return
	}
	called := p.c.now()
	t, err := p.call(p.c.ctx, at, http.MethodDelete, "/v1/tickets/"+ticket, "")
	switch {
	case isGone(err):
		p.c.note(ticket, "cancel", called, gone)
	case err == nil:
		p.c.note(ticket, "cancel", called, stateOf(t))
	default:
		p.failed("cancels "+ticket, err)
	}
}

func isGone(err error) bool {
	var r *refused
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

// follow returns the ticket's last state, or nil if it is there no more.
func (p *chaosPlayer) follow(ticket string) (*torikumiv1.Ticket, error) {
	for {
		called := p.c.now()
		var t *torikumiv1.Ticket
		var err error
		if p.dice.IntN(2) == 0 {
			t, err = p.events(ticket)
		} else {
			t, err = p.call(p.c.ctx, p.frontend(), http.MethodGet, "/v1/tickets/"+ticket+"/wait?timeout=10s", "")
			if err == nil {
				p.c.note(ticket, "read", called, stateOf(t))
			}
		}
		switch {
		case p.c.ctx.Err() != nil:
			return nil, p.c.ctx.Err()
		case isGone(err):
			p.c.note(ticket, "read", called, gone)
			p.c.ended(p.id)
			if p.sure && !p.c.mayLose {
				return nil, fmt.Errorf("a ticket that was confirmed is gone: %w", err)
			}
			return nil, nil
		case err != nil:
			return nil, err
		case t != nil && t.GetState() != torikumiv1.TicketState_SEARCHING:
			if t.GetState() != torikumiv1.TicketState_ASSIGNED {
				p.c.ended(p.id)
			}
			return t, nil
		}
	}
}

// events follows the ticket by an event stream, to its end; nil if that is not the
// ticket's.
func (p *chaosPlayer) events(ticket string) (last *torikumiv1.Ticket, err error) {
	called := p.c.now()
	resp, err := p.request(p.c.ctx, p.frontend(), http.MethodGet, "/v1/tickets/"+ticket+"/events", "")
	var r *refused
	if errors.As(err, &r) && r.status == http.StatusServiceUnavailable {
		p.c.wait(again)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	lines, event := bufio.NewScanner(resp.Body), ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if event == "problem" {
			r := new(refused)
			if err := json.Unmarshal(data, &r.problem); err != nil {
				return nil, err
			}
			if r.status = r.problem.Status; r.status == http.StatusServiceUnavailable {
				return nil, nil
			}
			return nil, r
		}
		last = new(torikumiv1.Ticket)
		if err := protojson.Unmarshal(data, last); err != nil {
			return nil, err
		}
		p.c.note(ticket, "read", called, stateOf(last))
		called = p.c.now()
	}
	return last, p.c.ctx.Err() // an end without a last state: the stream broke
}

// enter plays: the player goes where the ticket says, waits for the others of the match,
// and leaves.
func (p *chaosPlayer) enter(t *torikumiv1.Ticket) {
	server := t.GetServer()
	m := p.c.sent(p.id, t.GetId(), server.GetMatchId(), server.GetConnection())
	socket, err := client.Dial(server.GetConnection())
	if err != nil {
		p.failed("dials "+server.GetConnection(), err)
		return
	}
	defer socket.Close()
	ctx, cancel := context.WithTimeout(p.c.ctx, patience)
	defer cancel()
	renew := func(ctx context.Context) (string, error) { return p.token(ctx, t.GetId()) }
	welcome, err := client.Enter(ctx, socket, t.GetJoinToken().GetJwt(), renew)
	if p.c.ctx.Err() != nil {
		return
	}
	if err != nil {
		p.c.violated("dead server", "%s was sent to match %s at %s, and could not enter: %v", p.id, server.GetMatchId(), server.GetConnection(), err)
		return
	}
	if welcome.MatchID != server.GetMatchId() {
		p.c.violated("dead server", "%s was sent to match %s at %s, and came to match %s", p.id, server.GetMatchId(), server.GetConnection(), welcome.MatchID)
	}
	select {
	case <-m.full:
	case <-time.After(together):
	case <-p.c.ctx.Done():
		return
	}
	called := p.c.now()
	if read, err := p.call(ctx, p.frontend(), http.MethodGet, "/v1/tickets/"+t.GetId(), ""); err == nil {
		p.c.note(t.GetId(), "read", called, stateOf(read))
	} else if !isGone(err) || !p.c.mayLose {
		p.failed("reads the ticket again", err)
	}
	_ = socket.Leave(ctx) // the server may be gone, as its gate ends it
}

// token gets another join token.
func (p *chaosPlayer) token(ctx context.Context, ticket string) (string, error) {
	resp, err := p.request(ctx, p.frontend(), http.MethodPost, "/v1/tickets/"+ticket+"/join-token", "")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct{ JWT string }
	err = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.JWT, err
}
