// Package matchmaker is the frontend's client of Open Match: it creates and
// deletes tickets there, hears from the directors which tickets have been
// assigned, and finds out by itself what it was not told. On the player's path
// it is everything between "Play" and the server's address.
//
// A call of CreateTicket whose answer is lost may have created an Open Match
// ticket that nobody here knows. The player is told that there is no ticket, and
// may create another. If the unknown ticket is matched, its assignment is
// ignored, and the game server's no-show time-out gives the server back. The
// same may happen when a ticket is created again that Open Match has lost.
package matchmaker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/frontend/internal/endpoints"
	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/claims"
	"torikumi/pkg/contract"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
	"torikumi/proto/openmatch"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// callTimeout bounds one call of Open Match.
	callTimeout = 5 * time.Second
	// expireEvery is the time between two looks for what has expired.
	expireEvery = 250 * time.Millisecond
	// placeTimeout is how long after an assignment a director may take to give its players
	// a place in the match: many times a step of its own.
	placeTimeout = 10 * time.Second
	// fetchedAge is how much longer than a ticket may wait the last match with it that a
	// director has fetched is remembered: as long as directors keep their claims.
	fetchedAge = 10 * time.Minute
	// directorTimeout is how long one call of a director may take: players wait for it, or the
	// other directors do.
	directorTimeout = time.Second
)

// ErrUnavailable means that Open Match took no ticket.
var ErrUnavailable = errors.New("matchmaker unavailable")

// Claims say which assignments may be delivered, and which tickets be made anew: see
// [claims.Store].
type Claims interface {
	Check(ctx context.Context, match, server string, tickets []string) ([]claims.Verdict, error)
	Retire(ctx context.Context, ticket string, assigned bool, keep time.Duration) (bool, error)
}

// Options are what a [Client] needs; all are required but those that say so.
type Options struct {
	Store ticket.Store
	// OpenMatch is a connection to Open Match's frontend service.
	OpenMatch *grpc.ClientConn
	// Directors are where announcement services are, host:port; each address of a
	// name is subscribed to. None: all assignments are found by reading.
	Directors []string
	// TLS says how directors are called.
	TLS rpc.PeerTLS
	// LookUp finds the directors' addresses; nil: the system's resolver.
	LookUp endpoints.LookUp
	// Claims says which director's assignment counts; nil: every one.
	Claims Claims
	// Name tells the directors who subscribes.
	Name    string
	Logger  *slog.Logger
	Metrics *Metrics
	// Timeout is how long a ticket waits for a match.
	Timeout time.Duration
	// Retention is how long the store remembers assigned tickets.
	Retention time.Duration
	// WhilePlaying reports whether players may search in a queue whose match lives;
	// nil: in none.
	WhilePlaying func(queue string) bool
	// ReconcileRate is how many tickets a second are read from Open Match, or
	// created again there, at most.
	ReconcileRate float64
	// ReconcileEvery is the time between the ends of two readings of all
	// tickets.
	ReconcileEvery time.Duration
	// StopTimeout bounds the deleting of tickets at the end.
	StopTimeout time.Duration
	// DirectorTimeout is how long directors may take to say whether a match lives, and to
	// hear answers; zero means 1 s.
	DirectorTimeout time.Duration
}

// Client is safe for concurrent use.
type Client struct {
	options Options
	store   ticket.Store
	logger  *slog.Logger
	metrics *Metrics
	tickets openmatch.FrontendServiceClient
	deletes *deletes
	aborts  aborts
	claims  *rpc.Health
	// pace bounds the readings of reconcile; again asks for one of all tickets
	// now.
	pace  *rate.Limiter
	again chan struct{}
	// directors are those that are subscribed to.
	directors directors
	leaves    leaves
	missed    missed
	// abortsDue and missedDue say that the store answers, and may take what it could not.
	abortsDue, missedDue chan struct{}
	answers              chan *torikumiv1.ProposalAnswer
}

