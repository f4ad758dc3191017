package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"regexp"

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
	// Deterministic, as far as frontends of one version are concerned: of another one, a
	// request that is the same may look like another.
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return nil, errInvalid(problem.Field{Field: "request", Rule: "must be valid UTF-8"})
	}
	return &ticket.Request{
		Key:    digest(fmt.Appendf(nil, "%t %q %q", caller.Service, caller.Player, keys[0])),
		Digest: digest(body),
	}, nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
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
