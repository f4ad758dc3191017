// Package claims keeps in Redis which director places which tickets. Open Match
// assigns a ticket to whatever it is told last, and checks nothing: a director that
// was paused for too long would send players to a match whose others are elsewhere by
// then. So a director claims the tickets of a match before it allocates a game server,
// and frontends deliver only what the holder of the claim has assigned.
//
// A match is held, confirmed (its server is known, and Open Match is about to be told),
// and assigned. Until it is assigned, and no longer than it was to be held, another
// match that has one of its tickets cannot have it. After that the other takes it over,
// and the first one is revoked as a whole. A frontend that delivers a confirmed match
// makes it assigned at the same moment.
//
// Keys, all in one hash slot: claim:TICKET has the token of a match, or "retired" if another
// ticket was made in its place, match:TOKEN a hash
// with state s, the time until when it is held u (ms of Redis's clock), and of what is
// confirmed match m, game server g, connection c and details d; o:TICKET of each ticket
// that it has taken over. All expire with the
// tickets.
package claims

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/proto"

	torikumiv1 "torikumi/proto/torikumi/v1"
)

// Each script is atomic, and may be run again when its answer was lost.
var (
	//go:embed acquire.lua
	acquireSource string
	//go:embed set.lua
	setSource string
	//go:embed drop.lua
	dropSource string
	//go:embed check.lua
	checkSource string
	//go:embed retire.lua
	retireSource string

	acquireScript = redis.NewScript(acquireSource)
	setScript     = redis.NewScript(setSource)
	dropScript    = redis.NewScript(dropSource)
	checkScript   = redis.NewScript(checkSource)
	retireScript  = redis.NewScript(retireSource)
)

var (
	// ErrRevoked means that another match has taken over a ticket of this one.
	ErrRevoked = errors.New("the match's claim was revoked")
	// ErrAssigned means that the match is assigned: a frontend has delivered it.
	ErrAssigned = errors.New("the match is assigned")
	// ErrGone means that nothing is known of the match: Redis came back empty.
	ErrGone = errors.New("the match's claim is gone")
)

// TakenError says which tickets another match holds.
type TakenError struct {
	Tickets []string
	// Wait is how long the longest of them is held at most; negative if for good.
	Wait time.Duration
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%d tickets are claimed by other matches", len(e.Tickets))
}

// Store is safe for concurrent use. An error that is none of the package's means that
// Redis cannot be reached, and that it is unknown whether the call had an effect: it
// may be made again.
type Store struct {
	client redis.UniversalClient
	prefix string
}

// New makes a Store of the keys that begin with a prefix, that of the frontends. The
// caller closes the client.
func New(client redis.UniversalClient, prefix string) *Store {
	return &Store{client: client, prefix: "{" + prefix + "}:"}
}

// Match is a match whose tickets a director wants.
type Match struct {
	// Token is a text that no other try to place a match has, and not "retired".
	Token string
	// Tickets are Open Match's ids.
	Tickets []string
	// Hold is how long nobody else can have the tickets; Keep is how long they live,
	// longer than Hold.
	Hold, Keep time.Duration
}

// Acquire claims all tickets of a match, or none. The error is a *TakenError, or
// ErrRevoked if they were claimed before and another match has taken one over.
func (s *Store) Acquire(ctx context.Context, m Match) error {
	args := []any{m.Token, m.Hold.Milliseconds(), m.Keep.Milliseconds()}
	answer, err := acquireScript.Run(ctx, s.client, []string{s.prefix}, append(args, list(m.Tickets)...)...).StringSlice()
	switch {
	case err != nil:
		return fmt.Errorf("claim tickets: %w", err)
	case answer[0] == "claimed":
		return nil
	case answer[0] == "revoked":
		return ErrRevoked
	}
	wait, err := strconv.ParseInt(answer[1], 10, 64)
	if err != nil {
		return fmt.Errorf("claim tickets: Redis answered %q", answer)
	}
	return &TakenError{Tickets: answer[2:], Wait: time.Duration(wait) * time.Millisecond}
}

// Confirm notes where a match is played, before Open Match is told. The error is
// ErrRevoked or ErrGone.
func (s *Store) Confirm(ctx context.Context, token, connection string, d *torikumiv1.AssignmentDetails) error {
	details, err := proto.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode assignment: %w", err)
	}
	return s.set(ctx, token, "confirmed", d.GetMatchId(), d.GetGameServer(), connection, details)
}

// MarkAssigned notes that Open Match has taken the assignment: the match cannot be
// revoked any more. The error is ErrRevoked or ErrGone.
func (s *Store) MarkAssigned(ctx context.Context, token string) error {
	return s.set(ctx, token, "assigned", "", "", "", "")
}

