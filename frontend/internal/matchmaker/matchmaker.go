// Package matchmaker stands between the tickets of the frontend and Open Match: it
// makes and deletes tickets there, hears from the directors which tickets have
// been assigned, and finds out by itself what it was not told. On the player's
// path it is everything between "Play" and the server's address.
//
// A call of CreateTicket whose answer is lost may have made a ticket that
// nobody here knows. The player is told that the ticket has not begun, and may
// begin another. If the unknown ticket is matched, its assignment is ignored,
// and the game server's no-show time-out gives the server back. The same may
// happen when a ticket is made again that Open Match has lost.
package matchmaker

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

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/queues"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// callTimeout bounds one call of Open Match.
const callTimeout = 5 * time.Second

// ErrUnavailable means that Open Match took no ticket.
var ErrUnavailable = errors.New("matchmaker unavailable")

// Options are what a [Client] needs; all are required but those that say so.
type Options struct {
	Store ticket.Store
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
	// Timeout is the longest ticket.
	Timeout time.Duration
	// ReconcileRate is how many tickets a second are read from Open Match, or
	// made again there, at most.
	ReconcileRate float64
	// ReconcileEvery is the time between the ends of two readings of all
	// tickets.
	ReconcileEvery time.Duration
	// StopTimeout bounds the deleting of tickets at the end.
	StopTimeout time.Duration
	// Tick is the time between two looks for what has expired; zero means
	// 250 ms.
	Tick time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Client is safe for concurrent use.
type Client struct {
	Options
	tickets openmatch.FrontendServiceClient
	deletes *deletes
	// again asks for a reading of all tickets now.
	again chan struct{}
}

// New makes a client; Run makes it work.
func New(o Options) *Client {
	if o.Tick <= 0 {
		o.Tick = 250 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Client{Options: o, tickets: openmatch.NewFrontendServiceClient(o.OpenMatch), again: make(chan struct{}, 1)}
	c.deletes = newDeletes(c.tickets, o.Logger, o.Metrics)
	return c
}

// Create begins a ticket and returns once Open Match has its ticket. ID, state
// and times of s are set here. The error is a *ticket.ConflictError,
// ticket.ErrFull, ticket.ErrStopped or ErrUnavailable. What has begun is brought
// to its end even if ctx ends meanwhile.
func (c *Client) Create(ctx context.Context, s ticket.Ticket) (ticket.Ticket, error) {
	defer c.deletes.expect()()
	s.ID, s.Created = rand.Text(), c.Now()
	if err := c.Store.Create(s); err != nil {
		return ticket.Ticket{}, err
	}
	c.Metrics.began(s.Queue)
	if err := c.bind(context.WithoutCancel(ctx), s); err != nil {
		if c.Store.AbortCreate(s.ID) {
			c.Metrics.left(s.Queue)
		}
		return ticket.Ticket{}, err
	}
	s, ok := c.Store.Get(s.ID)
	select {
	case <-c.Store.Stopped():
		ok = false // its ticket is being deleted
	default:
	}
	if !ok {
		return ticket.Ticket{}, ticket.ErrStopped
	}
	c.Logger.InfoContext(ctx, "ticket created", "ticket", s.ID, "queue", s.Queue, "players", len(s.Players))
	return s, nil
}

// bind makes a ticket for a ticket and tells the store.
func (c *Client) bind(ctx context.Context, s ticket.Ticket) error {
	queue, ok := c.Queues.Get(s.Queue)
	if !ok {
		return fmt.Errorf("queue %q is gone", s.Queue)
	}
	ticket, err := Ticket(&s, queue.Tag(), s.Created.Add(c.Timeout))
	if err != nil {
		return fmt.Errorf("make ticket %q: %w", s.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	made, err := c.tickets.CreateTicket(ctx, &openmatch.CreateTicketRequest{Ticket: ticket})
	if err == nil && made.GetId() == "" {
		err = status.Error(codes.Internal, "ticket without id")
	}
	if err != nil {
		c.Metrics.failed("create", err)
		c.Logger.WarnContext(ctx, "Open Match ticket not created", "ticket", s.ID, "queue", s.Queue, "error", err)
		return fmt.Errorf("%w: create ticket: %w", ErrUnavailable, err)
	}
	bound, ok, assigned := c.Store.Attach(s.ID, made.GetId())
	if !ok {
		// It has ended while its ticket was being made.
		c.deletes.add(made.GetId())
	}
	if assigned {
		c.assigned(bound)
	}
	return nil
}

// Cancel ends a ticket for its players, at once and for good; Open Match is told
// as soon as it can be. The state of the answer is the final one. It is false if
// there is no such ticket.
func (c *Client) Cancel(ctx context.Context, id string) (ticket.Ticket, bool) {
	defer c.deletes.expect()()
	s, changed, ok := c.Store.End(id, ticket.Cancel)
	if changed {
		c.closed(ctx, s, "ticket cancelled")
	}
	return s, ok
}

// closed follows a ticket that ended without a match.
func (c *Client) closed(ctx context.Context, s ticket.Ticket, message string) {
	if s.OpenMatchID != "" {
		c.deletes.add(s.OpenMatchID)
	}
	c.Metrics.ended(&s)
	c.Logger.InfoContext(ctx, message, "ticket", s.ID, "queue", s.Queue)
}

// assigned follows a ticket that ended with a match.
func (c *Client) assigned(s ticket.Ticket) {
	c.Metrics.ended(&s)
	c.Logger.Info("ticket assigned", "ticket", s.ID, "queue", s.Queue,
		"match", s.Assignment.Details.GetMatchId(), "gameserver", s.Assignment.Details.GetGameServer())
}

// assign applies what Open Match or a director says of a ticket.
func (c *Client) assign(openMatchID, connection string, details *torikumiv1.AssignmentDetails) bool {
	s, ok := c.Store.Assign(openMatchID, ticket.Assignment{Connection: connection, Details: details})
	if ok {
		c.assigned(s)
	}
	return ok
}

// Run works until ctx ends. Then it ends the waiting of all watchers and deletes
// what still tickets from Open Match, within StopTimeout, because nobody else
// knows of it.
func (c *Client) Run(ctx context.Context) error {
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() error { c.expire(workCtx); return nil })
	work.Go(func() error { c.reconcile(workCtx); return nil })
	work.Go(func() error { c.watchConnection(workCtx); return nil })
	for _, d := range c.Directors {
		work.Go(func() error { c.listen(workCtx, d); return nil })
	}
	deleting, stopDeleting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopDeleting()
	work.Go(func() error { c.deletes.run(deleting); return nil })
	work.Go(func() error {
		defer stopDeleting()
		<-workCtx.Done()
		return c.stop(context.WithoutCancel(ctx))
	})
	return work.Wait()
}

func (c *Client) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.StopTimeout)
	defer cancel()
	for _, s := range c.Store.Stop() {
		if s.OpenMatchID != "" {
			c.deletes.add(s.OpenMatchID)
		}
	}
	left := c.deletes.drained(ctx, func() bool { return c.Store.Pending() == 0 })
	if left > 0 {
		c.Logger.WarnContext(ctx, "tickets left in Open Match at the end", "count", left)
	}
	return nil
}

func (c *Client) expire(ctx context.Context) {
	t := time.NewTicker(c.Tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		over := c.deletes.expect()
		for _, s := range c.Store.Tick(c.Now()) {
			c.closed(ctx, s, "ticket expired")
		}
		over()
	}
}
