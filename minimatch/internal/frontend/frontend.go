// Package frontend is Open Match's frontend service over the store: the game's
// own frontend makes a ticket here for a player who waits, and hears here to
// which server the player was assigned.
package frontend

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"torikumi/minimatch/internal/store"
	"torikumi/proto/openmatch"
)

// Service implements openmatch.FrontendServiceServer, with the status codes of
// Open Match 1.8. Create it with New.
type Service struct {
	openmatch.UnimplementedFrontendServiceServer
	store    *store.Store
	stopping <-chan struct{}
}

// New returns the service. Watches end with Unavailable when stopping is closed.
func New(s *store.Store, stopping <-chan struct{}) *Service {
	return &Service{store: s, stopping: stopping}
}

// bounded is the error of what is too large, with the code by which Open Match refuses it.
func bounded(field string, m proto.Message) error {
	if err := store.Bounded(field, m); err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return nil
}

// CreateTicket adds a ticket under a new id; one that the request gives is
// passed over.
func (s *Service) CreateTicket(_ context.Context, req *openmatch.CreateTicketRequest) (*openmatch.Ticket, error) {
	t := req.GetTicket()
	switch {
	case t == nil:
		return nil, status.Error(codes.InvalidArgument, "ticket is required")
	case t.GetAssignment() != nil:
		return nil, status.Error(codes.InvalidArgument, "ticket.assignment must not be set at creation")
	case t.GetCreateTime() != nil:
		return nil, status.Error(codes.InvalidArgument, "ticket.create_time must not be set at creation")
	}
	if err := bounded("ticket", t); err != nil {
		return nil, err
	}
	return s.store.Create(t), nil
}

// DeleteTicket removes a ticket at once. That there is none is not an error.
func (s *Service) DeleteTicket(_ context.Context, req *openmatch.DeleteTicketRequest) (*emptypb.Empty, error) {
	s.store.Delete(req.GetTicketId())
	return &emptypb.Empty{}, nil
}

// GetTicket answers NotFound when there is no such ticket.
func (s *Service) GetTicket(_ context.Context, req *openmatch.GetTicketRequest) (*openmatch.Ticket, error) {
	t, ok := s.store.Get(req.GetTicketId())
	if !ok {
		return nil, notFound(req.GetTicketId())
	}
	return t, nil
}

// WatchAssignments sends the ticket's assignment whenever it has become another
// one, and ends with NotFound when the ticket does. It sleeps in between. A
// watcher that falls behind gets the latest assignment.
func (s *Service) WatchAssignments(req *openmatch.WatchAssignmentsRequest, stream openmatch.FrontendService_WatchAssignmentsServer) error {
	ctx := stream.Context()
	var sent *openmatch.Assignment
	for {
		t, changed, ok := s.store.Watch(req.GetTicketId())
		if !ok {
			return notFound(req.GetTicketId())
		}
		if a := t.GetAssignment(); a != nil && (sent == nil || !proto.Equal(a, sent)) {
			if err := stream.Send(&openmatch.WatchAssignmentsResponse{Assignment: a}); err != nil {
				return err
			}
			sent = a
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-s.stopping:
			return status.Error(codes.Unavailable, "the service is stopping")
		}
	}
}

func notFound(id string) error {
	return status.Errorf(codes.NotFound, "Ticket id: %s not found", id)
}

// CreateBackfill adds a backfill under a new id; one that the request gives is
// passed over. It is to be acknowledged from then on.
func (s *Service) CreateBackfill(_ context.Context, req *openmatch.CreateBackfillRequest) (*openmatch.Backfill, error) {
	b := req.GetBackfill()
	switch {
	case b == nil:
		return nil, status.Error(codes.InvalidArgument, "backfill is required")
	case b.GetCreateTime() != nil:
		return nil, status.Error(codes.InvalidArgument, "backfill.create_time must not be set at creation")
	}
	if err := bounded("backfill", b); err != nil {
		return nil, err
	}
	return s.store.CreateBackfill(b), nil
}

// UpdateBackfill replaces what a backfill asks for and releases the tickets that
// were matched with what it asked for before. The generation in the request is
// passed over.
func (s *Service) UpdateBackfill(_ context.Context, req *openmatch.UpdateBackfillRequest) (*openmatch.Backfill, error) {
	b := req.GetBackfill()
	switch {
	case b == nil:
		return nil, status.Error(codes.InvalidArgument, "backfill is required")
	case b.GetId() == "":
		return nil, status.Error(codes.InvalidArgument, "backfill.id is required")
	}
	updated, err := s.store.UpdateBackfill(b)
	if err != nil {
		return nil, backfillError(b.GetId(), err)
	}
	return updated, nil
}

// DeleteBackfill removes a backfill and releases the tickets that were matched
// with it. That there is none is not an error.
func (s *Service) DeleteBackfill(_ context.Context, req *openmatch.DeleteBackfillRequest) (*emptypb.Empty, error) {
	if req.GetBackfillId() == "" {
		return nil, status.Error(codes.InvalidArgument, "backfill_id is required")
	}
	s.store.DeleteBackfill(req.GetBackfillId())
	return &emptypb.Empty{}, nil
}

// GetBackfill answers NotFound when there is no such backfill.
func (s *Service) GetBackfill(_ context.Context, req *openmatch.GetBackfillRequest) (*openmatch.Backfill, error) {
	b, ok := s.store.GetBackfill(req.GetBackfillId())
	if !ok {
		return nil, backfillError(req.GetBackfillId(), store.ErrBackfillNotFound)
	}
	return b, nil
}

// AcknowledgeBackfill says that the game server is still there, assigns the
// tickets that have been matched with the backfill since the last time, as many as
// fit into one message, and answers with those.
func (s *Service) AcknowledgeBackfill(_ context.Context, req *openmatch.AcknowledgeBackfillRequest) (*openmatch.AcknowledgeBackfillResponse, error) {
	switch {
	case req.GetBackfillId() == "":
		return nil, status.Error(codes.InvalidArgument, "backfill_id is required")
	case req.GetAssignment() == nil:
		return nil, status.Error(codes.InvalidArgument, "assignment is required")
	}
	b, tickets, err := s.store.AcknowledgeBackfill(req.GetBackfillId(), req.GetAssignment())
	if err != nil {
		return nil, backfillError(req.GetBackfillId(), err)
	}
	return &openmatch.AcknowledgeBackfillResponse{Backfill: b, Tickets: tickets}, nil
}

func backfillError(id string, err error) error {
	if large, ok := errors.AsType[*store.SizeError](err); ok {
		return status.Error(codes.ResourceExhausted, large.Error())
	}
	if errors.Is(err, store.ErrBackfillExpired) {
		return status.Errorf(codes.Unavailable, "backfill %s has expired: it was not acknowledged in time", id)
	}
	return status.Errorf(codes.NotFound, "Backfill id: %s not found", id)
}
