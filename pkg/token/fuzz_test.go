package token_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"torikumi/pkg/token"
)

// FuzzVerify holds that nothing but the token that was minted is admitted, to the
// letter: with RS256 each token has one signature and one encoding.
func FuzzVerify(f *testing.F) {
	keys := loaded(f, token.RS256, rsaKey())
	minted, _, err := newMinter(f, keys, at(begin)).Mint(request)
	if err != nil {
		f.Fatal(err)
	}
	v := newVerifier(f, keys, token.RS256, at(begin))
	f.Add(minted)
	for _, a := range corpus(f) {
		f.Add(a.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		claims, err := v.Verify(t.Context(), raw, want)
		if err == nil {
			if raw != minted {
				t.Errorf("admitted: %q", raw)
			}
			return
		}
		var refusal *token.Refusal
		if !errors.As(err, &refusal) || refusal.Reason == "" || claims != (token.JoinClaims{}) {
			t.Fatalf("refused with %v (%T) and claims %+v", err, err, claims)
		}
		if strings.ContainsAny(refusal.Detail, "\r\n\x00") {
			t.Errorf("detail %q cannot go into a log", refusal.Detail)
		}
	})
}

// FuzzSignedPayload gives the parser what only a holder of the key could: no
// payload makes it panic, and an admitted one says what its claims say.
func FuzzSignedPayload(f *testing.F) {
	key := newEC(f)
	keys := loaded(f, token.ES256, key)
	v := newVerifier(f, keys, token.ES256, at(begin))
	p, err := token.NewPlayerVerifier(token.PlayerOptions{
		Keys: keys, Issuer: issuer, Audience: audience, Algorithms: []token.Algorithm{token.ES256}, Now: at(begin),
	})
	if err != nil {
		f.Fatal(err)
	}
	header := object{"alg": "ES256", "typ": "JWT", "kid": keys.SigningKeyID()}.json(f)
	good := newForger(f).payload
	for _, changes := range []object{nil, {"exp": nil}, {"aud": []string{audience}, "use": nil}, {"iat": 1e308}, {"x": []any{object{"a": nil}}}} {
		f.Add(good.with(changes).json(f))
	}
	f.Fuzz(func(t *testing.T, payload string) {
		raw := seal(t, key, header, payload)
		claims, err := v.Verify(t.Context(), raw, want)
		if err == nil {
			life := claims.Expiry.Sub(claims.IssuedAt)
			if claims.Audience != audience || claims.MatchID != match || claims.Issuer != issuer || len(claims.ID) != 22 ||
				life < 0 || life > token.MaxLifetime || claims.Expiry.Before(begin.Add(-time.Minute)) {
				t.Errorf("admitted %q as %+v", payload, claims)
			}
		}
		if _, playerErr := p.Verify(t.Context(), raw); err == nil && playerErr == nil {
			t.Errorf("both a join token and a player token: %q", payload)
		}
	})
}

func FuzzKeySet(f *testing.F) {
	f.Add(string(loaded(f, token.ES256, newEC(f)).JWKS()))
	f.Add(string(loaded(f, token.RS256, rsaKey()).JWKS()))
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":"","kid":"a"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		w := &wire{handler: text(body)}
		r := newRemote(t, w, func(o *token.RemoteOptions) { o.Algorithms = []token.Algorithm{token.RS256, token.ES256} })
		err := r.Refresh(t.Context())
		if got := r.Status().KeyIDs; (err == nil) != (len(got) > 0) {
			t.Errorf("error %v with keys %v", err, got)
		}
	})
}