// New makes a client; Run makes it work.
func New(o Options) *Client {
	if o.WhilePlaying == nil {
		o.WhilePlaying = func(string) bool { return false }
	}
	o.DirectorTimeout = cmp.Or(o.DirectorTimeout, directorTimeout)
	tickets := openmatch.NewFrontendServiceClient(o.OpenMatch)
	return &Client{
		options: o, store: o.Store, logger: o.Logger, metrics: o.Metrics,
		tickets: tickets, deletes: newDeletes(tickets, o.Logger, o.Metrics),
		claims: rpc.NewHealth(o.Logger, "claims of directors cannot be read", "claims of directors are read again"),
		pace:   rate.NewLimiter(rate.Limit(o.ReconcileRate), 1), again: make(chan struct{}, 1), leaves: make(leaves, maxLeaves),
		abortsDue: make(chan struct{}, 1), missedDue: make(chan struct{}, 1),
		answers: make(chan *torikumiv1.ProposalAnswer, maxAnswers),
	}
}

// Create creates a ticket and returns once Open Match has its own, or for a party at
// once. ID, state and
// times of t are set here. The error is a *ticket.RepeatedError, a
// *ticket.ConflictError, a *PlayingError, ticket.ErrFull,
// ticket.ErrClosed, ticket.ErrUnavailable or ErrUnavailable. The ticket is created to the end even if
// ctx ends meanwhile.
func (c *Client) Create(ctx context.Context, t ticket.Ticket) (ticket.Ticket, error) {
	defer c.deletes.expect()()
	t.ID = rand.Text()
	id := t.ID
	t, err := c.store.Create(ctx, t)
	if errors.Is(err, ticket.ErrUnavailable) {
		// It may be there all the same: then it ends when the store is back, so that
		// its players can ask again.
		c.aborts.add(id, aborted{kind: ticket.AbortCreate})
	}
	if err != nil {
		return ticket.Ticket{}, err
	}
	c.metrics.began(t.Queue)
	// Now, as whoever gets a match from here on leaves this ticket.
	if err := c.refusePlaying(ctx, &t); err != nil {
		c.takeBack(context.WithoutCancel(ctx), &t)
		return ticket.Ticket{}, err
	}
	if t.State == ticket.Gathering {
		c.logger.InfoContext(ctx, "party gathers", "ticket", t.ID, "queue", t.Queue, "size", t.Party.Size)
		return t, nil
	}
	ctx = context.WithoutCancel(ctx)
	change, err := c.createOpenMatch(ctx, t, false)
	if err != nil {
		_, _ = c.abort(ctx, t.ID, aborted{kind: ticket.AbortCreate, counted: true}) // it is tried again
		return ticket.Ticket{}, err
	}
	c.logger.InfoContext(ctx, "ticket created", "ticket", t.ID, "queue", t.Queue, "players", len(t.Players))
	return change.Ticket, nil
}

