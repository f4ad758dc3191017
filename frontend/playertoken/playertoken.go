// Package playertoken checks the tokens with which players come to the frontend.
// Any OpenID Connect issuer may have signed them.
package playertoken

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"torikumi/pkg/token"
)

// types are the values of typ, in lower case. Some issuers leave it out; "at+jwt"
// is that of access tokens after RFC 9068.
var types = []string{"", "jwt", "at+jwt", "application/at+jwt"}

// Options are what a [Verifier] needs.
type Options struct {
	// Keys are those of the issuer. Required.
	Keys token.KeySource
	// Issuer must be "iss" letter for letter. Required.
	Issuer string
	// Audience must be "aud", or one of them, and AuthorizedParty must be "azp".
	// Required is one of both: an issuer makes tokens for other services too.
	Audience, AuthorizedParty string
	// ServiceAudience is that of the studio's own backends. A token must not have
	// both. Empty: there are none.
	ServiceAudience string
	// Prefix begins the players' ids.
	Prefix string
	// Algorithms are those that the issuer may use. Required.
	Algorithms []token.Algorithm
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Claims are what the frontend takes from a player token.
type Claims struct {
	// Subject is the player's id: 1 to 128 characters of [A-Za-z0-9._:@|-].
	Subject string
	// Service reports whether it is a token for ServiceAudience.
	Service bool
	// Expiry is when the token ends.
	Expiry time.Time
	// All are all claims of the token.
	All token.Claims
}

// Verifier checks player tokens of any OpenID Connect issuer. It is safe
// for concurrent use.
type Verifier struct {
	opts  Options
	rules token.HeaderRules
}

// NewVerifier returns an error that names the option that is wrong.
func NewVerifier(opts Options) (*Verifier, error) {
	switch {
	case opts.Keys == nil:
		return nil, errors.New("keys: must be set")
	case opts.Issuer == "":
		return nil, errors.New("issuer: must not be empty")
	case opts.Audience == "" && opts.AuthorizedParty == "":
		return nil, errors.New("audience: must not be empty without an authorized party")
	case opts.ServiceAudience != "" && opts.ServiceAudience == opts.Audience:
		return nil, errors.New("service audience: must be another one than the players'")
	}
	if err := token.ValidateAlgorithms(opts.Algorithms); err != nil {
		return nil, err
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Verifier{opts: opts, rules: token.HeaderRules{
		Algorithms: slices.Clone(opts.Algorithms),
		Type:       func(typ string) bool { return slices.Contains(types, strings.ToLower(typ)) },
		KeyID:      token.ForeignKeyID,
		NoKeyID:    true,
	}}, nil
}

// Verify checks a token in the same order as [token.Verifier.Verify]. An error is
// always a [*token.Refusal]. A join token is refused whoever signed it.
func (v *Verifier) Verify(ctx context.Context, raw string) (Claims, error) {
	set, err := token.Open(ctx, raw, &v.rules, v.opts.Keys)
	if err != nil {
		return Claims{}, err
	}
	service, audienceErr := v.audience(set)
	switch {
	case set.Text("iss") != v.opts.Issuer:
		return Claims{}, token.Refuse(token.ReasonWrongIssuer, "iss is not %q", v.opts.Issuer)
	case audienceErr != nil:
		return Claims{}, audienceErr
	case strings.EqualFold(set.Text("use"), token.UseJoin):
		return Claims{}, token.Refuse(token.ReasonWrongUse, "a join token is no player token")
	}
	expiry, err := v.checkTimes(set)
	if err != nil {
		return Claims{}, err
	}
	if _, ok := set["sub"]; !ok {
		return Claims{}, token.Refuse(token.ReasonMissingClaim, "sub is missing")
	}
	subject := v.opts.Prefix + set.Text("sub")
	if set.Text("sub") == "" || !token.ValidPlayer(subject) {
		return Claims{}, token.Refuse(token.ReasonBadClaim, "sub must have 1 to %d characters of [A-Za-z0-9._:@|-]", 128-len(v.opts.Prefix))
	}
	return Claims{Subject: subject, Service: service, Expiry: expiry, All: set}, nil
}

// audience reports whether the token is a backend's. A token of both kinds could be
// taken for either, and is refused.
func (v *Verifier) audience(set token.Claims) (service bool, err error) {
	all := audience(set)
	player := (v.opts.Audience == "" || slices.Contains(all, v.opts.Audience)) &&
		(v.opts.AuthorizedParty == "" || set.Text("azp") == v.opts.AuthorizedParty)
	service = v.opts.ServiceAudience != "" && slices.Contains(all, v.opts.ServiceAudience)
	switch {
	case player && service:
		return false, token.Refuse(token.ReasonWrongAudience, "it is a player's token, and one for %q", v.opts.ServiceAudience)
	case !player && !service:
		return false, token.Refuse(token.ReasonWrongAudience, "aud does not hold %q, or azp is not %q", v.opts.Audience, v.opts.AuthorizedParty)
	}
	return service, nil
}

// checkTimes returns the time of expiry. OpenID Connect asks for exp; nbf and iat
// count if they are there.
func (v *Verifier) checkTimes(set token.Claims) (time.Time, error) {
	expiry, present, err := set.Date("exp")
	if err != nil {
		return time.Time{}, err
	}
	if !present {
		return time.Time{}, token.Refuse(token.ReasonMissingClaim, "exp is missing")
	}
	now := v.opts.Now()
	if !now.Before(expiry.Add(token.DefaultLeeway)) {
		return time.Time{}, token.Refuse(token.ReasonExpired, "exp has passed")
	}
	for _, claim := range []struct {
		name   string
		reason token.Reason
	}{{"iat", token.ReasonIssuedInFuture}, {"nbf", token.ReasonNotYetValid}} {
		t, _, err := set.Date(claim.name)
		if err != nil {
			return time.Time{}, err
		}
		if t.After(now.Add(token.DefaultLeeway)) {
			return time.Time{}, token.Refuse(claim.reason, "%s has not come yet", claim.name)
		}
	}
	return expiry, nil
}

// audience returns aud, which may be one string or a list of them.
func audience(claims token.Claims) []string {
	switch aud := claims["aud"].(type) {
	case string:
		return []string{aud}
	case []any:
		var all []string
		for _, v := range aud {
			s, ok := v.(string)
			if !ok {
				return nil
			}
			all = append(all, s)
		}
		return all
	}
	return nil
}
