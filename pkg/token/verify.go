package token

import (
	"context"
	"errors"
	"time"
)

const (
	// DefaultLeeway is how far clocks may be apart.
	DefaultLeeway = 30 * time.Second
	// MaxLeeway is how long the gate remembers used tokens after they have
	// expired: longer than any Verifier accepts them.
	MaxLeeway = 2 * time.Minute
)

// VerifierOptions are what a [Verifier] needs.
type VerifierOptions struct {
	// Keys verify. Required.
	Keys KeySource
	// Algorithm is the only one accepted. Required.
	Algorithm Algorithm
	// Issuer must be "iss" letter for letter. Required.
	Issuer string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier checks join tokens. It is safe for concurrent use.
type Verifier struct {
	opts  VerifierOptions
	rules HeaderRules
}

// Expectation is what the game server knows about itself. An empty field
// matches no token.
type Expectation struct {
	// Audience is the server, as the function [Audience] writes it.
	Audience string
	// MatchID is the value of the server's label torikumi/match.
	MatchID string
}

// NewVerifier returns an error that names the option that is wrong.
func NewVerifier(opts VerifierOptions) (*Verifier, error) {
	if opts.Keys == nil {
		return nil, errors.New("keys: must be set")
	}
	if err := opts.Algorithm.Validate(); err != nil {
		return nil, err
	}
	if opts.Issuer == "" {
		return nil, errors.New("issuer: must not be empty")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Verifier{opts: opts, rules: HeaderRules{
		Algorithms: []Algorithm{opts.Algorithm},
		Only:       []string{"alg", "typ", "kid"},
		Type:       func(typ string) bool { return typ == "JWT" },
		KeyID:      thumbprintKeyID,
	}}, nil
}

// Verify checks, in this order, the size, the form, the algorithm, that the key
// is known, the signature, iss, aud, use and mid, and the times. An error is
// always a [*Refusal]. Whether the token has been used before is for the gate to
// say. Verify may wait for a fetch of keys, as long as ctx lets it.
func (v *Verifier) Verify(ctx context.Context, raw string, want Expectation) (JoinClaims, error) {
	set, err := Open(ctx, raw, &v.rules, v.opts.Keys)
	if err != nil {
		return JoinClaims{}, err
	}
	claims := JoinClaims{
		Issuer:   set.Text("iss"),
		Audience: set.Text("aud"),
		Subject:  set.Text("sub"),
		ID:       set.Text("jti"),
		MatchID:  set.Text("mid"),
		Team:     set.Text("team"),
	}
	switch {
	case claims.Issuer != v.opts.Issuer:
		return JoinClaims{}, Refuse(ReasonWrongIssuer, "iss is not %q", v.opts.Issuer)
	case want.Audience == "" || claims.Audience != want.Audience:
		return JoinClaims{}, Refuse(ReasonWrongAudience, "aud is not the one string %q", want.Audience)
	case set.Text("use") != UseJoin:
		return JoinClaims{}, Refuse(ReasonWrongUse, "use is not %q", UseJoin)
	case want.MatchID == "":
		return JoinClaims{}, Refuse(ReasonWrongMatch, "this server has no match")
	case claims.MatchID != want.MatchID:
		return JoinClaims{}, Refuse(ReasonWrongMatch, "mid is not %q", want.MatchID)
	}
	if err := v.checkTimes(set, &claims); err != nil {
		return JoinClaims{}, err
	}
	if err := checkNames(set, claims); err != nil {
		return JoinClaims{}, err
	}
	return claims, nil
}

func (v *Verifier) checkTimes(set Claims, claims *JoinClaims) error {
	var err error
	if claims.Expiry, err = set.seconds("exp"); err != nil {
		return err
	}
	if claims.IssuedAt, err = set.seconds("iat"); err != nil {
		return err
	}
	if claims.NotBefore, err = set.seconds("nbf"); err != nil {
		return err
	}
	now := v.opts.Now()
	switch {
	case !now.Before(claims.Expiry.Add(DefaultLeeway)):
		return Refuse(ReasonExpired, "exp has passed")
	case claims.IssuedAt.After(now.Add(DefaultLeeway)):
		return Refuse(ReasonIssuedInFuture, "iat has not come yet")
	case claims.NotBefore.After(now.Add(DefaultLeeway)):
		return Refuse(ReasonNotYetValid, "nbf has not come yet")
	case claims.Expiry.Before(claims.IssuedAt):
		return Refuse(ReasonBadClaim, "exp lies before iat")
	case claims.Expiry.Sub(claims.IssuedAt) > MaxLifetime:
		return Refuse(ReasonLifetimeTooLong, "more than %v between iat and exp", MaxLifetime)
	}
	return nil
}

func checkNames(set Claims, claims JoinClaims) error {
	for _, name := range []string{"sub", "jti"} {
		if _, ok := set[name]; !ok {
			return Refuse(ReasonMissingClaim, "%s is missing", name)
		}
	}
	switch {
	case !ValidPlayer(claims.Subject):
		return Refuse(ReasonBadClaim, "sub is not the id of a player")
	case !validJoinID(claims.ID):
		return Refuse(ReasonBadClaim, "jti is not 128 bits in base64url")
	}
	if team, ok := set["team"]; ok && (team != claims.Team || !ValidTeam(claims.Team)) {
		return Refuse(ReasonBadClaim, "team is not the name of a team")
	}
	return nil
}
