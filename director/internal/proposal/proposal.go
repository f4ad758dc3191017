// Package proposal asks the players of a match, through their frontends, whether they play
// it: after the match was fetched, and before it has a game server.
package proposal

import (
	"context"
	"slices"
	"sync"
	"time"

	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Grace is how much longer than players have the answers of their frontends are waited for:
// each is told again every 2 s.
const Grace = 2500 * time.Millisecond

// repeatMin and repeatMax are the pauses between two tellings of a proposal. The first is
// short, as a frontend may hear of it before it hears that the last one is over.
const (
	repeatMin = 250 * time.Millisecond
	repeatMax = 2 * time.Second
)

// Proposals are those that are open. They serve torikumi.v1.AcceptanceService, and are safe
// for concurrent use.
type Proposals struct {
	torikumiv1.UnimplementedAcceptanceServiceServer
	send func(*torikumiv1.Announcement)

	mu   sync.Mutex
	open map[string]*open // by id
}

// open is a proposal whose answers are waited for.
type open struct {
	// asked are the tickets that have not answered, out those that play no part.
	asked, out []string
	// over is closed when nothing more is to be waited for.
	over   chan struct{}
	closed bool
}

// New returns none, that tells frontends with send.
func New(send func(*torikumiv1.Announcement)) *Proposals {
	return &Proposals{send: send, open: make(map[string]*open)}
}

// Ask waits for the answers to a proposal, until Grace after its expiry or ctx ends. accepted
// says that all tickets have accepted; out are those that are known to play no part.
func (p *Proposals) Ask(ctx context.Context, asked *torikumiv1.Proposal) (accepted bool, out []string) {
	ctx, cancel := context.WithDeadline(ctx, asked.GetExpireTime().AsTime().Add(Grace))
	defer cancel()
	o := &open{asked: slices.Clone(asked.GetTicketIds()), over: make(chan struct{})}
	p.mu.Lock()
	p.open[asked.GetId()] = o
	p.mu.Unlock()
	p.repeat(ctx, asked, o)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, asked.GetId())
	return len(o.asked) == 0 && len(o.out) == 0, o.out
}

// repeat tells the proposal to those who have not answered until it is over.
func (p *Proposals) repeat(ctx context.Context, asked *torikumiv1.Proposal, o *open) {
	pause := rpc.Backoff{Min: repeatMin, Max: repeatMax}
	for {
		p.mu.Lock()
		rest := &torikumiv1.Proposal{
			Id: asked.GetId(), TicketIds: slices.Clone(o.asked), Players: asked.GetPlayers(),
			ExpireTime: asked.GetExpireTime(), ReleaseTime: asked.GetReleaseTime(),
		}
		p.mu.Unlock()
		if len(rest.GetTicketIds()) > 0 {
			p.send(&torikumiv1.Announcement{Proposal: rest})
		}
		timer := time.NewTimer(pause.Next())
		select {
		case <-timer.C:
			continue
		case <-o.over:
		case <-ctx.Done():
		}
		timer.Stop()
		return
	}
}

// Answer implements the AcceptanceService.
func (p *Proposals) Answer(_ context.Context, req *torikumiv1.AnswerRequest) (*torikumiv1.AnswerResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range req.GetAnswers() {
		if o := p.open[a.GetProposalId()]; o != nil {
			o.answer(a.GetTicketId(), a.GetAccepted())
		}
	}
	return new(torikumiv1.AnswerResponse), nil
}

// answer takes note of an answer. One who has accepted may still leave.
func (o *open) answer(ticket string, accepted bool) {
	if i := slices.Index(o.asked, ticket); i >= 0 {
		o.asked = slices.Delete(o.asked, i, i+1)
	}
	if !accepted && !slices.Contains(o.out, ticket) {
		o.out = append(o.out, ticket)
	}
	if !o.closed && (len(o.asked) == 0 || len(o.out) > 0) {
		o.closed = true
		close(o.over)
	}
}
