package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"torikumi/frontend/internal/ticket"
	"torikumi/pkg/problem"
	"torikumi/pkg/rpc"
	torikumiv1 "torikumi/proto/torikumi/v1"
)

// KeyHeader is the header, and in lower case the gRPC metadata, with a client's own
// name for a request that it may have to make again.
const KeyHeader = "Idempotency-Key"

// KeyPattern is what a key looks like.
const KeyPattern = `^[!-~]{1,128}$`

var keyPattern = regexp.MustCompile(KeyPattern)

// requestOf is the request as a store recognises it, nil without a key. A caller's
// keys are their own; all backends share theirs.
func requestOf(caller Caller, keys []string, req *torikumiv1.CreateTicketRequest) (*ticket.Request, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if len(keys) > 1 {
		return nil, errInvalid(problem.Field{Field: KeyHeader, Rule: "must be given once"})
	}
	if !keyPattern.MatchString(keys[0]) {
		return nil, errInvalid(problem.Field{Field: KeyHeader, Rule: "must have 1 to 128 visible characters of ASCII, without spaces"})
	}
	written, err := digestOf(req)
	if err != nil {
		return nil, err
	}
	asked, err := digestOf(plain(caller, req))
	if err != nil {
		return nil, err
	}
	return &ticket.Request{
		Key:    digest(fmt.Appendf(nil, "%t %q %q", caller.Service, caller.Player, keys[0])),
		Digest: asked, Written: written,
	}, nil
}

// digestOf is deterministic, as far as frontends with one version of the library are
// concerned: of another one, a request that is the same may look like another.
func digestOf(req *torikumiv1.CreateTicketRequest) (string, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return "", errInvalid(problem.Field{Field: "request", Rule: "must be valid UTF-8"})
	}
	return digest(body), nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// plain is a request without what goes without saying: requests that [Draft] makes the
// same ticket of are one. It is the shortest way to write it, which most clients use. What
// a token says, and how queues are set up, has no part in it. It changes nothing in req.
func plain(caller Caller, req *torikumiv1.CreateTicketRequest) *torikumiv1.CreateTicketRequest {
	out := proto.CloneOf(req)
	for _, p := range out.GetPlayers() {
		for _, a := range p.GetAttributes() {
			plainAttribute(a)
		}
	}
	if players := out.GetPlayers(); !caller.Service && len(players) == 1 {
		if players[0].GetId() == caller.Player {
			players[0].Id = ""
		}
		if proto.Size(players[0]) == 0 {
			out.Players = nil
		}
	}
	// Neither order means anything, and ids are there once.
	slices.SortStableFunc(out.GetPlayers(), func(a, b *torikumiv1.Player) int { return cmp.Compare(a.GetId(), b.GetId()) })
	if party := out.GetParty(); party != nil {
		slices.Sort(party.GetInvited())
		if int(party.GetSize()) == leastSize(party) {
			party.Size = 0
		}
	}
	return out
}

// plainAttribute makes -0, which no rule tells from it, 0.
func plainAttribute(a *torikumiv1.Attribute) {
	switch v := a.GetValue().(type) {
	case *torikumiv1.Attribute_Number:
		v.Number = plainNumber(v.Number)
	case *torikumiv1.Attribute_StringNumberMap_:
		for name, n := range v.StringNumberMap.GetValues() {
			v.StringNumberMap.Values[name] = plainNumber(n)
		}
	}
}

func plainNumber(n float64) float64 {
	if n == 0 { // so is -0
		return 0
	}
	return n
}

// repeat returns the ticket that a request has made before, once Open Match has it. The
// error is ticket.ErrNotFound if it has come to nothing, or an *[Error].
func (s *Service) repeat(ctx context.Context, caller Caller, r *ticket.RepeatedError) (ticket.Ticket, error) {
	if !r.Same {
		e := failed(codes.InvalidArgument, http.StatusUnprocessableEntity, "idempotency_key_reused",
			"another request was made with this "+KeyHeader, problem.Field{Field: KeyHeader, Rule: "must be a new one for each request"})
		e.TicketID = r.ID
		return ticket.Ticket{}, e
	}
	limit, cancel := context.WithTimeout(ctx, busyWait)
	defer cancel()
	for {
		found, err := s.o.Store.Get(ctx, r.ID)
		switch {
		case errors.Is(err, ticket.ErrNotFound):
			return ticket.Ticket{}, err
		case err != nil:
			return ticket.Ticket{}, s.unseen(ctx, r.ID, err)
		case !caller.sees(&found): // any more
			return ticket.Ticket{}, errNotFound()
		case found.State != ticket.Creating:
			return found, nil
		}
		if rpc.Sleep(limit, busyPause) != nil {
			return ticket.Ticket{}, errUnavailable("matchmaker_unavailable", "the matchmaker has not taken the ticket yet; try again")
		}
	}
}
