package matchmaker

import (
	"context"
	"sync"
	"time"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// answerEvery is how often directors are told again who has accepted.
	answerEvery = 2 * time.Second
	// maxAnswers bounds the answers that wait to be told: what is beyond is told again.
	maxAnswers = 4096
	// answerBatch is how many are told at a time.
	answerBatch = 1000
)

// Accept says that a player plays the match that is proposed; an empty one that all players
// of the ticket do. The change is none if another one is proposed, the time is over, or they
// have said so. The error is ticket.ErrNotFound, ticket.ErrClosed or ticket.ErrUnavailable.
func (c *Client) Accept(ctx context.Context, id, player, proposal string) (ticket.Change, error) {
	change, err := c.store.Update(ctx, id, ticket.Event{Kind: ticket.Accept, By: player, Proposal: proposal})
	if err == nil && change.Ticket.HasAccepted("") {
		c.answer(&change.Ticket)
	}
	return change, err
}

// Decline ends a ticket whose player does not play the match that is proposed. The errors
// are those of Accept, but for ticket.ErrClosed.
func (c *Client) Decline(ctx context.Context, id, player, proposal string) (ticket.Change, error) {
	defer c.deletes.expect()()
	change, err := c.store.Update(ctx, id, ticket.Event{Kind: ticket.Decline, By: player, Proposal: proposal})
	if err == nil {
		c.ended(ctx, change, "ticket cancelled, as a player has declined the match")
	}
	return change, err
}

// proposed asks the players of the tickets that are ours, or lets them search on.
func (c *Client) proposed(ctx context.Context, p *torikumiv1.Proposal) {
	e := ticket.Event{Kind: ticket.Propose, Acceptance: &ticket.Acceptance{
		ID: p.GetId(), Players: int(p.GetPlayers()), ExpireTime: p.GetExpireTime().AsTime(), ReleaseTime: p.GetReleaseTime().AsTime(),
	}}
	message := "match proposed"
	if p.GetRecalled() {
		e, message = ticket.Event{Kind: ticket.Recall, Proposal: p.GetId()}, "match not played, ticket searches on"
	}
	for _, id := range p.GetTicketIds() {
		// Most are those of other frontends. What fails is told again, or recalled.
		change, err := c.store.UpdateOpenMatch(ctx, id, e)
		if err == nil && change.Changed() {
			c.logger.InfoContext(ctx, message, "ticket", change.Ticket.ID, "queue", change.Ticket.Queue)
		}
	}
}

// answer tells the directors that a ticket has accepted, soon.
func (c *Client) answer(t *ticket.Ticket) {
	c.addAnswer(&torikumiv1.ProposalAnswer{ProposalId: t.Acceptance.ID, TicketId: t.OpenMatchID, Accepted: true})
}

// out tells the directors that a ticket plays no part in the match that it was proposed, if
// it was. Open Match must not have it any more, as the others search on then.
func (c *Client) out(change *ticket.Change) {
	if t := &change.Ticket; change.From == ticket.Accepting && t.State != ticket.Assigned && t.State != ticket.Waiting {
		c.addAnswer(&torikumiv1.ProposalAnswer{ProposalId: t.Acceptance.ID, TicketId: change.FromOpenMatchID})
	}
}

func (c *Client) addAnswer(a *torikumiv1.ProposalAnswer) {
	select {
	case c.answers <- a:
	default:
	}
}

// answerDirectors tells the directors of answers until ctx ends.
func (c *Client) answerDirectors(ctx context.Context) {
	for {
		var batch []*torikumiv1.ProposalAnswer
		select {
		case <-ctx.Done():
			return
		case first := <-c.answers:
			batch = append(batch, first)
		}
		for more := true; more && len(batch) < answerBatch; {
			select {
			case next := <-c.answers:
				batch = append(batch, next)
			default:
				more = false
			}
		}
		c.tell(ctx, &torikumiv1.AnswerRequest{Answers: batch})
	}
}

// tell tells all directors, as frontends do not know which has asked.
func (c *Client) tell(ctx context.Context, answers *torikumiv1.AnswerRequest) {
	ctx, cancel := context.WithTimeout(ctx, c.options.DirectorTimeout)
	defer cancel()
	var telling sync.WaitGroup
	for _, conn := range c.directors.all() {
		telling.Go(func() {
			// Whoever does not hear it is told again.
			_, _ = torikumiv1.NewAcceptanceServiceClient(conn).Answer(ctx, answers)
		})
	}
	telling.Wait()
}

// answerAgain tells again who has accepted, as long as the match is not placed: a frontend
// may have died before it could.
func (c *Client) answerAgain(ctx context.Context) {
	for range rpc.Ticks(ctx, answerEvery) {
		asked, err := c.store.Accepting(ctx)
		if err != nil {
			continue // players are told
		}
		for i := range asked {
			if asked[i].HasAccepted("") {
				c.answer(&asked[i])
			}
		}
	}
}
