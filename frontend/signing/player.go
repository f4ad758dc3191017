package signing

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"torikumi/pkg/token"
)

// PlayerMinterOptions are what a [PlayerMinter] needs; all are required but Now.
type PlayerMinterOptions struct {
	// Keys sign.
	Keys *Keys
	// Issuer and Audience become "iss" and "aud".
	Issuer, Audience string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ClaimError names a claim that a player token cannot have.
type ClaimError struct{ Claim, Rule string }

func (e *ClaimError) Error() string { return "claims." + e.Claim + ": " + e.Rule }

// PlayerMinter signs player tokens: it is the heart of the development issuer,
// which gives a token to anyone for any name, and never runs in production. It
// is safe for concurrent use.
type PlayerMinter struct{ opts PlayerMinterOptions }

// NewPlayerMinter returns an error that names the option that is wrong.
func NewPlayerMinter(opts PlayerMinterOptions) (*PlayerMinter, error) {
	switch {
	case opts.Keys == nil:
		return nil, errors.New("keys: must be set")
	case opts.Issuer == "":
		return nil, errNoIssuer
	case opts.Audience == "":
		return nil, errors.New("audience: must not be empty")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &PlayerMinter{opts}, nil
}

// MintPlayer returns a token for the player sub that is good for lifetime, which
// is cut to whole seconds. more are claims besides, which must not be those that
// it sets itself.
func (m *PlayerMinter) MintPlayer(sub string, lifetime time.Duration, more map[string]any) (string, error) {
	if !token.ValidPlayer(sub) {
		return "", errors.New("sub: must have 1 to 128 characters of [A-Za-z0-9._:@|-]")
	}
	if lifetime < time.Second {
		return "", fmt.Errorf("lifetime %v: must be at least one second", lifetime)
	}
	now := m.opts.Now().Unix()
	claims := jwt.MapClaims{
		"iss": m.opts.Issuer,
		"aud": m.opts.Audience,
		"sub": sub,
		"jti": rand.Text(),
		"iat": now,
		"exp": now + int64(lifetime/time.Second),
	}
	for name, value := range more {
		if _, taken := claims[name]; taken || name == "nbf" {
			return "", &ClaimError{Claim: name, Rule: "must not be given: the issuer says it"}
		}
		claims[name] = value
	}
	raw, err := m.opts.Keys.sign(claims)
	if err != nil {
		return "", fmt.Errorf("sign player token: %w", err)
	}
	return raw, nil
}
