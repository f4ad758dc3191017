package token

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// PlayerOptions are what a [PlayerVerifier] needs.
type PlayerOptions struct {
	// Keys are those of the issuer. Required.
	Keys KeySource
	// Issuer must be "iss" letter for letter. Required.
	Issuer string
	// Audience must be "aud", or one of them. Required: an issuer makes tokens
	// for other services too.
	Audience string
	// Algorithms are those that the issuer may use. Required.
	Algorithms []Algorithm
	// Leeway is as for VerifierOptions.
	Leeway time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// PlayerClaims are what the frontend takes from a player token.
type PlayerClaims struct {
	// Subject is the player's id: 1 to 128 characters of [A-Za-z0-9._:@|-].
	Subject string
	// Expiry is when the token ends.
	Expiry time.Time
}

// PlayerVerifier checks player tokens of any OpenID Connect issuer. It is safe
// for concurrent use.
type PlayerVerifier struct {
	opts  PlayerOptions
	rules headerRules
}

// NewPlayerVerifier returns an error that names the option that is wrong.
func NewPlayerVerifier(opts PlayerOptions) (*PlayerVerifier, error) {
	switch {
	case opts.Keys == nil:
		return nil, errors.New("keys: must be set")
	case opts.Issuer == "":
		return nil, errNoIssuer
	case opts.Audience == "":
		return nil, errors.New("audience: must not be empty")
	}
	if err := validateAlgorithms(opts.Algorithms); err != nil {
		return nil, err
	}
	var err error
	if opts.Leeway, err = checkDuration("leeway", opts.Leeway, DefaultLeeway, 0, MaxLeeway); err != nil {
		return nil, err
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &PlayerVerifier{opts: opts, rules: headerRules{
		algorithms: slices.Clone(opts.Algorithms),
		// Some issuers leave typ out; "at+jwt" is that of access tokens
		// after RFC 9068.
		types: []string{"", "jwt", "at+jwt", "application/at+jwt"},
		keyID: foreignKeyID,
	}}, nil
}

// Verify checks a token in the same order as [Verifier.Verify]. An error is
// always a [*Refusal]. A join token is refused whoever signed it.
func (v *PlayerVerifier) Verify(ctx context.Context, raw string) (PlayerClaims, error) {
	set, err := open(ctx, raw, &v.rules, v.opts.Keys)
	if err != nil {
		return PlayerClaims{}, err
	}
	switch {
	case set.text("iss") != v.opts.Issuer:
		return PlayerClaims{}, refuse(ReasonWrongIssuer, "iss is not %q", v.opts.Issuer)
	case !slices.Contains(set.audience(), v.opts.Audience):
		return PlayerClaims{}, refuse(ReasonWrongAudience, "aud does not hold %q", v.opts.Audience)
	case strings.EqualFold(set.text("use"), useJoin):
		return PlayerClaims{}, refuse(ReasonWrongUse, "a join token is no player token")
	}
	expiry, err := v.checkTimes(set)
	if err != nil {
		return PlayerClaims{}, err
	}
	if _, ok := set["sub"]; !ok {
		return PlayerClaims{}, refuse(ReasonMissingClaim, "sub is missing")
	}
	if !validPlayer(set.text("sub")) {
		return PlayerClaims{}, refuse(ReasonBadClaim, "sub must have 1 to 128 characters of [A-Za-z0-9._:@|-]")
	}
	return PlayerClaims{Subject: set.text("sub"), Expiry: expiry}, nil
}

// checkTimes returns the time of expiry. OpenID Connect asks for exp; nbf and iat
// count if they are there.
func (v *PlayerVerifier) checkTimes(set claimSet) (time.Time, error) {
	expiry, present, err := set.date("exp")
	if err != nil {
		return time.Time{}, err
	}
	if !present {
		return time.Time{}, refuse(ReasonMissingClaim, "exp is missing")
	}
	now := v.opts.Now()
	if !now.Before(expiry.Add(v.opts.Leeway)) {
		return time.Time{}, refuse(ReasonExpired, "exp has passed")
	}
	for _, claim := range []struct {
		name   string
		reason Reason
	}{{"iat", ReasonIssuedInFuture}, {"nbf", ReasonNotYetValid}} {
		t, _, err := set.date(claim.name)
		if err != nil {
			return time.Time{}, err
		}
		if t.After(now.Add(v.opts.Leeway)) {
			return time.Time{}, refuse(claim.reason, "%s has not come yet", claim.name)
		}
	}
	return expiry, nil
}

// PlayerMinterOptions are what a [PlayerMinter] needs; all are required but Now.
type PlayerMinterOptions struct {
	// Keys sign.
	Keys *Keys
	// Issuer and Audience become "iss" and "aud".
	Issuer, Audience string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

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
// is cut to whole seconds.
func (m *PlayerMinter) MintPlayer(sub string, lifetime time.Duration) (string, error) {
	if !validPlayer(sub) {
		return "", errors.New("sub: must have 1 to 128 characters of [A-Za-z0-9._:@|-]")
	}
	if lifetime < time.Second {
		return "", fmt.Errorf("lifetime %v: must be at least one second", lifetime)
	}
	now := m.opts.Now().Unix()
	raw, err := m.opts.Keys.Algorithm().sign(m.opts.Keys.signing(), jwt.MapClaims{
		"iss": m.opts.Issuer,
		"aud": m.opts.Audience,
		"sub": sub,
		"jti": rand.Text(),
		"iat": now,
		"exp": now + int64(lifetime/time.Second),
	})
	if err != nil {
		return "", fmt.Errorf("sign player token: %w", err)
	}
	return raw, nil
}

func validateAlgorithms(algorithms []Algorithm) error {
	if len(algorithms) == 0 {
		return errors.New("algorithms: must name at least one")
	}
	for _, a := range algorithms {
		if err := a.Validate(); err != nil {
			return err
		}
	}
	return nil
}
