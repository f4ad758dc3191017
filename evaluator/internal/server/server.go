// Package server serves openmatch.Evaluator. On the player's path Open Match
// calls it once per cycle with everything that the match functions proposed;
// what it answers becomes matches.
package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/evaluator/internal/choice"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
)

// Limits bound the memory and the time of one call.
type Limits struct {
	// Proposals is the largest number of them.
	Proposals int
	// Tickets is the largest number of tickets in all of them together.
	Tickets int
	// Effort is the search for a better choice, in steps for each ticket of a
	// proposal.
	Effort int
	// ChooseTime is how long that search may go on, from when all proposals are
	// there. It is a guard: Effort should end it long before.
	ChooseTime time.Duration
}

// Options are what a Server needs.
type Options struct {
	Limits  Limits
	Metrics *Metrics
	Logger  *slog.Logger
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Server implements openmatch.EvaluatorServer. It is safe for concurrent use.
type Server struct {
	openmatch.UnimplementedEvaluatorServer
	limits  Limits
	metrics *Metrics
	logger  *slog.Logger
	now     func() time.Time
	warned  sync.Once
}

// New makes a Server.
func New(o Options) *Server {
	s := &Server{limits: o.Limits, metrics: o.Metrics, logger: o.Logger, now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Evaluate implements openmatch.EvaluatorServer: it reads until the caller
// has sent everything, and then answers. The code is ResourceExhausted if a
// limit is passed. It has no time limit of its own while it reads, as the
// proposals come for as long as the caller's window is open. Once the caller
// has left, it searches no longer.
func (s *Server) Evaluate(stream grpc.BidiStreamingServer[openmatch.EvaluateRequest, openmatch.EvaluateResponse]) error {
	proposals, err := s.read(stream)
	if err != nil {
		return err
	}
	for _, id := range fillsLast(s.choose(stream.Context(), proposals).Accepted, proposals) {
		if err := stream.Send(&openmatch.EvaluateResponse{MatchId: id}); err != nil {
			return err
		}
	}
	return nil
}

// fillsLast puts the matches that fill a running one behind all others: if its
// backfill has expired, Open Match delivers nothing that is answered after it, and
// hides the tickets for its pendingReleaseTimeout.
func fillsLast(accepted []string, proposals []choice.Proposal) []string {
	fills := make(map[string]bool)
	for _, p := range proposals {
		if p.Backfill != "" {
			fills[p.ID] = true
		}
	}
	var first, last []string
	for _, id := range accepted {
		if fills[id] {
			last = append(last, id)
		} else {
			first = append(first, id)
		}
	}
	return append(first, last...)
}

func (s *Server) choose(ctx context.Context, proposals []choice.Proposal) choice.Result {
	received, started, late := len(proposals), s.now(), false
	result := choice.Choose(proposals, choice.Options{Effort: s.limits.Effort, Stop: func() bool {
		late = late || s.now().Sub(started) >= s.limits.ChooseTime
		return late || ctx.Err() != nil
	}})
	result.Cut = late // the caller's leaving is not the clock's doing
	s.metrics.observe(received, result, s.now().Sub(started))
	if late {
		s.warned.Do(func() {
			s.logger.Warn("search for a better choice cut by the clock: lower the effort; said once, see torikumi_evaluator_cut_total",
				"proposals", received, "steps", result.Steps, "choose_time", s.limits.ChooseTime, "effort", s.limits.Effort)
		})
	}
	return result
}

func (s *Server) read(stream grpc.BidiStreamingServer[openmatch.EvaluateRequest, openmatch.EvaluateResponse]) ([]choice.Proposal, error) {
	var proposals []choice.Proposal
	tickets := 0
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return proposals, nil
		}
		if err != nil {
			return nil, err
		}
		if len(proposals) == s.limits.Proposals {
			return nil, status.Errorf(codes.ResourceExhausted, "more than %d proposals in one call", s.limits.Proposals)
		}
		if tickets += len(req.GetMatch().GetTickets()); tickets > s.limits.Tickets {
			return nil, status.Errorf(codes.ResourceExhausted, "more than %d tickets in the proposals of one call", s.limits.Tickets)
		}
		proposals = append(proposals, read(req.GetMatch()))
	}
}

// read takes from a match what the choice needs; the rest of it can be freed.
func read(m *openmatch.Match) choice.Proposal {
	p := choice.Proposal{ID: m.GetMatchId(), Score: score(m), Tickets: make([]string, len(m.GetTickets()))}
	for i, t := range m.GetTickets() {
		p.Tickets[i] = t.GetId()
		if since, ok := contract.SearchTime(t); ok && (p.Oldest.IsZero() || since.Before(p.Oldest)) {
			p.Oldest = since
		}
	}
	if b := m.GetBackfill(); b != nil {
		p.Backfill = b.GetId()
		p.NewBackfill = p.Backfill == ""
	}
	return p
}

// score is that of the evaluation input, and -Inf where there is none that
// can be compared.
func score(m *openmatch.Match) float64 {
	var input openmatch.DefaultEvaluationCriteria
	if err := contract.Get(m.GetExtensions(), contract.EvaluationExtension, &input); err != nil || math.IsNaN(input.GetScore()) {
		return math.Inf(-1)
	}
	return input.GetScore()
}
