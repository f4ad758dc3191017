// Package api is the player API: it knows who calls, what they may ask for, and
// what they may see. [Service] does it, [Server] puts it over gRPC, and package
// web puts it over HTTP. On the player's path it is the first and the last of
// our code.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"torikumi/frontend/internal/estimate"
	"torikumi/frontend/internal/explain"
	"torikumi/frontend/internal/matchmaker"
	"torikumi/frontend/internal/ratelimit"
	"torikumi/frontend/internal/regions"
	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/signing"
	"torikumi/pkg/problem"
	"torikumi/pkg/queues"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// DefaultWait is how long a call of Wait takes that does not say.
	DefaultWait = 30 * time.Second
	maxWait     = 60 * time.Second
	// storeRetry is the pause before a call that waits looks again at a store that
	// could not be reached.
	storeRetry = 500 * time.Millisecond
)

// Options are what a [Service] needs; all are required but those that say so.
type Options struct {
	Matchmaker *matchmaker.Client
	Store      ticket.Store
	Queues     queues.Source
	// Regions is nil if there are no beacons.
	Regions *regions.Live
	Minter  *signing.Minter
	Logger  *slog.Logger
	// PartyTimeout is how long a ticket waits for its party.
	PartyTimeout time.Duration
	// Codes limits how often a player tries codes; nil: not at all.
	Codes *ratelimit.Limiter
	// Creates and CreatesByAddress limit how often a player makes tickets, and how
	// often anybody does from one address; nil: not at all.
	Creates, CreatesByAddress *ratelimit.Limiter
	// Mints limits how many join tokens a player gets; nil: not at all.
	Mints *ratelimit.Limiter
	// Minted counts join tokens.
	Minted prometheus.Counter
	// Explain says why tickets wait; nil if nobody knows.
	Explain *explain.Cache
	// Estimates say how long; nil if nobody knows.
	Estimates *estimate.Estimates
}

// Service is the player API without a protocol. Each method is a call of one
// player, whom the protocol has authenticated. Errors are *[Error]. It is safe
// for concurrent use.
type Service struct {
	o       Options
	streams streams
	touched touched
	playing *playingChecks
	tokens  *joinTokens
}

// New makes a service.
func New(o Options) *Service {
	return &Service{o: o, playing: newPlayingChecks(o.Matchmaker.Playing), tokens: newJoinTokens()}
}

// ListRegions says where latencies are measured, to anybody.
func (s *Service) ListRegions() *torikumiv1.ListRegionsResponse { return s.o.Regions.Current() }

// Create makes a ticket, and returns once the matchmaker has it; for a party, at
// once. keys are the values of [KeyHeader]: the same request with the same key makes
// one ticket, as long as that can be read.
func (s *Service) Create(ctx context.Context, caller Caller, keys []string, req *torikumiv1.CreateTicketRequest) (*torikumiv1.Ticket, error) {
	made, err := s.create(ctx, caller, keys, req)
	if err != nil {
		return nil, err
	}
	return s.deliver(&made, caller), nil
}

func (s *Service) create(ctx context.Context, caller Caller, keys []string, req *torikumiv1.CreateTicketRequest) (ticket.Ticket, error) {
	request, err := requestOf(caller, keys, req)
	if err != nil {
		return ticket.Ticket{}, err
	}
	draft, err := Draft(s.o.Queues.Current(), caller, req)
	if err != nil {
		return ticket.Ticket{}, err
	}
	if err := s.admit(ctx, caller); err != nil {
		return ticket.Ticket{}, err
	}
	draft.Request = request
	for {
		made, err := s.o.Matchmaker.Create(ctx, draft)
		var repeated *ticket.RepeatedError
		if !errors.As(err, &repeated) {
			return made, s.createError(ctx, draft.Queue, err)
		}
		s.touched.note(repeated.ID)
		if made, err = s.repeat(ctx, caller, repeated); !errors.Is(err, ticket.ErrNotFound) {
			return made, err
		}
		// The first one has come to nothing, and is made now.
	}
}

