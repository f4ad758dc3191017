package api

import (
	"context"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/frontend/internal/ticket"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Accept says that a player plays the match that is proposed, or that all players of the
// ticket do, for a backend. proposal is the one that is meant; empty: whatever is proposed.
func (s *Service) Accept(ctx context.Context, caller Caller, id, proposal string) (*torikumiv1.Ticket, error) {
	if _, err := s.find(ctx, caller, id); err != nil {
		return nil, err
	}
	change, err := s.o.Matchmaker.Accept(ctx, id, caller.Player, proposal)
	if err != nil {
		return nil, s.unseen(ctx, id, err)
	}
	t := &change.Ticket
	// Also who has said it before, and may have been assigned since.
	if means(t, proposal) && (t.HasAccepted(caller.Player) || t.State == ticket.Assigned) {
		return s.deliver(t, caller), nil
	}
	return nil, errNotAccepting()
}

// Decline ends a ticket whose player does not play the match that is proposed.
func (s *Service) Decline(ctx context.Context, caller Caller, id, proposal string) (*torikumiv1.Ticket, error) {
	if _, err := s.find(ctx, caller, id); err != nil {
		return nil, err
	}
	change, err := s.o.Matchmaker.Decline(ctx, id, caller.Player, proposal)
	if err != nil {
		return nil, s.unseen(ctx, id, err)
	}
	if t := &change.Ticket; means(t, proposal) && t.Reason == ticket.Declined {
		return s.deliver(t, caller), nil
	}
	return nil, errNotAccepting()
}

// means reports whether a proposal is the ticket's last one.
func means(t *ticket.Ticket, proposal string) bool {
	return t.Acceptance != nil && (proposal == "" || proposal == t.Acceptance.ID)
}

// errNotAccepting says that an answer is to nothing that is asked.
func errNotAccepting() error {
	return failed(codes.FailedPrecondition, http.StatusConflict, "not_accepting", "no such match is proposed to the ticket, or its time is over")
}

// asks reports whether a caller has to accept a match.
func asks(t *ticket.Ticket, caller Caller) bool {
	return t.State == ticket.Accepting && !t.HasAccepted(caller.Player)
}

// acceptance shows what the players of a ticket are asked.
func acceptance(t *ticket.Ticket) *torikumiv1.Acceptance {
	if t.State != ticket.Accepting {
		return nil
	}
	a := t.Acceptance
	return &torikumiv1.Acceptance{ProposalId: a.ID, ExpireTime: timestamppb.New(a.ExpireTime), Players: int32(a.Players), Accepted: a.Accepted}
}

// acceptMark is another one after each change of an acceptance.
type acceptMark struct {
	proposal string
	accepted int
}

func acceptMarkOf(t *ticket.Ticket) acceptMark {
	if t.State != ticket.Accepting {
		return acceptMark{}
	}
	return acceptMark{t.Acceptance.ID, len(t.Acceptance.Accepted)}
}
