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
	"google.golang.org/protobuf/proto"

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
	kind    kindOfPlayer
	skill   int
	bearer  string
	// sure says that a frontend has confirmed the ticket: it must not get lost.
	sure bool
}

// newPlayer makes a player who does not depend on others.
func (c *chaos) newPlayer(n int, kind kindOfPlayer) *chaosPlayer {
	p := &chaosPlayer{c: c, kind: kind, id: fmt.Sprintf("player-%05d", n), dice: rand.New(rand.NewPCG(c.seed, uint64(n)))}
	p.skill = p.dice.IntN(2000)
	if p.dice.IntN(100) < 8 {
		p.cancels = time.Duration(1+p.dice.IntN(4000)) * time.Millisecond
	}
	return p
}

// queue is where the player searches.
func (p *chaosPlayer) queue() string {
	if p.kind == one {
		return session
	}
	return refills
}

// errBroken says that a frontend has died before it has answered, or is not there.
var errBroken = errors.New("no answer")

// request makes one call. The error is *refused for an answer that is a problem, and
// errBroken without an answer.
func (p *chaosPlayer) request(ctx context.Context, at, method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, at+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+p.bearer)
	resp, err := p.c.http.Do(req)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	r := &refused{status: resp.StatusCode}
	if err := json.Unmarshal(text, &r.problem); err != nil || resp.Header.Get("Content-Type") != problem.ContentType {
		return nil, fmt.Errorf("%d is no problem (%w): %s", resp.StatusCode, err, text)
	}
	return nil, r
}

// ask is request, of any frontend. It is repeated as long as one says that it cannot tell
// at the moment, and of the next one if there is no answer, but for what is not to be done
// twice.
func (p *chaosPlayer) ask(ctx context.Context, method, path, body string, into proto.Message) error {
	for at := p.c.anyFrontend(); ; at++ {
		err := p.askOne(ctx, p.c.frontends[at%frontends].url, method, path, body, into)
		var r *refused
		switch {
		case errors.As(err, &r) && r.status == http.StatusServiceUnavailable:
		case errors.Is(err, errBroken) && method != http.MethodPost:
		default:
			return err
		}
		if !p.c.wait(again) {
			return p.c.ctx.Err()
		}
	}
}

