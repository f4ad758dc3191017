// Package reclaim gives back game servers that a director has allocated for a match
// and then never sent anybody to, because it has died or lost an answer: it deletes
// them, and their fleets make others. It runs beside the path of the matches.
//
// docs/decisions/0021-servers-without-a-match.md says why its rule is safe.
package reclaim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"torikumi/director/internal/servers"
	"torikumi/pkg/agones"
	"torikumi/pkg/contract"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// Settle is for calls of the director that has allocated a server to have
	// their effect after its time for the match is over.
	Settle = 10 * time.Second
	// retryAfter is how long a question that was not answered rests.
	retryAfter = 5 * time.Second
	// callTimeout bounds one call.
	callTimeout = 5 * time.Second
)

// Options are what a Reclaimer needs.
type Options struct {
	GameServers servers.GameServers
	Tickets     openmatch.FrontendServiceClient
	// Placing is the least time that a match has for its assignment, whatever its
	// server says.
	Placing  time.Duration
	Registry prometheus.Registerer
	Logger   *slog.Logger
}

// Reclaimer gives game servers back. It is safe for concurrent use.
type Reclaimer struct {
	o         Options
	reclaimed prometheus.Counter
	asking    *rpc.Health
	changed   chan struct{} // has room for one: there is something new to wait for

	mu sync.Mutex
	// unused are servers that nobody has come to, by UID.
	unused map[string]*candidate
}

// candidate is a server that nobody has come to.
type candidate struct {
	server servers.Server
	roster *torikumiv1.Roster
	due    time.Time
	// settled: somebody may have been sent to it. That is never undone.
	settled bool
}

// New makes a Reclaimer and registers its metrics.
func New(o Options) *Reclaimer {
	return &Reclaimer{
		o: o, changed: make(chan struct{}, 1), unused: make(map[string]*candidate),
		reclaimed: promauto.With(o.Registry).NewCounter(prometheus.CounterOpts{
			Name: "torikumi_director_reclaimed_servers_total", Help: "Game servers that were deleted because a match had them and nobody was sent there.",
		}),
		asking: rpc.NewHealth(o.Logger, "it cannot be found out whether game servers are without a match", "it can be found out again whether game servers are without a match"),
	}
}

// Observe takes in a server as it is now. The time that its director has begins
// when it is first seen with its stamp: no clock but our own counts.
func (r *Reclaimer) Observe(s servers.Server) {
	r.mu.Lock()
	defer r.mu.Unlock()
	roster, ok := unused(s)
	if !ok {
		delete(r.unused, s.UID)
		return
	}
	if c := r.unused[s.UID]; c != nil && sameStamp(c.server, s) {
		c.server = s
		return
	}
	r.unused[s.UID] = &candidate{server: s, roster: roster, due: time.Now().Add(max(r.o.Placing, placing(s)) + Settle)}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Gone forgets a server that ends.
func (r *Reclaimer) Gone(s servers.Server) {
	r.mu.Lock()
	delete(r.unused, s.UID)
	r.mu.Unlock()
}

// unused returns the roster of a server that is held for a match of ours to which
// nobody has come.
func unused(s servers.Server) (*torikumiv1.Roster, bool) {
	label := s.Labels[contract.MatchLabel]
	if s.State != agones.Allocated || label == "" || s.Annotations[contract.AdmittedAnnotation] == label {
		return nil, false
	}
	roster, err := contract.DecodeRoster(s.Annotations[contract.RosterAnnotation])
	if err != nil || contract.MatchLabelValue(roster.GetOpenMatchId()) != label {
		return nil, false
	}
	return roster, true
}

func sameStamp(a, b servers.Server) bool {
	return a.Labels[contract.MatchLabel] == b.Labels[contract.MatchLabel] &&
		a.Annotations[contract.PlacingAnnotation] == b.Annotations[contract.PlacingAnnotation] &&
		a.Annotations[contract.RosterAnnotation] == b.Annotations[contract.RosterAnnotation]
}

// placing is how long the director that has stamped a server has for its match; 0
// if that cannot be read.
func placing(s servers.Server) time.Duration {
	text, _, _ := strings.Cut(s.Annotations[contract.PlacingAnnotation], " ")
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return min(max(d, 0), time.Hour)
}

// Run gives servers back until ctx ends; then it returns nil.
func (r *Reclaimer) Run(ctx context.Context) error {
	for {
		server, roster, wait := r.next()
		if wait == 0 {
			r.judge(ctx, server, roster)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-r.changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// next returns the server whose time is over for the longest, or how long to wait
// for the next.
func (r *Reclaimer) next() (servers.Server, *torikumiv1.Roster, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first *candidate
	for _, c := range r.unused {
		if !c.settled && (first == nil || c.due.Before(first.due)) {
			first = c
		}
	}
	if first == nil {
		return servers.Server{}, nil, time.Hour
	}
	if wait := time.Until(first.due); wait > 0 {
		return servers.Server{}, nil, wait
	}
	return first.server, first.roster, 0
}

// judge deletes a server if nobody was sent to it. The tickets are read after the
// version of the server that the deletion names: who takes it over meanwhile, or
// comes to it, changes the version.
func (r *Reclaimer) judge(ctx context.Context, s servers.Server, roster *torikumiv1.Roster) {
	waiting, err := r.waiting(ctx, roster)
	if err == nil && !waiting {
		r.settle(s, func(c *candidate) { c.settled = true })
		r.asking.Up()
		return
	}
	if err == nil {
		err = r.delete(ctx, s)
	}
	switch {
	case err == nil:
		r.asking.Up()
		r.reclaimed.Inc()
		r.o.Logger.Info("game server given back: its match was never assigned", "gameserver", s.ID(), "match", roster.GetOpenMatchId())
		r.Gone(s)
	case errors.Is(err, servers.ErrGone):
		r.Gone(s)
	default:
		if ctx.Err() == nil && !errors.Is(err, servers.ErrChanged) {
			r.asking.Down(err)
		}
		r.settle(s, func(c *candidate) { c.due = time.Now().Add(retryAfter) })
	}
}

func (r *Reclaimer) delete(ctx context.Context, s servers.Server) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.o.GameServers.Delete(ctx, s)
}

// settle changes a candidate, unless its server has another stamp by now.
func (r *Reclaimer) settle(s servers.Server, change func(*candidate)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.unused[s.UID]; c != nil && sameStamp(c.server, s) {
		change(c)
	}
}

// waiting reports whether it is certain that the match was not assigned: a ticket
// of it waits, and none has an assignment. Open Match assigns all tickets of a
// call or none. Tickets that are gone tell nothing: they may have been assigned.
func (r *Reclaimer) waiting(ctx context.Context, roster *torikumiv1.Roster) (bool, error) {
	waiting := false
	asked := make(map[string]bool)
	for _, team := range roster.GetTeams() {
		for _, member := range team.GetMembers() {
			id := member.GetTicketId()
			if asked[id] {
				continue
			}
			asked[id] = true
			ticket, err := r.read(ctx, id)
			switch {
			case status.Code(err) == codes.NotFound:
			case err != nil:
				return false, fmt.Errorf("read ticket %q: %w", id, err)
			case proto.Size(ticket.GetAssignment()) > 0:
				return false, nil
			default:
				waiting = true
			}
		}
	}
	return waiting, nil
}

func (r *Reclaimer) read(ctx context.Context, id string) (*openmatch.Ticket, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.o.Tickets.GetTicket(ctx, &openmatch.GetTicketRequest{TicketId: id})
}
