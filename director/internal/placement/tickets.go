package placement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/director/internal/call"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// prepare makes the assignment once: each try has the same content, so that
// repeating it changes nothing.
func (t *task) prepare() error {
	if t.assignment != nil {
		return nil
	}
	details := &torikumiv1.AssignmentDetails{
		MatchId:      t.job.Match.Label,
		GameServer:   t.server.ID(),
		Address:      t.endpoint.Host,
		Port:         t.endpoint.Port,
		Ports:        t.endpoint.Ports,
		Queue:        t.job.Match.Queue,
		Region:       t.job.Match.Region,
		Teams:        t.job.Match.Teams,
		AllocateTime: timestamppb.New(time.Now()),
	}
	a := &openmatch.Assignment{Connection: t.endpoint.Connection()}
	if err := contract.Put(&a.Extensions, contract.AssignmentExtension, details); err != nil {
		return err
	}
	t.details, t.assignment = details, a
	return nil
}

func (t *task) assign(work context.Context) Result {
	if err := t.prepare(); err != nil {
		t.why = fmt.Errorf("encode assignment: %w", err)
		return Refused
	}
	ctx, cancel := context.WithTimeout(work, callTimeout)
	defer cancel()
	if r := t.confirm(work, ctx); r != Done {
		return r
	}
	var sent call.Sent
	start := time.Now()
	resp, err := t.opts.Backend.AssignTickets(ctx, &openmatch.AssignTicketsRequest{
		Assignments: []*openmatch.AssignmentGroup{{TicketIds: t.job.Match.Tickets, Assignment: t.assignment}},
	}, sent.Option())
	t.metrics.assignSeconds.Observe(time.Since(start).Seconds())
	t.missing = make(map[string]bool)
	for _, f := range resp.GetFailures() {
		if slices.Contains(t.job.Match.Tickets, f.GetTicketId()) {
			t.missing[f.GetTicketId()] = true
		}
	}
	effect := sent.Effect(err)
	switch effect {
	case call.Done:
		t.backend.Up()
		switch {
		case len(t.missing) == len(t.job.Match.Tickets):
			return None
		case len(t.missing) > 0 && t.job.Match.Players(t.missing) < t.job.MinPlayers:
			return DoneTooFew
		}
		return Done
	case call.Refused:
		t.why = fmt.Errorf("assign tickets: %w", err)
		return Refused
	}
	if work.Err() == nil {
		t.backend.Down(err)
	}
	return unanswered(effect)
}

// verify reads the tickets after the answer to the assignment was lost. Open
// Match assigns all tickets of a call or none, so one ticket tells for all; but
// a ticket that is gone tells nothing.
func (t *task) verify(ctx context.Context) Result {
	result := Unknown
	missing := make(map[string]bool)
	for _, id := range t.job.Match.Tickets {
		ticket, err := t.read(ctx, id)
		switch {
		case status.Code(err) == codes.NotFound:
			missing[id] = true
		case err != nil:
			return result
		case t.isOurs(ticket.GetAssignment()):
			result = Done
		}
	}
	t.missing = missing
	return result
}

func (t *task) read(ctx context.Context, id string) (*openmatch.Ticket, error) {
	var backoff rpc.Backoff
	for {
		ticket, err := t.opts.Tickets.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: id})
		if err == nil || status.Code(err) == codes.NotFound || backoff.Wait(ctx) != nil {
			return ticket, err
		}
	}
}

func (t *task) isOurs(a *openmatch.Assignment) bool {
	var d torikumiv1.AssignmentDetails
	return contract.Get(a.GetExtensions(), contract.AssignmentExtension, &d) == nil &&
		d.GetMatchId() == t.details.GetMatchId() && d.GetGameServer() == t.details.GetGameServer()
}

// left are the tickets that an assignment has found.
func (t *task) left() []string {
	return slices.DeleteFunc(slices.Clone(t.job.Match.Tickets), func(id string) bool { return t.missing[id] })
}

// withdraw replaces the assignment by one without a connection, for the frontends
// that read it, and announces the same. If the answer is lost, the announcement
// still tells all that hear it.
func (t *task) withdraw(ctx context.Context) Result {
	ids := t.left()
	details := &torikumiv1.AssignmentDetails{MatchId: t.details.GetMatchId(), Queue: t.details.GetQueue()}
	if err := errors.Join(t.revoke(ctx), t.overwrite(ctx, ids, details)); err != nil {
		t.log.Warn("assignment perhaps not withdrawn; whose frontend misses the announcement may come alone", "error", err)
	}
	t.opts.Publish(&torikumiv1.Announcement{TicketIds: ids, Details: details})
	return Done
}

// overwrite gives tickets an assignment without a connection.
func (t *task) overwrite(ctx context.Context, ids []string, details *torikumiv1.AssignmentDetails) error {
	a := new(openmatch.Assignment)
	if err := contract.Put(&a.Extensions, contract.AssignmentExtension, details); err != nil {
		return err
	}
	var backoff rpc.Backoff
	for {
		_, err := t.opts.Backend.AssignTickets(ctx, &openmatch.AssignTicketsRequest{
			Assignments: []*openmatch.AssignmentGroup{{TicketIds: ids, Assignment: a}},
		})
		if err == nil || backoff.Wait(ctx) != nil {
			return err
		}
	}
}

func (t *task) announce(ctx context.Context) Result {
	ids := t.left()
	t.metrics.assigned.Add(float64(len(ids)))
	t.opts.Publish(&torikumiv1.Announcement{TicketIds: ids, Connection: t.assignment.GetConnection(), Details: t.details})
	t.markAssigned(ctx)
	return Done
}

func (t *task) release(ctx context.Context) Result {
	t.job.Releasing()
	t.recall()                          // before they can be proposed another match
	if err := t.drop(ctx); err != nil { // Open Match shows the tickets again by itself
		t.why = errors.Join(t.why, err)
		return Unknown
	}
	own := slices.DeleteFunc(slices.Clone(t.job.Match.Tickets), func(id string) bool { return slices.Contains(t.others, id) })
	if len(own) > 0 {
		if err := t.Release(ctx, own, t.cause); err != nil {
			t.why = errors.Join(t.why, err)
			return Unknown
		}
	}
	return Done
}

// Release lets tickets be matched again, trying until ctx ends; cause is counted. Open Match releases a ticket whoever holds it: ctx has to end before
// the tickets can be in another match, and a try that may have had its effect is
// the last. If it had none, the tickets come back by themselves after the
// pendingReleaseTimeout.
func (p *Placer) Release(ctx context.Context, tickets []string, cause Cause) error {
	if err := p.release(ctx, tickets); err != nil {
		return fmt.Errorf("perhaps not released; if not, the tickets are matched again after Open Match's pendingReleaseTimeout: %w", err)
	}
	p.metrics.released.WithLabelValues(string(cause)).Add(float64(len(tickets)))
	return nil
}

func (p *Placer) release(ctx context.Context, tickets []string) error {
	var backoff rpc.Backoff
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("release %d tickets: %w", len(tickets), err)
		}
		try, cancel := context.WithTimeout(ctx, callTimeout)
		var sent call.Sent
		_, err := p.opts.Backend.ReleaseTickets(try, &openmatch.ReleaseTicketsRequest{TicketIds: tickets}, sent.Option())
		cancel()
		effect := sent.Effect(err)
		switch {
		case effect == call.Done:
			return nil
		case effect == call.Refused, effect == call.Unknown, backoff.Wait(ctx) != nil:
			return fmt.Errorf("release %d tickets: %w", len(tickets), err)
		}
	}
}
