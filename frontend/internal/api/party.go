package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/frontend/internal/matchmaker"
	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/problem"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

const (
	// codeLength is that of a party's code: 60 random bits, and short enough to be
	// read out. With 100,000 parties a guess is right once in 10 million million.
	codeLength = 12
	// CodeInterval and CodeBurst are how often a player may try a code.
	CodeInterval = 6 * time.Second
	CodeBurst    = 10
	// busyWait is how long a change waits for Open Match to take a ticket, and
	// busyPause the time between two looks.
	busyWait  = 6 * time.Second
	busyPause = 50 * time.Millisecond
)

func newCode() string { return rand.Text()[:codeLength] }

// readCode undoes what people do to a code that they read out or type.
func readCode(typed string) string {
	return strings.ToUpper(strings.NewReplacer(" ", "", "-", "").Replace(typed))
}

// JoinParty puts a player into the party that has this code. It is no error if they
// are in it already.
func (s *Service) JoinParty(ctx context.Context, caller Caller, req *torikumiv1.JoinPartyRequest) (*torikumiv1.Ticket, error) {
	if caller.Service {
		return nil, errForbidden("player_only", "players join with their own tokens")
	}
	var v violations
	if req.GetCode() == "" {
		v.add("code", "required")
	}
	v.message("", req.ProtoReflect())
	player := ownPlayer(&v, "player", caller, req.GetPlayer())
	if len(v) > 0 {
		return nil, errInvalid(v...)
	}
	if ok, again := s.o.Codes.Allow(ctx, caller.Player); !ok {
		return nil, errTooMany("too_many_codes", "too many codes were tried; try again later", again)
	}
	code := readCode(req.GetCode())
	for {
		found, err := s.o.Store.Find(ctx, code)
		switch {
		case errors.Is(err, ticket.ErrNotFound):
			return nil, errNoParty()
		case err != nil:
			return nil, s.unseen(ctx, "", err)
		case found.Has(caller.Player):
			return s.show(&found, caller), nil
		case !found.Admits(caller.Player):
			return nil, errNoParty()
		}
		trusted, err := s.checkJoin(&found, caller, player)
		if err != nil {
			return nil, err
		}
		joined, err := s.o.Matchmaker.Join(ctx, found.ID, trusted, found.Party.Revision)
		if err != nil && !errors.Is(err, ticket.ErrNotFound) {
			return nil, s.joinError(ctx, found.ID, err)
		}
		if err == nil && joined.Has(caller.Player) {
			return s.show(&joined, caller), nil
		}
		// Somebody else has joined or left meanwhile.
	}
}

// checkJoin sees that the party still fits the queue's rules with one more player,
// and returns that one with what their token says.
func (s *Service) checkJoin(t *ticket.Ticket, caller Caller, player *torikumiv1.Player) (*torikumiv1.Player, error) {
	queue, ok := s.o.Queues.Current().Get(t.Queue)
	if !ok || len(t.Players) >= queue.MaxParty() {
		return nil, errNoParty() // it cannot be played any more, or not by so many
	}
	var all, own violations
	player = trust(&own, "player", &queue, caller, player)
	checkRules(&all, &queue, t.Region, append(t.Players[:len(t.Players):len(t.Players)], player))
	for _, f := range all {
		if rest, ok := strings.CutPrefix(f.Field, fmt.Sprintf("players[%d]", len(t.Players))); ok {
			own = append(own, problem.Field{Field: "player" + rest, Rule: f.Rule})
		}
	}
	if len(own) == 0 && len(all) > 0 {
		// Only latencies concern several players.
		own.add("player.latencies", "must fit those of the party: to a region that all have, or none if nobody has")
	}
	if len(own) > 0 {
		return nil, errInvalid(own...)
	}
	return player, nil
}

