package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"

	"torikumi/frontend/playertoken"
	"torikumi/pkg/token"
)

// Authenticator tells from the Authorization header, or the gRPC metadata of the
// same name, who is calling. It is safe for concurrent use. Its errors are
// *[Error]: Unauthenticated with the reason, or Unavailable if nobody can tell
// now.
type Authenticator struct {
	Verifier *playertoken.Verifier
	// PlayToken is the secret that the studio's clients share for the play
	// route; empty: there is none.
	PlayToken string
}

// Player returns the player of a player token; authorization is every value of
// the header.
func (a *Authenticator) Player(ctx context.Context, authorization []string) (string, error) {
	raw, err := bearer(authorization)
	if err != nil {
		return "", err
	}
	return a.verify(ctx, raw)
}

// PlayerOrShared is [Authenticator.Player], but the shared token is somebody new
// each time.
func (a *Authenticator) PlayerOrShared(ctx context.Context, authorization []string) (string, error) {
	raw, err := bearer(authorization)
	if err != nil {
		return "", err
	}
	// Hashed, so that not even the length shows in the time it takes.
	given, shared := sha256.Sum256([]byte(raw)), sha256.Sum256([]byte(a.PlayToken))
	if a.PlayToken != "" && subtle.ConstantTimeCompare(given[:], shared[:]) == 1 {
		return "anonymous-" + rand.Text(), nil
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

func (a *Authenticator) verify(ctx context.Context, raw string) (string, error) {
	claims, err := a.Verifier.Verify(ctx, raw)
	if err == nil {
		return claims.Subject, nil
	}
	var refusal *token.Refusal
	if !errors.As(err, &refusal) {
		return "", errInternal()
	}
	reason := string(refusal.Reason)
	if refusal.Reason == token.ReasonKeysUnavailable {
		return "", errUnavailable(reason, "player tokens cannot be checked at the moment")
	}
	return "", errUnauthenticated(reason, "player token refused: "+reason)
}
