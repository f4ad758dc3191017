// Package backend is Open Match's backend service over the store and the
// synchronizer: directors fetch matches here and assign servers to the players
// in them.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/minimatch/internal/store"
	"torikumi/minimatch/internal/synchronizer"
	"torikumi/proto/openmatch"
)

// Service implements openmatch.BackendServiceServer, with the status codes of
// Open Match 1.8. Create it with New.
type Service struct {
	openmatch.UnimplementedBackendServiceServer
	store        *store.Store
	synchronizer *synchronizer.Synchronizer
	functions    *Functions
}

// New returns the service.
func New(st *store.Store, sy *synchronizer.Synchronizer, f *Functions) *Service {
	return &Service{store: st, synchronizer: sy, functions: f}
}

// FetchMatches runs a match function in the next cycle and streams those of its
// matches that the evaluator accepts. Matches may come before a final error; they
// stand, and their tickets are pending; those of matches that do not come are not.
// Whatever goes wrong after the request was read is code Unknown, as in Open
// Match; only too many proposals are ResourceExhausted.
func (s *Service) FetchMatches(req *openmatch.FetchMatchesRequest, stream openmatch.BackendService_FetchMatchesServer) error {
	if req.GetConfig() == nil {
		return status.Error(codes.InvalidArgument, "config is required")
	}
	if req.GetProfile() == nil {
		return status.Error(codes.InvalidArgument, "profile is required")
	}
	if err := checkConfig(req.GetConfig()); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	call, err := s.synchronizer.Register(ctx, s.fill, s.abandon)
	if err != nil {
		return fetchError(stream.Context(), err, nil)
	}
	defer call.Leave()

	ran := make(chan error, 1)
	go func() {
		err := s.runFunction(ctx, req, call)
		// Proposals made before a failure are evaluated all the same.
		call.Done()
		ran <- err
	}()
	err = s.forward(ctx, call, stream)
	if err != nil {
		cancel(err)
	}
	// Without an error the cycle is over, and so the match function has ended or
	// was cut.
	return fetchError(stream.Context(), err, <-ran)
}

// fetchError is the status for what ended the cycle's part of a call and its
// match function's part, either of which may be nil.
func fetchError(caller context.Context, cycle, function error) error {
	switch {
	case cycle == nil && function == nil:
		return nil
	case caller.Err() != nil:
		return status.FromContextError(caller.Err()).Err()
	case errors.Is(cycle, synchronizer.ErrStopped):
		return status.Error(codes.Unavailable, cycle.Error())
	case cycle == nil && errors.Is(function, synchronizer.ErrTooMany):
		return status.Error(codes.ResourceExhausted, function.Error())
	case function == nil || cycle != nil && errors.Is(function, cycle):
		return status.Error(codes.Unknown, cycle.Error())
	case cycle == nil:
		return status.Error(codes.Unknown, function.Error())
	default:
		return status.Errorf(codes.Unknown, "%v; %v", cycle, function)
	}
}

// runFunction calls the match function until it ends, fails or the window closes.
func (s *Service) runFunction(ctx context.Context, req *openmatch.FetchMatchesRequest, call *synchronizer.Call) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-call.Cut():
			cancel(synchronizer.ErrWindowClosed)
		case <-ended:
		}
	}()
	err := s.functions.run(ctx, req.GetConfig(), req.GetProfile(), call.Propose)
	close(ended)
	<-watched
	return err
}

func (s *Service) forward(ctx context.Context, call *synchronizer.Call, stream openmatch.BackendService_FetchMatchesServer) error {
	for {
		m, giveBack, err := call.Next(ctx)
		if err == io.EOF { //nolint:errorlint // a failure may wrap the end of some connection
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&openmatch.FetchMatchesResponse{Match: m}); err != nil {
			giveBack()
			return fmt.Errorf("send match: %w", err)
		}
	}
}

