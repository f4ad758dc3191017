package placement

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/director/internal/proposal"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Acceptance is how the players of a match are asked whether they play it.
type Acceptance struct {
	// Ask is that of [proposal.Proposals].
	Ask func(context.Context, *torikumiv1.Proposal) (accepted bool, out []string)
	// TimeLimit is how long players have, and Timeout the time for a match after that.
	TimeLimit, Timeout time.Duration
}

// errNoTime says that players could not be asked and their match be placed after that.
var errNoTime = errors.New("the match has waited for too long: no time is left to ask its players")

// ask asks those players who can be asked. The others, of frontends of another make, have
// accepted.
func (t *task) ask(work context.Context) Result {
	a := t.job.Acceptance
	tickets := t.job.Match.Asked()
	if len(tickets) == 0 {
		return Done
	}
	expire := time.Now().Add(a.TimeLimit)
	if limit, ok := work.Deadline(); ok && expire.Add(proposal.Grace+a.Timeout).After(limit) {
		t.why = errNoTime
		return Refused
	}
	t.proposal = &torikumiv1.Proposal{
		Id: rand.Text(), TicketIds: tickets, Players: int32(t.job.Match.Players(nil)),
		ExpireTime: timestamppb.New(expire), ReleaseTime: timestamppb.New(t.job.ReleaseBy),
	}
	ctx, cancel := context.WithCancel(work)
	defer cancel()
	go func() { // no server is allocated any more: they need not answer
		select {
		case <-t.opts.Stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	accepted, out := a.Ask(ctx, t.proposal)
	t.others = append(t.others, out...)
	switch {
	case accepted:
		return Done
	case len(out) == 0 && ctx.Err() != nil:
		return NotDone
	}
	return Refused
}

// recall tells frontends that nobody plays the match that was proposed.
func (t *task) recall() {
	if p := t.proposal; p != nil {
		t.opts.Publish(&torikumiv1.Announcement{Proposal: &torikumiv1.Proposal{Id: p.GetId(), TicketIds: p.GetTicketIds(), Recalled: true}})
	}
}
