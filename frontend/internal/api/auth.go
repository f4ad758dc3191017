package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"

	"torikumi/frontend/internal/ticket"
	"torikumi/frontend/playertoken"
	"torikumi/pkg/token"
)

// Caller is who makes a call: a player, or a backend of the studio by a service token.
type Caller struct {
	// Player is the player's id, empty for a backend.
	Player string
	// Service reports whether it is a backend, which is trusted to speak for
	// players: it may post whole parties, and see and end all tickets.
	Service bool
	// Claims are those of the player's token.
	Claims token.Claims
	// Address is from where they call; empty if it does not matter.
	Address string
}

// sees reports whether a caller may see a ticket.
func (c Caller) sees(t *ticket.Ticket) bool { return c.Service || t.Has(c.Player) }

// Authenticator tells from the Authorization header, or the gRPC metadata of the
// same name, who is calling. It is safe for concurrent use. Its errors are
// *[Error]: Unauthenticated with the reason, or Unavailable if nobody can tell
// now.
type Authenticator struct {
	Verifier playertoken.Verifiers
	// PlayToken is the secret that the studio's clients share for the play
	// route; empty: there is none.
	PlayToken string
	// Proxies tell for whom they call.
	Proxies Proxies
}

// Caller returns whose token it is; authorization is every value of the header.
func (a *Authenticator) Caller(ctx context.Context, authorization []string) (Caller, error) {
	raw, err := bearer(authorization)
	if err != nil {
		return Caller{}, err
	}
	return a.verify(ctx, raw)
}

// CallerOrShared is [Authenticator.Caller], but the shared token is somebody new
// each time.
func (a *Authenticator) CallerOrShared(ctx context.Context, authorization []string) (Caller, error) {
	raw, err := bearer(authorization)
	if err != nil {
		return Caller{}, err
	}
	// Hashed, so that not even the length shows in the time it takes.
	given, shared := sha256.Sum256([]byte(raw)), sha256.Sum256([]byte(a.PlayToken))
	if a.PlayToken != "" && subtle.ConstantTimeCompare(given[:], shared[:]) == 1 {
		return Caller{Player: "anonymous-" + rand.Text()}, nil
	}
	return a.verify(ctx, raw)
}

func bearer(authorization []string) (string, error) {
	if len(authorization) > 1 {
		return "", errUnauthenticated("bad_authorization", "there must be one Authorization header")
	}
	header := strings.Join(authorization, "")
	if header == "" {
		return "", errUnauthenticated("missing_token", "a player token is needed: Authorization: Bearer <token>")
	}
	scheme, raw, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return "", errUnauthenticated("bad_authorization", "the Authorization header must be: Bearer <token>")
	}
	return raw, nil
}

func (a *Authenticator) verify(ctx context.Context, raw string) (Caller, error) {
	claims, err := a.Verifier.Verify(ctx, raw)
	if err == nil {
		if claims.Service {
			return Caller{Service: true}, nil
		}
		return Caller{Player: claims.Subject, Claims: claims.All}, nil
	}
	var refusal *token.Refusal
	if !errors.As(err, &refusal) {
		return Caller{}, errInternal()
	}
	reason := string(refusal.Reason)
	if refusal.Reason == token.ReasonKeysUnavailable {
		return Caller{}, errUnavailable(reason, "player tokens cannot be checked at the moment")
	}
	if errors.Is(err, token.ErrKeyNotAsked) {
		e := failed(codes.Unavailable, http.StatusServiceUnavailable, reason, "the token's key is not known, or not yet; try again")
		e.RetryAfter = token.UnknownKeyInterval
		return Caller{}, e
	}
	return Caller{}, errUnauthenticated(reason, "player token refused: "+reason)
}
