package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/signing"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// errNoJoinToken means that the match cannot be joined by token: a foreign
// director has assigned it.
var errNoJoinToken = errors.New("the match has no join tokens")

// show shows a ticket to one of its players, without a join token: to sign one takes
// more than all the rest.
func (s *Service) show(found *ticket.Ticket, caller Caller) *torikumiv1.Ticket {
	t := &torikumiv1.Ticket{
		Id: found.ID, Queue: found.Queue, State: found.State.Proto(), Players: found.Players, Region: found.Region,
		CreateTime: timestamppb.New(found.Created), UpdateTime: timestamppb.New(found.Updated), Reason: found.Reason,
		Party: s.showParty(found, caller), Acceptance: acceptance(found),
	}
	if t.GetState() == torikumiv1.TicketState_SEARCHING {
		t.EstimatedWaitMs = int32(s.o.Estimates.Of(found.Queue, found.Searching()).Milliseconds())
	}
	if found.Assignment != nil && found.State == ticket.Assigned {
		t.Server = server(found.Assignment, caller.Player)
	}
	return t
}

// deliver shows a ticket to a player who waits for its end; once it is assigned, with
// a join token that is made for this very answer, unless the player has had many. A
// backend gets none.
func (s *Service) deliver(found *ticket.Ticket, caller Caller) *torikumiv1.Ticket {
	return s.withToken(found, caller, func() (*torikumiv1.JoinToken, string) { return s.makeToken(found, caller) })
}

// deliverAgain is deliver for one who may ask again and again: that takes none of the join tokens
// that they may ask for when they connect again.
func (s *Service) deliverAgain(found *ticket.Ticket, caller Caller) *torikumiv1.Ticket {
	return s.withToken(found, caller, func() (*torikumiv1.JoinToken, string) {
		return s.tokens.get(found.ID, caller.Player, func() (*torikumiv1.JoinToken, string) { return s.signToken(found, caller) })
	})
}

// withToken shows a ticket to a player, once it is assigned with a join token, or with why there
// is none.
func (s *Service) withToken(found *ticket.Ticket, caller Caller, token func() (*torikumiv1.JoinToken, string)) *torikumiv1.Ticket {
	t := s.show(found, caller)
	if t.GetServer() == nil || caller.Service {
		return t
	}
	join, reason := token()
	t.JoinToken = join
	if reason != "" {
		t.Reason = reason
	}
	return t
}

// makeToken makes a join token, or says why there is none; it does not if the match has none.
func (s *Service) makeToken(found *ticket.Ticket, caller Caller) (join *torikumiv1.JoinToken, reason string) {
	// This process alone counts them, as it is its CPU that they take.
	if ok, _ := s.o.Mints.Allow(context.Background(), caller.Player); !ok {
		return nil, tooManyTokens
	}
	return s.signToken(found, caller)
}

const tooManyTokens = "too many join tokens were made; ask for one in a moment"

// signToken is makeToken without a limit.
func (s *Service) signToken(found *ticket.Ticket, caller Caller) (join *torikumiv1.JoinToken, reason string) {
	join, err := s.mint(found, caller.Player)
	if err != nil && !errors.Is(err, errNoJoinToken) {
		// The server is of no use without it, and the player has to know why.
		s.o.Logger.Error("join token not made", "ticket", found.ID, "error", err)
		return nil, "no join token could be made"
	}
	return join, ""
}

// server reads where the match is from the director's details, or as well as it
// can from a foreign director's connection.
func server(a *ticket.Assignment, playerID string) *torikumiv1.Server {
	host, text, err := net.SplitHostPort(a.Connection)
	if err != nil {
		host = a.Connection
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		port = 0
	}
	d := a.Details
	out := &torikumiv1.Server{Ip: host, Port: int32(port), Connection: a.Connection, MatchId: d.GetMatchId(), Team: team(d, playerID)}
	if d.GetAddress() != "" {
		out.Ip = d.GetAddress()
	}
	if d.GetPort() != 0 {
		out.Port = d.GetPort()
	}
	if len(d.GetPorts()) > 1 {
		out.Ports = d.GetPorts()
	}
	return out
}

func team(d *torikumiv1.AssignmentDetails, playerID string) string {
	for _, t := range d.GetTeams() {
		for _, m := range t.GetMembers() {
			if m.GetPlayerId() == playerID {
				return t.GetName()
			}
		}
	}
	return ""
}

// mint makes a join token for one player of an assigned ticket. The error is
// errNoJoinToken if the assignment does not say which server and match.
func (s *Service) mint(found *ticket.Ticket, playerID string) (*torikumiv1.JoinToken, error) {
	d := found.Assignment.Details
	if d.GetGameServer() == "" || d.GetMatchId() == "" {
		return nil, errNoJoinToken
	}
	namespace, name, ok := strings.Cut(d.GetGameServer(), "/")
	if !ok {
		return nil, fmt.Errorf("game server %q: want namespace/name", d.GetGameServer())
	}
	raw, claims, err := s.o.Minter.Mint(signing.MintRequest{
		Player: playerID, Namespace: namespace, GameServer: name, MatchID: d.GetMatchId(), Team: team(d, playerID),
	})
	if err != nil {
		return nil, err
	}
	s.o.Minted.Inc()
	return &torikumiv1.JoinToken{Jwt: raw, ExpireTime: timestamppb.New(claims.Expiry)}, nil
}
