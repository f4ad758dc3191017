package explain

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Limits of a Server.
const (
	// MostIDs is how many tickets one call may ask for.
	MostIDs = 100
	// MostAtOnce is how many tickets one run looks at.
	MostAtOnce = 16
	// most bounds what is remembered, each of questions and answers.
	most = 2000
	// fresh is how long either is.
	fresh = 30 * time.Second
)

// Server remembers which tickets are asked for, and what runs saw of them. The
// zero value needs Now. It implements torikumiv1.ExplainServiceServer and is
// safe for concurrent use.
type Server struct {
	torikumiv1.UnimplementedExplainServiceServer
	Now func() time.Time

	mu     sync.Mutex
	wanted map[string]time.Time
	known  map[string]answer
	forgot time.Time
}

type answer struct {
	at time.Time
	of *torikumiv1.Explanation
}

// Explain implements torikumiv1.ExplainServiceServer.
func (s *Server) Explain(_ context.Context, req *torikumiv1.ExplainRequest) (*torikumiv1.ExplainResponse, error) {
	if n := len(req.GetTicketIds()); n > MostIDs {
		return nil, status.Errorf(codes.InvalidArgument, "ticket_ids: must be at most %d, got %d", MostIDs, n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	out := new(torikumiv1.ExplainResponse)
	for _, id := range req.GetTicketIds() {
		if id == "" {
			return nil, status.Error(codes.InvalidArgument, "ticket_ids: must not be empty")
		}
		if k, ok := s.known[id]; ok {
			out.Explanations = append(out.Explanations, k.of)
		}
		if s.wanted == nil {
			s.wanted = make(map[string]time.Time)
		}
		if _, ok := s.wanted[id]; ok || len(s.wanted) < most {
			s.wanted[id] = s.Now()
		}
	}
	return out, nil
}

// forget drops what is not fresh, once a second.
func (s *Server) forget() {
	if s.Now().Sub(s.forgot) < time.Second {
		return
	}
	s.forgot = s.Now()
	old := s.forgot.Add(-fresh)
	for id, at := range s.wanted {
		if at.Before(old) {
			delete(s.wanted, id)
		}
	}
	for id, k := range s.known {
		if k.at.Before(old) {
			delete(s.known, id)
		}
	}
}

// Wanted reports whether anybody has asked for anything of late.
func (s *Server) Wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.wanted) > 0
}

// Pick returns the positions of up to MostAtOnce of a run's tickets that are
// asked for, those first of which nothing or the oldest is known.
func (s *Server) Pick(n int, id func(int) string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	if len(s.wanted) == 0 {
		return nil
	}
	var picked []int
	for i := range n {
		if _, ok := s.wanted[id(i)]; !ok {
			continue
		}
		if len(picked) < MostAtOnce {
			picked = append(picked, i)
			continue
		}
		newest := 0
		for j := range picked {
			if s.known[id(picked[j])].at.After(s.known[id(picked[newest])].at) {
				newest = j
			}
		}
		if s.known[id(i)].at.Before(s.known[id(picked[newest])].at) {
			picked[newest] = i
		}
	}
	return picked
}

// Learn remembers what a run saw.
func (s *Server) Learn(xs []*torikumiv1.Explanation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = make(map[string]answer)
	}
	for _, x := range xs {
		if _, ok := s.known[x.GetTicketId()]; ok || len(s.known) < most {
			s.known[x.GetTicketId()] = answer{s.Now(), x}
		}
	}
}
