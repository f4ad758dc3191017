package placement

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/director/internal/call"
	"torikumi/pkg/contract"
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
		Address:      t.server.Address,
		Port:         t.server.GamePort(),
		Ports:        t.server.PortMap(),
		Queue:        t.job.Match.Queue,
		Region:       t.job.Match.Region,
		Teams:        t.job.Match.Teams,
		AllocateTime: timestamppb.New(time.Now()),
	}
	a := &openmatch.Assignment{Connection: t.server.Connection()}
	if err := contract.Put(&a.Extensions, contract.AssignmentExtension, details); err != nil {
		return err
	}
	t.details, t.assignment = details, a
	return nil
}

func (t *task) assign() {
	if err := t.prepare(); err != nil {
		t.log.Error("assignment cannot be encoded", "error", err)
		t.state.AssignRefused = true
		return
	}
	ctx, cancel := context.WithTimeout(t.work, callTimeout)
	defer cancel()
	var sent call.Sent
	resp, err := t.opts.Backend.AssignTickets(ctx, &openmatch.AssignTicketsRequest{
		Assignments: []*openmatch.AssignmentGroup{{TicketIds: t.job.Match.Tickets, Assignment: t.assignment}},
	}, sent.Option())
	effect := sent.Effect(err)
	t.note(resp)
	t.state.assigned(effect, len(t.job.Match.Tickets), len(t.missing))
	switch {
	case effect == call.Done:
		t.backend.Up()
	case effect == call.Refused:
		t.log.Error("assignment refused", "error", err)
	default:
		if t.work.Err() == nil {
			t.backend.Down(err)
		}
		t.pause()
	}
}

func (t *task) note(resp *openmatch.AssignTicketsResponse) {
	t.missing = make(map[string]bool)
	for _, f := range resp.GetFailures() {
		if slices.Contains(t.job.Match.Tickets, f.GetTicketId()) {
			t.missing[f.GetTicketId()] = true
		}
	}
}

// verify reads the tickets after the answer to the assignment was lost. Open
// Match assigns all tickets of a call or none, so one ticket tells for all; but
// a ticket that is gone tells nothing.
func (t *task) verify() {
	ctx, cancel := context.WithTimeout(t.cleanup, cleanupTimeout)
	defer cancel()
	t.state.Verified = true
	t.backoff.Reset()
	missing := make(map[string]bool)
	for _, id := range t.job.Match.Tickets {
		ticket, err := t.read(ctx, id)
		switch {
		case status.Code(err) == codes.NotFound:
			missing[id] = true
		case err != nil:
			return // unclear it stays
		case t.isOurs(ticket.GetAssignment()):
			t.state.Assigned = true
		}
	}
	t.missing = missing
}

func (t *task) read(ctx context.Context, id string) (*openmatch.Ticket, error) {
	for {
		ticket, err := t.opts.Tickets.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: id})
		if err == nil || status.Code(err) == codes.NotFound {
			return ticket, err
		}
		if t.backoff.Wait(ctx) != nil {
			return nil, fmt.Errorf("read ticket %q: %w", id, err)
		}
	}
}

func (t *task) isOurs(a *openmatch.Assignment) bool {
	var d torikumiv1.AssignmentDetails
	return contract.Get(a.GetExtensions(), contract.AssignmentExtension, &d) == nil &&
		d.GetMatchId() == t.details.GetMatchId() && d.GetGameServer() == t.details.GetGameServer()
}

func (t *task) announce() {
	t.state.Announced = true
	var ids []string
	for _, id := range t.job.Match.Tickets {
		if !t.missing[id] {
			ids = append(ids, id)
		}
	}
	t.metrics.assigned.Add(float64(len(ids)))
	t.opts.Publish(&torikumiv1.Announcement{TicketIds: ids, Connection: t.assignment.GetConnection(), Details: t.details})
}

func (t *task) release() {
	ctx, cancel := context.WithTimeout(t.cleanup, cleanupTimeout)
	defer cancel()
	t.state.Released = true
	t.job.Releasing()
	t.released = t.Release(ctx, t.log, t.job.Match.Tickets) == nil
}
