package backfill

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// join lets those in who were found: it writes them into the roster, has Open Match
// assign them, and tells the frontends. Then the backfill is brought up to date, or ended
// if nobody is wanted any more. It reports false if the backfill has ended before.
func (t *task) join(ctx context.Context, id string, d *torikumiv1.BackfillDetails) (bool, error) {
	before := t.roster
	t.learn(d)
	if !t.admit(d) {
		t.log.Warn("players were found for whom there is no place; they search on", "backfill", id)
		return true, t.letGo(ctx, id, d)
	}
	claimed, err := t.claim(ctx, id, d.GetJoining())
	if err != nil {
		return false, err
	}
	if !claimed {
		t.roster = before
		t.log.Warn("players were found who are in another match; all search on", "backfill", id)
		return true, t.letGo(ctx, id, d)
	}
	switch err := t.write(ctx, id); {
	case errors.Is(err, errTooLarge):
		return true, t.tooLarge(ctx, id, before, d)
	case err != nil:
		return false, err
	}
	return t.assign(ctx, id, before, d)
}

// letGo lets those who would have joined search on.
func (t *task) letGo(ctx context.Context, id string, d *torikumiv1.BackfillDetails) error {
	t.dropClaims(ctx, id, d.GetJoining())
	return t.update(ctx, id, t.ask())
}

// assign acknowledges the backfill, by which Open Match assigns those who join. Before is
// the roster without them.
func (t *task) assign(ctx context.Context, id string, before *torikumiv1.Roster, d *torikumiv1.BackfillDetails) (bool, error) {
	a, details, err := t.place(ctx)
	if err != nil {
		return false, err
	}
	confirmed, err := t.confirm(ctx, id, a, details, d.GetJoining())
	if err != nil {
		return false, err
	}
	if !confirmed {
		return true, t.letGo(ctx, id, d)
	}
	resp, what, err := t.acknowledge(ctx, id, a)
	switch what {
	case expired:
		t.log.Info("backfill has expired", "backfill", id)
		return false, t.remove(ctx, id)
	case broken:
		t.log.Warn("backfill cannot be acknowledged any more", "backfill", id, "error", err)
		t.roster = before // nobody was assigned
		return false, t.remove(ctx, id)
	case unanswered:
		return false, err
	}
	if now := t.details(resp.GetBackfill()); now != nil {
		d = now
		t.learn(d)
	}
	if err := t.announce(ctx, id, a, details, d, resp.GetTickets()); err != nil {
		return false, err
	}
	return true, t.refresh(ctx, id, d)
}

// learn takes over who is banned from a backfill, unless the gate has just told: it may have
// told another director meanwhile.
func (t *task) learn(d *torikumiv1.BackfillDetails) {
	if !t.told {
		t.banned = d.GetBanned()
	}
}

// refresh brings a backfill up to date, or ends it if nobody is wanted any more.
func (t *task) refresh(ctx context.Context, id string, d *torikumiv1.BackfillDetails) error {
	if open(t.roster, t.sizes) == 0 {
		if err := t.remove(ctx, id); err != nil {
			return err
		}
		t.log.Info("match is full", "backfill", id)
		return t.write(ctx, "")
	}
	if current(d, t.roster, t.banned) {
		return nil
	}
	return t.update(ctx, id, t.ask())
}

// announce tells the frontends whom Open Match has assigned. Some may have joined since
// the roster was written: they are written now, and assigned anew, with their team.
func (t *task) announce(ctx context.Context, id string, a *openmatch.Assignment, details *torikumiv1.AssignmentDetails, d *torikumiv1.BackfillDetails, tickets []*openmatch.Ticket) error {
	known := members(t.roster)
	var ids, late []string
	var joined []*torikumiv1.TeamMember
	byTicket := make(map[string][]*torikumiv1.TeamMember)
	for _, m := range d.GetJoining() {
		byTicket[m.GetTicketId()] = append(byTicket[m.GetTicketId()], m)
	}
	for _, ticket := range tickets {
		of := byTicket[ticket.GetId()]
		isLate := len(of) == 0
		for _, m := range of {
			isLate = isLate || known[m.GetPlayerId()] == nil
		}
		if isLate {
			late = append(late, ticket.GetId())
			continue
		}
		ids, joined = append(ids, ticket.GetId()), append(joined, of...)
	}
	t.publish(ctx, id, ids, joined, a, details)
	if len(late) == 0 {
		return nil
	}
	return t.announceLate(ctx, id, d, late)
}

