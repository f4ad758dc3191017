// Package broker stands between the searches of the frontend and Open Match: it
// makes and deletes tickets there, hears from the directors which tickets have
// been assigned, and finds out by itself what it was not told. On the player's
// path it is everything between "Play" and the server's address.
//
// A call of CreateTicket whose answer is lost may have made a ticket that
// nobody here knows. The player is told that the search has not begun, and may
// begin another. If the unknown ticket is matched, its assignment is ignored,
// and the game server's no-show time-out gives the server back. The same may
// happen when a ticket is made again that Open Match has lost.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"torikumi/frontend/internal/search"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// callTimeout bounds one call of Open Match.
const callTimeout = 5 * time.Second

// ErrUnavailable means that Open Match took no ticket.
var ErrUnavailable = errors.New("matchmaker unavailable")

// Options are what a [Broker] needs; all are required but those that say so.
type Options struct {
	Store search.Store
	// OpenMatch is a connection to Open Match's frontend service.
	OpenMatch *grpc.ClientConn
	// Directors are connections to announcement services; none: all
	// assignments are found by reading.
	Directors []*grpc.ClientConn
	// Name tells the directors who subscribes.
	Name    string
	Queues  *queues.Set
	Logger  *slog.Logger
	Metrics *Metrics
	// Timeout is the longest search.
	Timeout time.Duration
	// ReconcileRate is how many tickets a second are read from Open Match, or
	// made again there, at most.
	ReconcileRate float64
	// ReconcileEvery is the time between the ends of two readings of all
	// searches.
	ReconcileEvery time.Duration
	// StopTimeout bounds the deleting of tickets at the end.
	StopTimeout time.Duration
	// Tick is the time between two looks for what has expired; zero means
	// 250 ms.
	Tick time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Broker is safe for concurrent use.
type Broker struct {
	Options
	tickets openmatch.FrontendServiceClient
	deletes *deletes
	// again asks for a reading of all searches now.
	again chan struct{}
}

// New makes a broker; Run makes it work.
func New(o Options) *Broker {
	if o.Tick <= 0 {
		o.Tick = 250 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Broker{Options: o, tickets: openmatch.NewFrontendServiceClient(o.OpenMatch), again: make(chan struct{}, 1)}
	b.deletes = newDeletes(b.tickets, o.Logger, o.Metrics)
	return b
}

// Create begins a search and returns once Open Match has its ticket. ID, state
// and times of s are set here. The error is a *search.ConflictError,
// search.ErrFull, search.ErrStopped or ErrUnavailable. What has begun is brought
// to its end even if ctx ends meanwhile.
func (b *Broker) Create(ctx context.Context, s search.Search) (search.Search, error) {
	defer b.deletes.expect()()
	s.ID, s.Created = rand.Text(), b.Now()
	if err := b.Store.Begin(s); err != nil {
		return search.Search{}, err
	}
	b.Metrics.began(s.Queue)
	if err := b.bind(context.WithoutCancel(ctx), s); err != nil {
		if b.Store.Abandon(s.ID) {
			b.Metrics.left(s.Queue)
		}
		return search.Search{}, err
	}
	s, ok := b.Store.Get(s.ID)
	select {
	case <-b.Store.Stopped():
		ok = false // its ticket is being deleted
	default:
	}
	if !ok {
		return search.Search{}, search.ErrStopped
	}
	b.Logger.InfoContext(ctx, "search begun", "ticket", s.ID, "queue", s.Queue, "players", len(s.Players))
	return s, nil
}

// bind makes a ticket for a search and tells the store.
func (b *Broker) bind(ctx context.Context, s search.Search) error {
	queue, ok := b.Queues.Get(s.Queue)
	if !ok {
		return fmt.Errorf("queue %q is gone", s.Queue)
	}
	ticket, err := Ticket(&s, queue.Tag(), s.Created.Add(b.Timeout))
	if err != nil {
		return fmt.Errorf("make ticket %q: %w", s.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	made, err := b.tickets.CreateTicket(ctx, &openmatch.CreateTicketRequest{Ticket: ticket})
	if err == nil && made.GetId() == "" {
		err = status.Error(codes.Internal, "ticket without id")
	}
	if err != nil {
		b.Metrics.failed("create", err)
		b.Logger.WarnContext(ctx, "ticket not made in Open Match", "ticket", s.ID, "queue", s.Queue, "error", err)
		return fmt.Errorf("%w: create ticket: %w", ErrUnavailable, err)
	}
	bound, ok, assigned := b.Store.Bind(s.ID, made.GetId())
	if !ok {
		// It has ended while its ticket was being made.
		b.deletes.add(made.GetId())
	}
	if assigned {
		b.assigned(bound)
	}
	return nil
}

// Cancel ends a search for its players, at once and for good; Open Match is told
// as soon as it can be. The state of the answer is the final one. It is false if
// there is no such search.
func (b *Broker) Cancel(ctx context.Context, id string) (search.Search, bool) {
	defer b.deletes.expect()()
	s, changed, ok := b.Store.End(id, search.Cancel)
	if changed {
		b.closed(ctx, s, "search cancelled")
	}
	return s, ok
}

// closed follows a search that ended without a match.
func (b *Broker) closed(ctx context.Context, s search.Search, message string) {
	if s.OpenMatchID != "" {
		b.deletes.add(s.OpenMatchID)
	}
	b.Metrics.ended(&s)
	b.Logger.InfoContext(ctx, message, "ticket", s.ID, "queue", s.Queue)
}

// assigned follows a search that ended with a match.
func (b *Broker) assigned(s search.Search) {
	b.Metrics.ended(&s)
	b.Logger.Info("search assigned", "ticket", s.ID, "queue", s.Queue,
		"match", s.Assignment.Details.GetMatchId(), "gameserver", s.Assignment.Details.GetGameServer())
}

// assign applies what Open Match or a director says of a ticket.
func (b *Broker) assign(openMatchID, connection string, details *torikumiv1.AssignmentDetails) bool {
	s, ok := b.Store.Assign(openMatchID, search.Assignment{Connection: connection, Details: details})
	if ok {
		b.assigned(s)
	}
	return ok
}

// Run works until ctx ends. Then it ends the waiting of all watchers and deletes
// what still searches from Open Match, within StopTimeout, because nobody else
// knows of it.
func (b *Broker) Run(ctx context.Context) error {
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() error { b.expire(workCtx); return nil })
	work.Go(func() error { b.reconcile(workCtx); return nil })
	work.Go(func() error { b.watchConnection(workCtx); return nil })
	for _, d := range b.Directors {
		work.Go(func() error { b.listen(workCtx, d); return nil })
	}
	deleting, stopDeleting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDeleting()
	work.Go(func() error { b.deletes.run(deleting); return nil })
	work.Go(func() error {
		defer stopDeleting()
		<-workCtx.Done()
		return b.stop(context.WithoutCancel(ctx))
	})
	return work.Wait()
}

func (b *Broker) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.StopTimeout)
	defer cancel()
	for _, s := range b.Store.Stop() {
		if s.OpenMatchID != "" {
			b.deletes.add(s.OpenMatchID)
		}
	}
	left := b.deletes.drained(ctx, func() bool { return b.Store.Pending() == 0 })
	if left > 0 {
		b.Logger.WarnContext(ctx, "tickets left in Open Match at the end", "count", left)
	}
	return nil
}

func (b *Broker) expire(ctx context.Context) {
	t := time.NewTicker(b.Tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		over := b.deletes.expect()
		for _, s := range b.Store.Tick(b.Now()) {
			b.closed(ctx, s, "search expired")
		}
		over()
	}
}