// createError is why a ticket is not made; the error is the matchmaker's, nil for
// none.
func (s *Service) createError(ctx context.Context, queue string, err error) error {
	var conflict *ticket.ConflictError
	var plays *matchmaker.PlayingError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &conflict):
		return errSearching(conflict.ID)
	case errors.As(err, &plays):
		return errPlaying(plays.ID)
	case errors.Is(err, ticket.ErrFull):
		return failed(codes.ResourceExhausted, http.StatusTooManyRequests, "too_many_tickets", "too many players are searching; try again later")
	case errors.Is(err, ticket.ErrClosed):
		return errStopping()
	case errors.Is(err, ticket.ErrUnavailable):
		return errStore()
	case errors.Is(err, matchmaker.ErrUnavailable):
		return errUnavailable("matchmaker_unavailable", "the matchmaker cannot be reached; try again")
	}
	s.o.Logger.ErrorContext(ctx, "ticket not created", "queue", queue, "error", err)
	return errInternal()
}

// admit limits how many tickets are made, of which requests that are wrong are none.
// Backends are trusted.
func (s *Service) admit(ctx context.Context, caller Caller) error {
	if caller.Service {
		return nil
	}
	// First, so that one who asks too often takes nothing from others of the address.
	if ok, again := s.o.Creates.Allow(ctx, caller.Player); !ok {
		return errTooMany("too_many_requests", "the player makes too many tickets; try again later", again)
	}
	if caller.Address != "" {
		if ok, again := s.o.CreatesByAddress.Allow(ctx, caller.Address); !ok {
			return errTooMany("too_many_from_address", "too many tickets are made from this address; try again later", again)
		}
	}
	return nil
}

// Get returns a ticket of the player's.
func (s *Service) Get(ctx context.Context, caller Caller, id string) (*torikumiv1.Ticket, error) {
	found, err := s.find(ctx, caller, id)
	if err != nil {
		return nil, err
	}
	s.addReason(&found, s.o.Explain.Reason(&found))
	return s.show(&found, caller), nil
}

// List returns where a player is: what they wait for, and where they play, with a join
// token, which may be one that they were told a moment ago; of a match of which nobody knows whether it is over, that is where they last
// went. Whether it is may be a second old.
func (s *Service) List(ctx context.Context, caller Caller) (*torikumiv1.ListTicketsResponse, error) {
	if caller.Service {
		return nil, errForbidden("player_only", "players ask with their own tokens where they are")
	}
	found, err := s.o.Store.Of(ctx, caller.Player)
	if err != nil {
		return nil, s.unseen(ctx, "", err)
	}
	out := new(torikumiv1.ListTicketsResponse)
	for i := range found {
		if found[i].State == ticket.Assigned {
			if playing, known := s.playing.plays(ctx, &found[i], caller.Player); known && !playing {
				continue
			}
		}
		s.touched.note(found[i].ID)
		s.addReason(&found[i], s.o.Explain.Reason(&found[i]))
		out.Tickets = append(out.Tickets, s.deliverAgain(&found[i], caller))
	}
	return out, nil
}

// Cancel ends a ticket. It is no error if it had ended; the state of the answer
// says how. Of a party only the leader and the backend end it: anybody else leaves it,
// and is answered as if it had ended.
func (s *Service) Cancel(ctx context.Context, caller Caller, id string) (*torikumiv1.Ticket, error) {
	found, err := s.find(ctx, caller, id)
	if err != nil {
		return nil, err
	}
	if !found.Ended() && !caller.Service && !leads(&found, caller.Player) && len(found.Players) > 1 {
		err := s.RemovePlayer(ctx, caller, id, caller.Player)
		if err == nil {
			found.State, found.Reason = ticket.Cancelled, "you have left the party"
			return s.deliver(&found, caller), nil
		}
		if !errors.Is(err, errEnded) {
			return nil, err
		}
	}
	ended, err := s.o.Matchmaker.Cancel(ctx, id)
	if err != nil {
		return nil, s.unseen(ctx, id, err)
	}
	return s.deliver(&ended, caller), nil
}

// Wait returns a ticket as soon as it has ended, or the caller is to accept a match, or
// as it stands when the timeout, of at most 60 s, is over.
func (s *Service) Wait(ctx context.Context, caller Caller, id string, timeout time.Duration) (*torikumiv1.Ticket, error) {
	if timeout <= 0 || timeout > maxWait {
		return nil, errInvalid(problem.Field{Field: "timeout", Rule: "must be more than 0s and at most 60s"})
	}
	return s.wait(ctx, caller, id, timeout)
}

