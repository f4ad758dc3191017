// Package api is the player API over gRPC: it knows who calls, what they may ask
// for, and what they may see. Package web puts the same over HTTP. On the
// player's path it is the first and the last of our code.
package api

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/explain"
	"torikumi/frontend/internal/matchmaker"
	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/problem"
	"torikumi/pkg/queues"
	"torikumi/pkg/token"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	defaultWait = 30 * time.Second
	maxWait     = 60 * time.Second
)

// Options are what a [Service] needs; all are required but those that say so.
type Options struct {
	Matchmaker *matchmaker.Client
	Store      ticket.Store
	Queues     *queues.Set
	Minter     *token.Minter
	Logger     *slog.Logger
	// Minted counts join tokens.
	Minted prometheus.Counter
	// Explain says why tickets wait; nil if nobody knows.
	Explain *explain.Cache
}

// Service implements the FrontendService. It is safe for concurrent use.
type Service struct {
	torikumiv1.UnimplementedFrontendServiceServer
	Options
}

// New makes a service.
func New(o Options) *Service { return &Service{Options: o} }

// Create begins a ticket of a player. Errors are gRPC statuses.
func (s *Service) Create(ctx context.Context, playerID string, req *torikumiv1.CreateTicketRequest) (ticket.Ticket, error) {
	draft, err := Draft(s.Queues, playerID, req)
	if err != nil {
		return ticket.Ticket{}, err
	}
	made, err := s.Matchmaker.Create(ctx, draft)
	if err == nil {
		return made, nil
	}
	var conflict *ticket.ConflictError
	switch {
	case errors.As(err, &conflict):
		return ticket.Ticket{}, detailed(codes.AlreadyExists, "a player of the ticket already searches in this queue", &errdetails.ErrorInfo{
			Reason: "ALREADY_SEARCHING", Domain: domain, Metadata: map[string]string{"ticket_id": conflict.ID},
		})
	case errors.Is(err, ticket.ErrFull):
		return ticket.Ticket{}, withReason(codes.ResourceExhausted, "TOO_MANY_SEARCHES", "too many players are searching; try again later")
	case errors.Is(err, ticket.ErrStopped):
		return ticket.Ticket{}, errStopping()
	case errors.Is(err, matchmaker.ErrUnavailable):
		return ticket.Ticket{}, withReason(codes.Unavailable, "MATCHMAKER_UNAVAILABLE", "the matchmaker cannot be reached; try again")
	}
	s.Logger.ErrorContext(ctx, "ticket not created", "queue", draft.Queue, "error", err)
	return ticket.Ticket{}, status.Error(codes.Internal, "ticket not created")
}

func errStopping() error {
	return withReason(codes.Unavailable, "STOPPING", "the service is stopping; try again")
}

// errNotFound is the same for tickets that are not there and those of others.
func errNotFound() error { return status.Error(codes.NotFound, "no such ticket") }

// find returns a ticket if the player belongs to it, with the channel that tells
// of its next change.
func (s *Service) find(id, playerID string) (ticket.Ticket, <-chan struct{}, error) {
	found, changed, ok := s.Store.Watch(id)
	if !ok || !found.Has(playerID) {
		return ticket.Ticket{}, nil, errNotFound()
	}
	return found, changed, nil
}

// follow is find for a call that looks as long as it lasts: with why the ticket
// goes on, and the channel that tells when that has changed.
func (s *Service) follow(id, playerID string, w *explain.Watch) (found ticket.Ticket, changed, told <-chan struct{}, err error) {
	found, changed, err = s.find(id, playerID)
	if err != nil {
		return found, nil, nil, err
	}
	reason, told := w.Reason(&found)
	addReason(&found, reason)
	return found, changed, told, nil
}

// addReason adds what the match function saw, unless we have something to say
// ourselves.
func addReason(s *ticket.Ticket, reason string) {
	if s.Reason == "" {
		s.Reason = reason
	}
}