// fill enters an accepted match into the backfill that it names, and returns the
// match to be sent. It is nil when the backfill has changed or gone since it was
// proposed: the tickets are released for the next cycle. An expired backfill
// ends the call, as in Open Match, and so does one that would become too large.
func (s *Service) fill(m *openmatch.Match, stamp uint64) (*openmatch.Match, error) {
	if m.GetBackfill() == nil {
		return m, nil
	}
	tickets := ticketIDs(m)
	b, err := s.store.FillBackfill(m.GetBackfill(), tickets, stamp)
	switch {
	case errors.Is(err, store.ErrBackfillNotFound), errors.Is(err, store.ErrBackfillGeneration):
		s.store.ReleaseHeld(tickets, stamp)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("failed to handle match backfill: %s: %w", m.GetMatchId(), err)
	}
	if b == m.GetBackfill() {
		return m, nil
	}
	// The evaluator's stream may still hold the proposal: change a copy.
	sent := proto.CloneOf(m)
	sent.Backfill = b
	return sent, nil
}

// abandon lets queries see the tickets of a match again that its caller will not
// get, unless another match holds them. Those that join a running match stay: its
// acknowledgement assigns them.
func (s *Service) abandon(proposed, prepared *openmatch.Match, stamp uint64) {
	switch {
	case prepared == nil || proposed.GetBackfill() == nil:
		s.store.ReleaseHeld(ticketIDs(proposed), stamp)
	case proposed.GetBackfill().GetId() == "":
		s.store.DeleteBackfill(prepared.GetBackfill().GetId()) // and releases the tickets
	}
}

func ticketIDs(m *openmatch.Match) []string {
	ids := make([]string, 0, len(m.GetTickets()))
	for _, t := range m.GetTickets() {
		ids = append(ids, t.GetId())
	}
	return ids
}

// AssignTickets gives tickets their assignments, all at once, replacing earlier
// ones. A ticket that is not there is a failure in the response and no error; for
// one that gets too large nothing is assigned.
func (s *Service) AssignTickets(_ context.Context, req *openmatch.AssignTicketsRequest) (*openmatch.AssignTicketsResponse, error) {
	resp := &openmatch.AssignTicketsResponse{}
	if len(req.GetAssignments()) == 0 {
		return resp, nil
	}
	groups := make([]store.Assignment, 0, len(req.GetAssignments()))
	seen := map[string]struct{}{}
	for i, g := range req.GetAssignments() {
		if g.GetAssignment() == nil {
			return nil, status.Errorf(codes.InvalidArgument, "assignments[%d].assignment is required", i)
		}
		for _, id := range g.GetTicketIds() {
			if _, twice := seen[id]; twice {
				return nil, status.Errorf(codes.InvalidArgument, "assignments[%d].ticket_ids: ticket %s is assigned twice in one call", i, id)
			}
			seen[id] = struct{}{}
		}
		groups = append(groups, store.Assignment{TicketIDs: g.GetTicketIds(), Assignment: g.GetAssignment()})
	}
	if len(seen) == 0 {
		return nil, status.Error(codes.InvalidArgument, "assignments.ticket_ids must name a ticket")
	}
	missing, err := s.store.Assign(groups)
	if err != nil {
		return nil, status.Error(codes.ResourceExhausted, err.Error())
	}
	for _, id := range missing {
		resp.Failures = append(resp.Failures, &openmatch.AssignmentFailure{
			TicketId: id,
			Cause:    openmatch.AssignmentFailure_TICKET_NOT_FOUND,
		})
	}
	return resp, nil
}

// ReleaseTickets lets queries see these tickets again, whoever made them pending.
func (s *Service) ReleaseTickets(_ context.Context, req *openmatch.ReleaseTicketsRequest) (*openmatch.ReleaseTicketsResponse, error) {
	s.store.Release(req.GetTicketIds())
	return &openmatch.ReleaseTicketsResponse{}, nil
}

// ReleaseAllTickets lets queries see every pending ticket again.
func (s *Service) ReleaseAllTickets(context.Context, *openmatch.ReleaseAllTicketsRequest) (*openmatch.ReleaseAllTicketsResponse, error) {
	s.store.ReleaseAll()
	return &openmatch.ReleaseAllTicketsResponse{}, nil
}