// joinError is why a player was not put into a party.
func (s *Service) joinError(ctx context.Context, id string, err error) error {
	var conflict *ticket.ConflictError
	var plays *matchmaker.PlayingError
	switch {
	case errors.As(err, &conflict):
		return errSearching(conflict.ID)
	case errors.As(err, &plays):
		return errPlaying(plays.ID)
	}
	return s.unseen(ctx, id, err)
}

// errPlaying says that a player plays a match that they have got by this ticket.
func errPlaying(id string) error {
	e := failed(codes.AlreadyExists, http.StatusConflict, "already_playing", "a player of the ticket still plays a match")
	e.TicketID = id
	return e
}

// errSearching says that the player has another ticket in the queue.
func errSearching(id string) error {
	e := failed(codes.AlreadyExists, http.StatusConflict, "already_searching", "a player of the ticket already searches in this queue, or in one of its group")
	e.TicketID = id
	return e
}

// errEnded answers who changes a party whose ticket has ended.
var errEnded = failed(codes.FailedPrecondition, http.StatusConflict, "ended", "the ticket has ended")

// leads reports whether a player leads the party of a ticket.
func leads(t *ticket.Ticket, player string) bool { return t.Party != nil && t.Party.Leader == player }

// RemovePlayer takes a player out of a ticket that has not ended, or an invitation
// back: anybody themselves, the leader everybody.
func (s *Service) RemovePlayer(ctx context.Context, caller Caller, id, player string) error {
	limit, cancel := context.WithTimeout(ctx, busyWait)
	defer cancel()
	for {
		found, err := s.find(ctx, caller, id)
		if err != nil {
			return err
		}
		switch {
		case player != caller.Player && !caller.Service && !leads(&found, caller.Player):
			return errForbidden("not_leader", "others are removed by the leader of the party")
		case found.Ended():
			return errEnded
		}
		change, err := s.o.Matchmaker.Remove(ctx, id, player, caller.Player)
		if err != nil {
			return s.unseen(ctx, id, err)
		}
		switch t := &change.Ticket; {
		case change.Changed():
			return nil
		case !t.Ended() && !t.Has(player):
			return failed(codes.NotFound, http.StatusNotFound, "", "no such player in the ticket")
		}
		// Open Match is being asked for a ticket with this player.
		if rpc.Sleep(limit, busyPause) != nil {
			return errUnavailable("matchmaker_unavailable", "the matchmaker cannot be reached; try again")
		}
	}
}

// Start lets a party search with those who are there.
func (s *Service) Start(ctx context.Context, caller Caller, id string) (*torikumiv1.Ticket, error) {
	for {
		found, err := s.find(ctx, caller, id)
		if err != nil {
			return nil, err
		}
		if !caller.Service && (found.Party == nil || found.Party.Leader != caller.Player) {
			return nil, errForbidden("not_leader", "the leader of the party starts the search")
		}
		if found.State != ticket.Gathering {
			return s.show(&found, caller), nil
		}
		started, err := s.o.Matchmaker.Complete(ctx, id, found.Party.Revision)
		if err != nil {
			return nil, s.unseen(ctx, id, err)
		}
		if started.State != ticket.Gathering {
			return s.show(&started, caller), nil
		}
	}
}

// showParty shows a party to one of its players.
func (s *Service) showParty(t *ticket.Ticket, caller Caller) *torikumiv1.Party {
	if t.Party == nil {
		return nil
	}
	p := &torikumiv1.Party{Leader: t.Party.Leader, Size: int32(t.Party.Size)}
	if t.State != ticket.Gathering {
		return p
	}
	p.ExpireTime = timestamppb.New(t.Created.Add(s.o.PartyTimeout))
	if caller.Service || caller.Player == t.Party.Leader {
		p.Missing, p.Code = t.Missing(), t.Party.Code
	}
	return p
}

// partyMark is another one after each change of a party.
type partyMark struct{ revision, players int }

func markOf(t *ticket.Ticket) partyMark {
	m := partyMark{players: len(t.Players)}
	if t.Party != nil {
		m.revision = t.Party.Revision
	}
	return m
}