// Await returns a ticket as soon as it has ended, or as it stands when the time
// is over. The error is that of ctx as a status, Unavailable when the service
// stops, or NotFound.
func (s *Service) Await(ctx context.Context, id, playerID string, timeout time.Duration) (ticket.Ticket, error) {
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	watch := s.Explain.Watch()
	defer watch.Close()
	for {
		found, changed, _, err := s.follow(id, playerID, watch)
		if err != nil || found.Ended() {
			return found, err
		}
		select {
		case <-changed:
		case <-timer.C:
			found, _, _, err := s.follow(id, playerID, watch)
			return found, err
		case <-s.Store.Stopped():
			return ticket.Ticket{}, errStopping()
		case <-ctx.Done():
			return ticket.Ticket{}, status.FromContextError(ctx.Err()).Err()
		}
	}
}

// CreateTicket implements the FrontendService.
func (s *Service) CreateTicket(ctx context.Context, req *torikumiv1.CreateTicketRequest) (*torikumiv1.Ticket, error) {
	made, err := s.Create(ctx, player(ctx), req)
	if err != nil {
		return nil, err
	}
	return s.Deliver(&made, player(ctx)), nil
}

// GetTicket implements the FrontendService.
func (s *Service) GetTicket(ctx context.Context, req *torikumiv1.GetTicketRequest) (*torikumiv1.Ticket, error) {
	found, _, err := s.find(req.GetTicketId(), player(ctx))
	if err != nil {
		return nil, err
	}
	addReason(&found, s.Explain.Reason(&found))
	return s.Deliver(&found, player(ctx)), nil
}

// CancelTicket implements the FrontendService.
func (s *Service) CancelTicket(ctx context.Context, req *torikumiv1.CancelTicketRequest) (*torikumiv1.Ticket, error) {
	if _, _, err := s.find(req.GetTicketId(), player(ctx)); err != nil {
		return nil, err
	}
	ended, ok := s.Matchmaker.Cancel(ctx, req.GetTicketId())
	if !ok {
		return nil, errNotFound()
	}
	return s.Deliver(&ended, player(ctx)), nil
}

// WaitTicket implements the FrontendService.
func (s *Service) WaitTicket(ctx context.Context, req *torikumiv1.WaitTicketRequest) (*torikumiv1.Ticket, error) {
	timeout := defaultWait
	if req.GetTimeout() != nil {
		timeout = req.GetTimeout().AsDuration()
		if req.GetTimeout().CheckValid() != nil || timeout <= 0 || timeout > maxWait {
			return nil, problem.InvalidArgument("the request breaks the rules of its fields",
				problem.Field{Field: "timeout", Rule: "must be more than 0s and at most 60s"})
		}
	}
	found, err := s.Await(ctx, req.GetTicketId(), player(ctx), timeout)
	if err != nil {
		return nil, err
	}
	return s.Deliver(&found, player(ctx)), nil
}

// WatchTicket implements the FrontendService.
func (s *Service) WatchTicket(req *torikumiv1.WatchTicketRequest, out torikumiv1.FrontendService_WatchTicketServer) error {
	ctx := out.Context()
	watch := s.Explain.Watch()
	defer watch.Close()
	news, reason := true, ""
	for {
		found, changed, told, err := s.follow(req.GetTicketId(), player(ctx), watch)
		if err != nil {
			return err
		}
		// The player may have read the reason already, with other news.
		if news || found.Ended() || found.Reason != reason {
			if err := out.Send(s.Deliver(&found, player(ctx))); err != nil {
				return err
			}
		}
		if found.Ended() {
			return nil
		}
		news, reason = false, found.Reason
		select {
		case <-told:
		case <-changed:
			news = true
		case <-s.Store.Stopped():
			return errStopping()
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// CreateJoinToken implements the FrontendService.
func (s *Service) CreateJoinToken(ctx context.Context, req *torikumiv1.CreateJoinTokenRequest) (*torikumiv1.JoinToken, error) {
	found, _, err := s.find(req.GetTicketId(), player(ctx))
	if err != nil {
		return nil, err
	}
	if found.Assignment == nil {
		return nil, withReason(codes.FailedPrecondition, "NOT_ASSIGNED", "the ticket is not assigned to a match")
	}
	join, err := s.mint(&found, player(ctx))
	switch {
	case errors.Is(err, errNoJoinToken):
		return nil, withReason(codes.FailedPrecondition, "NO_JOIN_TOKEN", "the match cannot be joined by token")
	case err != nil:
		s.Logger.ErrorContext(ctx, "join token not made", "ticket", found.ID, "error", err)
		return nil, status.Error(codes.Internal, "join token not made")
	}
	return join, nil
}