// Revoke has frontends create the tickets of a match anew. The error is ErrGone.
func (s *Store) Revoke(ctx context.Context, token string) error {
	if err := s.set(ctx, token, "revoked", "", "", "", ""); !errors.Is(err, ErrRevoked) {
		return err
	}
	return nil
}

// Abandon is Revoke, before the match's server is given back, of a match that may be
// confirmed. The error is ErrGone, or ErrAssigned if a frontend has delivered it: then it
// stays as it is.
func (s *Store) Abandon(ctx context.Context, token string) error {
	if err := s.set(ctx, token, "abandoned", "", "", "", ""); !errors.Is(err, ErrRevoked) {
		return err
	}
	return nil
}

func (s *Store) set(ctx context.Context, token, state string, args ...any) error {
	now, err := setScript.Run(ctx, s.client, []string{s.prefix}, append([]any{token, state}, args...)...).Text()
	switch {
	case err != nil:
		return fmt.Errorf("change claim to %s: %w", state, err)
	case now == "":
		return ErrGone
	case now == "revoked":
		return ErrRevoked
	case now == "assigned" && state == "abandoned":
		return ErrAssigned
	}
	return nil
}

// Drop gives up what a match has claimed. Tickets that it had taken over are made anew if
// the assignment of the match before still arrives.
func (s *Store) Drop(ctx context.Context, token string, tickets []string) error {
	if err := dropScript.Run(ctx, s.client, []string{s.prefix}, append([]any{token}, list(tickets)...)...).Err(); err != nil {
		return fmt.Errorf("drop claim: %w", err)
	}
	return nil
}

// Action is what a frontend does with an assignment of a ticket.
type Action int

const (
	// Deliver it as it came: nobody has claimed the ticket.
	Deliver Action = iota
	// DeliverThis delivers what the holder of the claim has assigned.
	DeliverThis
	// Wait for the holder of the claim.
	Wait
	// Recreate the ticket: it was assigned to a match that is not played. See Retire.
	Recreate
)

// Verdict is what to do with one ticket.
type Verdict struct {
	Action Action
	// Connection and Details are set for DeliverThis.
	Connection string
	Details    *torikumiv1.AssignmentDetails
}

// Check says what to do with tickets that were assigned to a match on a game server, a
// verdict for each. A match that is to be delivered is not revoked any more. An error with
// verdicts names the tickets whose claims hold something else than what a director writes:
// theirs is Deliver, as where Redis has lost what was assigned.
func (s *Store) Check(ctx context.Context, match, server string, tickets []string) ([]Verdict, error) {
	answer, err := checkScript.Run(ctx, s.client, []string{s.prefix}, append([]any{match, server}, list(tickets)...)...).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("check claims: %w", err)
	}
	if len(answer) != 3*len(tickets) {
		return nil, fmt.Errorf("check claims: Redis answered %d texts for %d tickets", len(answer), len(tickets))
	}
	verdicts := make([]Verdict, len(tickets))
	var unreadable error
	for i := range verdicts {
		v := &verdicts[i]
		switch a := answer[3*i:]; a[0] {
		case "deliver":
			v.Action, v.Connection, v.Details = DeliverThis, a[1], new(torikumiv1.AssignmentDetails)
			if err := proto.Unmarshal([]byte(a[2]), v.Details); err != nil {
				*v, unreadable = Verdict{}, errors.Join(unreadable, fmt.Errorf("claim of ticket %q: %w", tickets[i], err))
			}
		case "unreadable":
			unreadable = errors.Join(unreadable, fmt.Errorf("claim of ticket %q: it holds something else", tickets[i]))
		case "wait":
			v.Action = Wait
		case "revoked":
			v.Action = Recreate
		}
	}
	return verdicts, unreadable
}

// Retire has nobody claim a ticket any more, before another one is made in its place. It is
// false, and does nothing, if a match holds the ticket, which sends its player somewhere or
// ends; assigned says that it does not matter that its match is assigned, as that has no
// place for the ticket. Keep is how long the ticket may be in a match that was fetched
// before.
func (s *Store) Retire(ctx context.Context, ticket string, assigned bool, keep time.Duration) (bool, error) {
	done, err := retireScript.Run(ctx, s.client, []string{s.prefix}, ticket, keep.Milliseconds(), assigned).Bool()
	if err != nil {
		return false, fmt.Errorf("retire ticket: %w", err)
	}
	return done, nil
}

func list(texts []string) []any {
	all := make([]any, len(texts))
	for i, t := range texts {
		all[i] = t
	}
	return all
}