// announceLate is for those who joined after the roster was written. If that fails, the
// backfill still says who they are, and the next step does it.
func (t *task) announceLate(ctx context.Context, id string, d *torikumiv1.BackfillDetails, late []string) error {
	if !t.admit(d) {
		t.log.Warn("players were assigned for whom there is no place; they search on", "backfill", id, "tickets", late)
		return t.turnAway(ctx, late)
	}
	var joined []*torikumiv1.TeamMember
	for _, m := range d.GetJoining() {
		for _, ticket := range late {
			if m.GetTicketId() == ticket {
				joined = append(joined, m)
			}
		}
	}
	if err := t.write(ctx, id); err != nil {
		return err
	}
	a, details, err := t.place(ctx)
	if err != nil {
		return err
	}
	if claimed, err := t.claim(ctx, id, joined); err != nil || !claimed {
		return err
	}
	if ok, err := t.confirm(ctx, id, a, details, joined); err != nil || !ok {
		return err
	}
	if err := t.reassign(ctx, late, a); err != nil {
		return err
	}
	t.publish(ctx, id, late, joined, a, details)
	return nil
}

// turnAway has tickets that were assigned search on: as those of a match that is not
// played, they are assigned without a connection. Whose frontend does not hear of it
// searches on by what their assignment says: it does not name them.
func (t *task) turnAway(ctx context.Context, tickets []string) error {
	d := &torikumiv1.AssignmentDetails{MatchId: t.match(), Queue: t.roster.GetQueue()}
	a := new(openmatch.Assignment)
	if err := contract.Put(&a.Extensions, contract.AssignmentExtension, d); err != nil {
		return fmt.Errorf("encode assignment: %w", err)
	}
	if err := t.reassign(ctx, tickets, a); err != nil {
		return err
	}
	t.o.Publish(&torikumiv1.Announcement{TicketIds: tickets, Details: d})
	return nil
}

// reassign replaces the assignment of tickets.
func (t *task) reassign(ctx context.Context, tickets []string, a *openmatch.Assignment) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := t.o.Backend.AssignTickets(ctx, &openmatch.AssignTicketsRequest{Assignments: []*openmatch.AssignmentGroup{{TicketIds: tickets, Assignment: a}}})
	if err != nil {
		return fmt.Errorf("assign tickets: %w", err)
	}
	return nil
}

// publish announces tickets that were assigned.
func (t *task) publish(ctx context.Context, id string, tickets []string, joined []*torikumiv1.TeamMember, a *openmatch.Assignment, details *torikumiv1.AssignmentDetails) {
	if len(tickets) == 0 {
		return
	}
	t.o.Publish(&torikumiv1.Announcement{TicketIds: tickets, Connection: a.GetConnection(), Details: details})
	t.markAssigned(ctx, id, tickets)
	t.metrics.players.WithLabelValues(t.queue.Name).Add(float64(len(joined)))
	var names []string
	for _, m := range joined {
		names = append(names, m.GetPlayerId())
	}
	t.log.Info("players join the match", "backfill", id, "players", names)
}

// tooLarge ends the search for good: the server cannot keep what those who were found are
// like. They search on.
func (t *task) tooLarge(ctx context.Context, id string, before *torikumiv1.Roster, d *torikumiv1.BackfillDetails) error {
	t.dropClaims(ctx, id, d.GetJoining())
	if err := t.remove(ctx, id); err != nil {
		return err
	}
	t.roster = proto.CloneOf(before)
	t.roster.Backfill = nil
	if err := t.write(ctx, ""); err != nil {
		return err
	}
	return &refusal{errTooLarge.Error()}
}
