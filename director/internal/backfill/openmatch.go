package backfill

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// read returns a backfill and what it says; nil if there is none of ours for the match.
func (t *task) read(ctx context.Context, id string) (*torikumiv1.BackfillDetails, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b, err := t.o.Frontend.GetBackfill(ctx, &openmatch.GetBackfillRequest{BackfillId: id})
	switch {
	case status.Code(err) == codes.NotFound:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read backfill %q: %w", id, err)
	}
	return t.details(b), nil
}

// details are what a backfill says, nil if it is not of this match.
func (t *task) details(b *openmatch.Backfill) *torikumiv1.BackfillDetails {
	d := new(torikumiv1.BackfillDetails)
	if contract.Get(b.GetExtensions(), contract.BackfillExtension, d) != nil || d.GetMatchId() != t.match() || d.GetGameServer() != t.server.ID() {
		return nil
	}
	return d
}

// pack makes the backfill of the match, as the match function finds it and reads it.
func (t *task) pack(id string, d *torikumiv1.BackfillDetails) (*openmatch.Backfill, error) {
	b := &openmatch.Backfill{Id: id, SearchFields: &openmatch.SearchFields{Tags: []string{queues.Tag(d.GetQueue())}}}
	if d.GetRegion() != "" {
		b.SearchFields.StringArgs = map[string]string{contract.RegionArg: d.GetRegion()}
	}
	return b, contract.Put(&b.Extensions, contract.BackfillExtension, d)
}

func (t *task) create(ctx context.Context, d *torikumiv1.BackfillDetails) (id string, err error) {
	b, err := t.pack("", d)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	made, err := t.o.Frontend.CreateBackfill(ctx, &openmatch.CreateBackfillRequest{Backfill: b})
	if err != nil {
		return "", fmt.Errorf("create backfill: %w", err)
	}
	return made.GetId(), nil
}

// update replaces what a backfill says. Who was joining by it searches on, unless they
// have been assigned.
func (t *task) update(ctx context.Context, id string, d *torikumiv1.BackfillDetails) error {
	b, err := t.pack(id, d)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := t.o.Frontend.UpdateBackfill(ctx, &openmatch.UpdateBackfillRequest{Backfill: b}); err != nil {
		return fmt.Errorf("update backfill %q: %w", id, err)
	}
	return nil
}

// remove ends a backfill. Who was joining by it searches on, unless they have been
// assigned.
func (f *Filler) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := f.o.Frontend.DeleteBackfill(ctx, &openmatch.DeleteBackfillRequest{BackfillId: id})
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("delete backfill %q: %w", id, err)
	}
	return nil
}

// acknowledged is what became of an acknowledgement.
type acknowledged int

const (
	// assigned: who was joining has been assigned.
	assigned acknowledged = iota
	// expired: the backfill is gone, or about to go.
	expired
	// broken: Open Match will never acknowledge it again.
	broken
	// unanswered: it may have been acknowledged.
	unanswered
)

// acknowledge keeps a backfill alive and assigns those who join by it.
func (t *task) acknowledge(ctx context.Context, id string, a *openmatch.Assignment) (*openmatch.AcknowledgeBackfillResponse, acknowledged, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := t.o.Frontend.AcknowledgeBackfill(ctx, &openmatch.AcknowledgeBackfillRequest{BackfillId: id, Assignment: a})
	if err == nil {
		return resp, assigned, nil
	}
	return nil, failure(err), fmt.Errorf("acknowledge backfill %q: %w", id, err)
}

// failure reads the error of an acknowledgement. Open Match says Unavailable of a
// backfill that has expired and is still there, and InvalidArgument from then on if a
// ticket has joined by two matches (internal/statestore/ticket.go:UpdateAssignments).
func failure(err error) acknowledged {
	s := status.Convert(err)
	switch {
	case s.Code() == codes.NotFound, s.Code() == codes.Unavailable && strings.Contains(s.Message(), "expired"):
		return expired
	case s.Code() == codes.InvalidArgument:
		return broken
	}
	return unanswered
}