// createOpenMatch creates the Open Match ticket of a ticket and attaches it. Again says
// that there was one before: its players keep their wait.
func (c *Client) createOpenMatch(ctx context.Context, t ticket.Ticket, again bool) (ticket.Change, error) {
	message, err := OpenMatchTicket(&t, queues.Tag(t.Queue), t.Searching().Add(c.options.Timeout))
	if err == nil && again {
		err = contract.Put(&message.Extensions, contract.SearchTimeExtension, timestamppb.New(t.Searching()))
	}
	if err != nil {
		return ticket.Change{}, fmt.Errorf("make Open Match ticket of %q: %w", t.ID, err)
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	made, err := c.tickets.CreateTicket(call, &openmatch.CreateTicketRequest{Ticket: message})
	if err == nil && made.GetId() == "" {
		err = status.Error(codes.Internal, "ticket without id")
	}
	if err != nil {
		c.metrics.failed("create", err)
		c.logger.WarnContext(ctx, "Open Match ticket not created", "ticket", t.ID, "queue", t.Queue, "error", err)
		return ticket.Change{}, fmt.Errorf("%w: create ticket: %w", ErrUnavailable, err)
	}
	change, err := c.store.Update(ctx, t.ID, ticket.Event{Kind: ticket.Attach, OpenMatchID: made.GetId()})
	if err != nil || change.Effect == ticket.DeleteOpenMatch {
		// The ticket has ended while Open Match created its own.
		c.deletes.add(made.GetId())
	}
	switch {
	case errors.Is(err, ticket.ErrClosed), errors.Is(err, ticket.ErrUnavailable):
		return ticket.Change{}, err
	case err != nil:
		return ticket.Change{}, fmt.Errorf("%w: attach: %w", ErrUnavailable, err)
	case change.Changed() && change.Ticket.State == ticket.Assigned:
		c.assigned(ctx, change)
	}
	return change, nil
}

// Cancel ends a ticket for its players, at once and for good; Open Match is told
// as soon as it can be. The state of the answer is the final one. The error is
// ticket.ErrNotFound.
func (c *Client) Cancel(ctx context.Context, id string) (ticket.Ticket, error) {
	defer c.deletes.expect()()
	change, err := c.store.Update(ctx, id, ticket.Event{Kind: ticket.Cancel})
	if err != nil {
		return ticket.Ticket{}, err
	}
	c.ended(ctx, change, "ticket cancelled")
	return change.Ticket, nil
}

// ended follows a change that may have ended a ticket without a match.
func (c *Client) ended(ctx context.Context, change ticket.Change, message string) {
	t := &change.Ticket
	if !change.Changed() || !t.Ended() {
		return
	}
	if change.Effect == ticket.DeleteOpenMatch {
		c.deletes.addThen(change.FromOpenMatchID, func() { c.out(&change) })
	}
	c.metrics.ended(t)
	c.logger.InfoContext(ctx, message, "ticket", t.ID, "queue", t.Queue)
}

// assigned follows a ticket that has ended with a match: its players leave their others.
func (c *Client) assigned(ctx context.Context, change ticket.Change) {
	t := &change.Ticket
	c.metrics.ended(t)
	c.logger.InfoContext(ctx, "ticket assigned", "ticket", t.ID, "queue", t.Queue,
		"match", t.Assignment.Details.GetMatchId(), "gameserver", t.Assignment.Details.GetGameServer())
	for _, id := range change.Others {
		c.leaves.add(leave{id, t.Players})
	}
}

// errUnchecked says that not all was applied, as claims could not be read or tickets not be
// written.
var errUnchecked = errors.New("claims not checked, or tickets not changed")

// apply applies what Open Match or a director says of Open Match tickets: that they
// are assigned, or without a connection that their match is not played. Nobody is sent
// to a match in which they have no place, as those who join a running one may not yet:
// either the ticket is assigned anew soon, or they search on. It returns how
// many tickets that has assigned. Most that a director announces are those of other
// frontends. The error is that of creating a ticket anew, or errUnchecked.
func (c *Client) apply(ctx context.Context, openMatchIDs []string, connection string, details *torikumiv1.AssignmentDetails) (assigned int, err error) {
	verdicts := make([]claims.Verdict, len(openMatchIDs))
	if c.options.Claims != nil {
		verdicts, err = c.options.Claims.Check(ctx, details.GetMatchId(), details.GetGameServer(), openMatchIDs)
		if err != nil && verdicts == nil {
			c.claims.Down(err)
			return 0, fmt.Errorf("%w: %w", errUnchecked, err)
		}
		c.claims.Up()
		if err != nil {
			c.logger.WarnContext(ctx, "claims in Redis are not what directors write: Open Match is believed", "match", details.GetMatchId(), "error", err)
			err = nil // they hold up nobody
		}
	}
	for i, id := range openMatchIDs {
		connection, details := connection, details
		switch v := verdicts[i]; v.Action {
		case claims.Wait:
			continue
		case claims.DeliverThis:
			connection, details = v.Connection, v.Details
		case claims.Recreate:
			connection = ""
		}
		switch {
		case connection == "":
			err = errors.Join(err, c.withdrawn(ctx, id, false))
		case contract.Names(details, id):
			done, storeErr := c.assign(ctx, id, connection, details)
			if done {
				assigned++
			}
			if errors.Is(storeErr, ticket.ErrUnavailable) {
				err = errors.Join(err, fmt.Errorf("%w: %w", errUnchecked, storeErr))
			}
		case time.Since(details.GetAllocateTime().AsTime()) >= placeTimeout:
			err = errors.Join(err, c.withdrawn(ctx, id, verdicts[i].Action == claims.DeliverThis))
		}
	}
	return assigned, err
}

// assign ends a ticket with a match, and reports whether it has. The error is the store's.
func (c *Client) assign(ctx context.Context, openMatchID, connection string, details *torikumiv1.AssignmentDetails) (bool, error) {
	change, err := c.store.Assign(ctx, openMatchID, ticket.Assignment{Connection: connection, Details: details})
	if err != nil || !change.Changed() {
		return false, err
	}
	c.assigned(ctx, change)
	return true, nil
}

// Run works until ctx ends. Then it closes the store, which ends the waiting of
// all watchers, and deletes from Open Match what nobody looks after any more,
// within StopTimeout.
func (c *Client) Run(ctx context.Context) error {
	work, workCtx := errgroup.WithContext(ctx)
	work.Go(func() error { c.expire(workCtx); return nil })
	work.Go(func() error { whenDue(workCtx, c.abortsDue, c.abortAgain); return nil })
	work.Go(func() error { whenDue(workCtx, c.missedDue, c.applyMissed); return nil })
	work.Go(func() error { c.reconcile(workCtx); return nil })
	work.Go(func() error { c.watchConnection(workCtx); return nil })
	for range leavers {
		work.Go(func() error { c.leaveOthers(workCtx); return nil })
	}
	if len(c.options.Directors) > 0 {
		work.Go(func() error { c.listenToAll(workCtx); return nil })
		work.Go(func() error { c.answerDirectors(workCtx); return nil })
		work.Go(func() error { c.answerAgain(workCtx); return nil })
		work.Go(func() error { c.keepPlayed(workCtx); return nil })
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
	ctx, cancel := context.WithTimeout(ctx, c.options.StopTimeout)
	defer cancel()
	open, err := c.store.Close(ctx)
	for _, t := range open {
		if t.OpenMatchID != "" {
			c.deletes.add(t.OpenMatchID)
		}
	}
	if left := c.deletes.drained(ctx); left > 0 {
		c.logger.WarnContext(ctx, "tickets left in Open Match at the end", "count", left)
	}
	return err
}

func (c *Client) expire(ctx context.Context) {
	health := rpc.NewHealth(c.logger, "tickets cannot be expired", "tickets are expired again")
	away := false
	for range rpc.Ticks(ctx, expireEvery) {
		err := c.expireOnce(ctx)
		if errors.Is(err, ticket.ErrClosed) {
			continue
		}
		health.Record(err)
		if err == nil {
			say(c.abortsDue)
			say(c.missedDue)
		}
		if away && err == nil {
			// More assignments came meanwhile than could be kept.
			c.reconcileSoon()
		}
		away = err != nil
	}
}

// say says that something is to be done, to whoever does it next.
func say(due chan<- struct{}) {
	select {
	case due <- struct{}{}:
	default:
	}
}

// whenDue does something each time that it is due, until ctx ends.
func whenDue(ctx context.Context, due <-chan struct{}, do func(context.Context)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-due:
			do(ctx)
		}
	}
}

func (c *Client) expireOnce(ctx context.Context) error {
	defer c.deletes.expect()()
	expired, err := c.store.Expire(ctx)
	for _, change := range expired {
		message := "ticket expired"
		switch {
		case change.From == ticket.Accepting && change.Ticket.Reason != "":
			message = "ticket cancelled, as its match was not accepted in time"
		case change.Ticket.State == ticket.Cancelled:
			message = "ticket cancelled, as nobody asks for it any more"
		}
		c.ended(ctx, change, message)
	}
	return err
}
