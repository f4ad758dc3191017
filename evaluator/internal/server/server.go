// Package server serves openmatch.Evaluator. On the player's path Open Match
// calls it once per cycle with everything that the match functions proposed;
// what it answers becomes matches.
package server

import (
	"errors"
	"io"
	"math"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/evaluator/internal/choice"
	"torikumi/pkg/contract"
	"torikumi/proto/openmatch"
)

// Limits bound the memory of one call.
type Limits struct {
	// Proposals is the largest number of them.
	Proposals int
	// Tickets is the largest number of tickets in all of them together.
	Tickets int
}

// Server implements openmatch.EvaluatorServer. It is safe for concurrent use.
type Server struct {
	openmatch.UnimplementedEvaluatorServer
	limits  Limits
	metrics *Metrics
}

// New makes a Server.
func New(limits Limits, metrics *Metrics) *Server {
	return &Server{limits: limits, metrics: metrics}
}

// Evaluate implements openmatch.EvaluatorServer: it reads until the caller
// has sent everything, and then answers. The code is ResourceExhausted if a
// limit is passed. It has no time limit of its own while it reads, as the
// proposals come for as long as the caller's window is open.
func (s *Server) Evaluate(stream grpc.BidiStreamingServer[openmatch.EvaluateRequest, openmatch.EvaluateResponse]) error {
	proposals, err := s.read(stream)
	if err != nil {
		return err
	}
	received := len(proposals)
	started := time.Now()
	result := choice.Choose(proposals)
	s.metrics.observe(received, result, time.Since(started))
	for _, id := range result.Accepted {
		if err := stream.Send(&openmatch.EvaluateResponse{MatchId: id}); err != nil {
			return err
		}
	}
	return nil
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
		created := t.GetCreateTime()
		if created == nil || created.CheckValid() != nil {
			continue
		}
		if at := created.AsTime(); p.Oldest.IsZero() || at.Before(p.Oldest) {
			p.Oldest = at
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