func (p *chaosPlayer) askOne(ctx context.Context, at, method, path, body string, into proto.Message) error {
	resp, err := p.request(ctx, at, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	return protojson.Unmarshal(text, into)
}

// call is ask for a ticket.
func (p *chaosPlayer) call(ctx context.Context, method, path, body string) (*torikumiv1.Ticket, error) {
	t := new(torikumiv1.Ticket)
	return t, p.ask(ctx, method, path, body, t)
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
	p.c.asks(p.id)
	for {
		called := p.c.now()
		t, err := p.call(p.c.ctx, http.MethodPost, "/v1/tickets", p.wish())
		var r *refused
		switch {
		case err == nil:
			p.sure = true
			p.c.began(p.id, t.GetId())
			p.c.note(t.GetId(), "create", called, stateOf(t))
			if p.cancels > 0 {
				p.c.players.Go(func() { p.cancel(t.GetId()) })
			}
			return t.GetId(), nil
		case errors.As(err, &r) && r.status == http.StatusConflict && r.problem.TicketID != "":
			// An earlier try was answered that its effect is not known.
			return p.adopt(r.problem.TicketID), nil
		case !errors.Is(err, errBroken):
			return "", err
		}
		// It may have been created all the same, and be assigned by now.
		all := new(torikumiv1.ListTicketsResponse)
		if err := p.ask(p.c.ctx, http.MethodGet, "/v1/tickets", "", all); err != nil {
			return "", err
		}
		if len(all.GetTickets()) > 0 {
			return p.adopt(all.GetTickets()[0].GetId()), nil
		}
	}
}

// wish is what the player searches for.
func (p *chaosPlayer) wish() string {
	attribute, value := "skill", p.skill
	if p.kind != one {
		attribute, value = "host", 0
	}
	if p.kind == host {
		value = 1
	}
	return fmt.Sprintf(`{"queue":%q,"players":[{"attributes":{%q:{"number":%d}}}]}`, p.queue(), attribute, value)
}

// adopt takes a ticket for the player's own that no answer has confirmed.
func (p *chaosPlayer) adopt(ticket string) string {
	p.sure = false
	p.c.began(p.id, ticket)
	return ticket
}

// cancel cancels the ticket after a time; who was assigned meanwhile plays.
func (p *chaosPlayer) cancel(ticket string) {
	if !p.c.wait(p.cancels) {
		return
	}
	called := p.c.now()
	t, err := p.call(p.c.ctx, http.MethodDelete, "/v1/tickets/"+ticket, "")
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
			t, err = p.call(p.c.ctx, http.MethodGet, "/v1/tickets/"+ticket+"/wait?timeout=10s", "")
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
	resp, err := p.request(p.c.ctx, p.c.frontends[p.c.anyFrontend()].url, http.MethodGet, "/v1/tickets/"+ticket+"/events", "")
	var r *refused
	if errors.Is(err, errBroken) || errors.As(err, &r) && r.status == http.StatusServiceUnavailable {
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
	m := p.c.sent(p.id, p.queue(), t.GetId(), server.GetMatchId(), server.GetConnection())
	socket, err := client.Dial(server.GetConnection())
	if err != nil {
		p.failed("dials "+server.GetConnection(), err)
		return
	}
	defer socket.Close()
	ctx, cancel := context.WithTimeout(p.c.ctx, patience+patient)
	defer cancel()
	called := p.c.now()
	welcome, ok := p.comeIn(ctx, socket, t)
	if !ok {
		return
	}
	p.c.seat(p.queue(), called, seatCall{match: server.GetMatchId(), call: "comes", player: p.id, team: welcome.Team})
	leaves := true
	if p.kind == one {
		select {
		case <-m.full:
		case <-time.After(together):
		case <-p.c.ctx.Done():
			return
		}
	} else {
		leaves = p.stay(ctx, socket, m)
	}
	called = p.c.now()
	if read, err := p.call(ctx, http.MethodGet, "/v1/tickets/"+t.GetId(), ""); err == nil {
		p.c.note(t.GetId(), "read", called, stateOf(read))
	} else if !isGone(err) || !p.c.mayLose {
		p.failed("reads the ticket again", err)
	}
	called = p.c.now()
	if leaves {
		_ = socket.Leave(ctx) // the server may be gone, as its gate ends it
	}
	p.c.seat(p.queue(), called, seatCall{match: server.GetMatchId(), call: "leaves", player: p.id, team: welcome.Team})
}

// comeIn has the server let the player in, which it does in the end: somebody who has
// joined a running match may be faster than its roster, and is too late when the place was
// not taken in time.
func (p *chaosPlayer) comeIn(ctx context.Context, socket *client.Client, t *torikumiv1.Ticket) (client.Welcome, bool) {
	server := t.GetServer()
	renew := func(ctx context.Context) (string, error) { return p.token(ctx, t.GetId()) }
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for jwt := t.GetJoinToken().GetJwt(); ; p.c.wait(again) {
		welcome, err := client.Enter(limit, socket, jwt, renew)
		var refused *client.RefusedError
		isRefused := errors.As(err, &refused)
		switch {
		case p.c.ctx.Err() != nil:
			return welcome, false
		case err == nil && welcome.MatchID == server.GetMatchId():
			return welcome, true
		case isRefused && refused.Retryable && limit.Err() == nil:
			continue
		case isRefused && refused.Reason == "place_given":
			if p.c.wasKept(server.GetMatchId(), p.id) {
				p.c.t.Logf("%s was told too late of match %s: the place was given away", p.id, server.GetMatchId())
				return welcome, false
			}
		}
		p.c.violated("dead server", "%s was sent to match %s at %s, and could not enter: %v, %q", p.id, server.GetMatchId(), server.GetConnection(), err, welcome.MatchID)
		return welcome, false
	}
}

// token gets another join token.
func (p *chaosPlayer) token(ctx context.Context, ticket string) (string, error) {
	for {
		answer := new(torikumiv1.JoinToken)
		err := p.ask(ctx, http.MethodPost, "/v1/tickets/"+ticket+"/join-token", "", answer)
		if !errors.Is(err, errBroken) {
			return answer.GetJwt(), err
		}
		p.c.wait(again)
	}
}
