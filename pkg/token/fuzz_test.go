package token_test

import (
	"errors"
	"strings"
	"testing"

	"torikumi/pkg/token"
	"torikumi/pkg/token/corpus"
	"torikumi/pkg/token/tokentest"
)

// FuzzVerify holds that nothing but the token that was minted is admitted, to the
// letter: with RS256 each token has one signature and one encoding.
func FuzzVerify(f *testing.F) {
	m, cases := published(f)
	minted := made(f, m, corpus.Case{})
	v := newVerifier(f, m, token.RS256, at(begin))
	f.Add(minted)
	for _, c := range cases {
		f.Add(made(f, m, c))
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

func FuzzKeySet(f *testing.F) {
	f.Add(string(tokentest.NewIssuer(tokentest.EC()).JWKS()))
	f.Add(string(frontend.JWKS()))
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
