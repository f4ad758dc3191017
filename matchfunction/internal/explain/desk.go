package explain

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Limits of a Desk.
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

// Desk remembers which tickets are asked for, and what runs saw of them. The
// zero value needs Now. It implements torikumiv1.ExplainServiceServer and is
// safe for concurrent use.
type Desk struct {
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
func (d *Desk) Explain(_ context.Context, req *torikumiv1.ExplainRequest) (*torikumiv1.ExplainResponse, error) {
	if n := len(req.GetTicketIds()); n > MostIDs {
		return nil, status.Errorf(codes.InvalidArgument, "ticket_ids: must be at most %d, got %d", MostIDs, n)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
	out := new(torikumiv1.ExplainResponse)
	for _, id := range req.GetTicketIds() {
		if id == "" {
			return nil, status.Error(codes.InvalidArgument, "ticket_ids: must not be empty")
		}
		if k, ok := d.known[id]; ok {
			out.Explanations = append(out.Explanations, k.of)
		}
		if d.wanted == nil {
			d.wanted = make(map[string]time.Time)
		}
		if _, ok := d.wanted[id]; ok || len(d.wanted) < most {
			d.wanted[id] = d.Now()
		}
	}
	return out, nil
}

// forget drops what is not fresh, once a second.
func (d *Desk) forget() {
	if d.Now().Sub(d.forgot) < time.Second {
		return
	}
	d.forgot = d.Now()
	old := d.forgot.Add(-fresh)
	for id, at := range d.wanted {
		if at.Before(old) {
			delete(d.wanted, id)
		}
	}
	for id, k := range d.known {
		if k.at.Before(old) {
			delete(d.known, id)
		}
	}
}

// Wanted tells whether anybody has asked for anything of late.
func (d *Desk) Wanted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.wanted) > 0
}

// Pick returns the positions of up to MostAtOnce of a run's tickets that are
// asked for, those first of which nothing or the oldest is known.
func (d *Desk) Pick(n int, id func(int) string) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forget()
	if len(d.wanted) == 0 {
		return nil
	}
	var picked []int
	for i := range n {
		if _, ok := d.wanted[id(i)]; !ok {
			continue
		}
		if len(picked) < MostAtOnce {
			picked = append(picked, i)
			continue
		}
		newest := 0
		for j := range picked {
			if d.known[id(picked[j])].at.After(d.known[id(picked[newest])].at) {
				newest = j
			}
		}
		if d.known[id(i)].at.Before(d.known[id(picked[newest])].at) {
			picked[newest] = i
		}
	}
	return picked
}

// Learn remembers what a run saw.
func (d *Desk) Learn(xs []*torikumiv1.Explanation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = make(map[string]answer)
	}
	for _, x := range xs {
		if _, ok := d.known[x.GetTicketId()]; ok || len(d.known) < most {
			d.known[x.GetTicketId()] = answer{d.Now(), x}
		}
	}
}