// Play makes a ticket, waits for its end, and ends it itself when the timeout is
// over or the caller has gone: the answer is ASSIGNED, EXPIRED or CANCELLED. An
// assignment that comes first wins.
func (s *Service) Play(ctx context.Context, caller Caller, req *torikumiv1.CreateTicketRequest, timeout time.Duration) (*torikumiv1.Ticket, error) {
	if caller.Service {
		return nil, errForbidden("player_only", "players search with their own tokens")
	}
	if _, ok := s.o.Queues.Current().Get(req.GetQueue()); !ok {
		return nil, errUnavailable("queue_removed", removed)
	}
	made, err := s.create(ctx, caller, nil, req)
	if err != nil {
		return nil, err
	}
	found, err := s.waitAccepting(ctx, caller, made.ID, timeout)
	switch state := found.GetState(); {
	case err != nil, state == torikumiv1.TicketState_SEARCHING, state == torikumiv1.TicketState_ACCEPTING:
	default:
		return found, nil
	}
	ended, cancelErr := s.o.Matchmaker.Cancel(context.WithoutCancel(ctx), made.ID)
	if err != nil {
		return nil, err
	}
	if cancelErr != nil {
		return found, nil
	}
	if ended.State == ticket.Cancelled {
		ended.Reason = found.GetReason() // what it waited for until now
	}
	return s.deliver(&ended, caller), nil
}

// waitAccepting is wait for one who is there as long as the call lasts, and so accepts.
func (s *Service) waitAccepting(ctx context.Context, caller Caller, id string, timeout time.Duration) (*torikumiv1.Ticket, error) {
	for end := time.Now().Add(timeout); ; {
		found, err := s.wait(ctx, caller, id, time.Until(end))
		if err != nil || found.GetState() != torikumiv1.TicketState_ACCEPTING || !time.Now().Before(end) {
			return found, err
		}
		if _, err := s.Accept(ctx, caller, id, found.GetAcceptance().GetProposalId()); err != nil {
			_ = rpc.Sleep(ctx, busyPause) // wait sees the end
		}
	}
}

// wait is Wait for any timeout.
func (s *Service) wait(ctx context.Context, caller Caller, id string, timeout time.Duration) (*torikumiv1.Ticket, error) {
	ctx, done := s.streams.begin(ctx, caller)
	defer done()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	watch := s.o.Explain.Watch()
	defer watch.Close()
	var leave func()
	for over := false; ; {
		found, changed, _, err := s.follow(ctx, caller, id, watch)
		if leave == nil && err == nil {
			leave = s.touched.enter(id)
			defer leave()
		}
		var again <-chan time.Time
		switch {
		case isStore(err) && !over:
			again = time.After(storeRetry)
		case err != nil:
			return nil, err
		case over || found.Ended() || asks(&found, caller):
			return s.deliver(&found, caller), nil
		}
		select {
		case <-changed:
		case <-again:
		case <-timer.C:
			over = true
		case <-ctx.Done():
			return nil, errContext(ctx)
		}
	}
}

// Watch calls send with the ticket at once and after each change of its state or
// reason, until it has ended; and with nil whenever the time of beat has passed,
// if that is not zero. It returns what send returns, if that is an error. A store
// that cannot be reached ends it only before the first ticket was sent.
func (s *Service) Watch(ctx context.Context, caller Caller, id string, beat time.Duration, send func(*torikumiv1.Ticket) error) error {
	ctx, done := s.streams.begin(ctx, caller)
	defer done()
	v := viewer{service: s, caller: caller, id: id, watch: s.o.Explain.Watch(), send: send}
	defer v.watch.Close()
	timer := time.NewTimer(beat)
	defer timer.Stop()
	beats := timer.C
	if beat == 0 {
		beats = nil
	}
	ended, err := v.show(ctx)
	if !ended && err == nil { // it is theirs to wait for
		defer s.touched.enter(id)()
	}
	for !ended && err == nil {
		select {
		case <-v.again:
			ended, err = v.show(ctx)
		case <-v.told:
			ended, err = v.show(ctx)
		case <-v.changed:
			ended, err = v.show(ctx)
		case <-v.queues:
			ended, err = v.show(ctx)
		case <-beats:
			err = send(nil)
			timer.Reset(beat)
		case <-ctx.Done():
			err = errContext(ctx)
		}
	}
	return err
}

// viewer is a call of Watch.
type viewer struct {
	service *Service
	caller  Caller
	id      string
	watch   *explain.Watch
	send    func(*torikumiv1.Ticket) error
	// state, reason, party and accept are what was last sent.
	state         torikumiv1.TicketState
	reason        string
	party         partyMark
	accept        acceptMark
	changed, told <-chan struct{}
	// queues tells of other queues.
	queues <-chan struct{}
	// again is when to look again at a store that could not be reached.
	again <-chan time.Time
}

// show sends the ticket if there is something new in it. It is not part of Watch
// because what it needs on the stack would stay there while a player waits.
func (v *viewer) show(ctx context.Context) (ended bool, err error) {
	v.queues = v.service.o.Queues.Changed()
	found, changed, told, err := v.service.follow(ctx, v.caller, v.id, v.watch)
	v.changed, v.told, v.again = changed, told, nil
	if isStore(err) && v.state != torikumiv1.TicketState_TICKET_STATE_UNSPECIFIED {
		v.again = time.After(storeRetry)
		return false, nil
	}
	if err != nil {
		return false, err
	}
	state, party, accept := found.State.Proto(), markOf(&found), acceptMarkOf(&found)
	if state != v.state || found.Reason != v.reason || party != v.party || accept != v.accept {
		if err := v.send(v.service.deliver(&found, v.caller)); err != nil {
			return false, err
		}
	}
	v.state, v.reason, v.party, v.accept = state, found.Reason, party, accept
	return found.Ended(), nil
}

// JoinToken makes a join token for the player of an assigned ticket.
func (s *Service) JoinToken(ctx context.Context, caller Caller, id string) (*torikumiv1.JoinToken, error) {
	found, err := s.find(ctx, caller, id)
	if err != nil {
		return nil, err
	}
	if caller.Service {
		return nil, errForbidden("player_only", "join tokens are made for players alone")
	}
	if found.Assignment == nil {
		return nil, failed(codes.FailedPrecondition, http.StatusConflict, "not_assigned", "the ticket is not assigned to a match")
	}
	if ok, again := s.o.Mints.Allow(ctx, caller.Player); !ok {
		return nil, errTooMany("too_many_requests", "the player asks for too many join tokens; try again later", again)
	}
	join, err := s.mint(&found, caller.Player)
	switch {
	case errors.Is(err, errNoJoinToken):
		return nil, failed(codes.FailedPrecondition, http.StatusConflict, "no_join_token", "the match cannot be joined by token")
	case err != nil:
		s.o.Logger.ErrorContext(ctx, "join token not made", "ticket", found.ID, "error", err)
		return nil, errInternal()
	}
	return join, nil
}

// find returns a ticket if the player belongs to it.
func (s *Service) find(ctx context.Context, caller Caller, id string) (ticket.Ticket, error) {
	found, err := s.o.Store.Get(ctx, id)
	if err == nil && caller.sees(&found) {
		s.touched.note(id)
		return found, nil
	}
	return ticket.Ticket{}, s.unseen(ctx, id, err)
}

// unseen is why a player does not see a ticket; the error is the store's, or nil
// if the ticket is somebody else's.
func (s *Service) unseen(ctx context.Context, id string, err error) error {
	switch {
	case err == nil || errors.Is(err, ticket.ErrNotFound):
		return errNotFound()
	case errors.Is(err, ticket.ErrClosed):
		return errStopping()
	case ctx.Err() != nil:
		return errContext(ctx)
	case errors.Is(err, ticket.ErrUnavailable):
		return errStore()
	}
	s.o.Logger.ErrorContext(ctx, "ticket not read", "ticket", id, "error", err)
	return errInternal()
}

// follow is find for a call that looks as long as it lasts: with why the ticket
// waits, the channel that tells of its next change, and the one that tells when
// the reason has changed.
func (s *Service) follow(ctx context.Context, caller Caller, id string, w *explain.Watch) (found ticket.Ticket, changed, told <-chan struct{}, err error) {
	found, changed, err = s.o.Store.Watch(ctx, id)
	if err != nil || !caller.sees(&found) {
		return ticket.Ticket{}, nil, nil, s.unseen(ctx, id, err)
	}
	reason, told := w.Reason(&found)
	s.addReason(&found, reason)
	return found, changed, told, nil
}

// removed is why a ticket waits whose queue is not in the file any more.
const removed = "the queue takes no new tickets"

// addReason adds that the queue is gone, or else what the match function saw, unless
// we have something to say ourselves.
func (s *Service) addReason(t *ticket.Ticket, reason string) {
	if t.Reason != "" {
		return
	}
	t.Reason = reason
	if _, ok := s.o.Queues.Current().Get(t.Queue); !ok && !t.Ended() {
		t.Reason = removed
	}
}
